"""What a node has counted, as Prometheus reads it: text format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from app.counting import Slot
from app.metrics import METRICS, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LOST = Metric("mmnode_metrics_lost", "gauge", "Series that are not counted: there is no room for them.")
_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_VALUE = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
Found = dict[tuple[str, ...], list[float]]


def collect(slots: Iterable[Slot]) -> dict[str, Found]:
    """By metric and values of its labels: the cells of all processes, added up. Gauges that say nothing are left out.

    What another version of the program counts in other cells, or under a name that this one does not know, is not told.
    """
    found: dict[str, Found] = {}
    lost = 0
    for slot in slots:
        lost += slot.lost
        for (name, *values), (at, number) in slot.series().items():
            metric = METRICS.get(name)
            if metric is None or number != metric.cells or len(values) != len(metric.labels):
                continue
            cells = [float(one) for one in slot.cells[at : at + number]]
            if math.isnan(cells[0]):
                continue
            series = found.setdefault(name, {})
            before = series.get(tuple(values))
            series[tuple(values)] = cells if before is None else [a + b for a, b in zip(before, cells, strict=True)]
    return found | {LOST.name: {(): [float(lost)]}}


def render(found: Mapping[str, Found], more: Iterable[Metric] = ()) -> str:
    """more: metrics in `found` that are not in METRICS."""
    lines: list[str] = []
    known = {**METRICS, **{one.name: one for one in (LOST, *more)}}
    for name in sorted(found):
        metric = known[name]
        lines.append(f"# HELP {name} {metric.help.translate(_HELP)}")
        lines.append(f"# TYPE {name} {metric.kind}")
        for values, cells in sorted(found[name].items()):
            labels = [
                f'{label}="{value.translate(_VALUE)}"' for label, value in zip(metric.labels, values, strict=True)
            ]
            if metric.kind == "histogram":
                lines += _histogram(metric, labels, cells)
            else:
                lines.append(f"{name}{_braced(labels)} {_number(cells[0])}")
    return "\n".join([*lines, ""])


def _histogram(metric: Metric, labels: Sequence[str], cells: Sequence[float]) -> Iterable[str]:
    """Its buckets count all that is not above them; so does its count, which so cannot differ from the last one."""
    count = 0.0
    for bound, number in zip((*metric.buckets, math.inf), cells[1:], strict=True):
        count += number
        below = f'le="{_number(bound)}"'
        yield f"{metric.name}_bucket{_braced([*labels, below])} {_number(count)}"
    yield f"{metric.name}_sum{_braced(labels)} {_number(cells[0])}"
    yield f"{metric.name}_count{_braced(labels)} {_number(count)}"


def _braced(labels: Sequence[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(value)
