"""Prometheus' text format, read strictly: what breaks a rule of the format's document is an AssertionError.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import re
from itertools import groupby

Series = dict[str, float]
"""`name{labels}`, as it stands there -> value."""
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
_SAMPLE = re.compile(rf"({_NAME})((?:\{{{_LABEL}(?:,{_LABEL})*\}})?) (\S+)")
_TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


def parse(text: str) -> Series:
    """All samples of a scrape."""
    assert text.endswith("\n"), "the last line has no end"
    found: Series = {}
    types: dict[str, str] = {}
    order: list[str] = []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in _TYPES, line
            assert name not in types, f"{name} has two types"
            types[name] = kind
            continue
        match = _SAMPLE.fullmatch(line)
        assert match, f"no sample: {line!r}"
        name, labels, value = match.groups()
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        family = family if types.get(family) == "histogram" else name
        assert family in types, f"{line!r} comes before its type"
        order.append(family)
        assert name + labels not in found, f"{line!r} stands there twice"
        found[name + labels] = float(value)
    groups = [name for name, _ in groupby(order)]
    assert len(groups) == len(set(groups)), "the samples of a metric do not stand together"
    for name, kind in types.items():
        if kind == "histogram":
            _check_histogram(name, found)
    return found


def _check_histogram(name: str, found: Series) -> None:
    """Buckets ascend and end with +Inf, which is the count."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for key, value in found.items():
        if key.startswith(f"{name}_bucket{{"):
            match = re.search(r',?le="([^"]+)"', key)
            assert match, key
            rest = key.replace(match.group(), "").removeprefix(f"{name}_bucket").replace("{}", "")
            rows.setdefault(rest, []).append((float(match.group(1)), value))
    for rest, buckets in rows.items():
        assert buckets == sorted(buckets), name
        assert [value for _, value in buckets] == sorted(value for _, value in buckets), name
        assert buckets[-1] == (float("inf"), found[f"{name}_count{rest}"]), name
        assert f"{name}_sum{rest}" in found, name
