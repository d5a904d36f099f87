"""Which of Mattermost's operations are offered: `python -m api.coverage [--missing]`."""

import sys
from collections import Counter
from collections.abc import Sequence

from api.known import Known, form_of, read
from api.operation import Operation
from api.table import EVERY

TIERS = {
    "must": "of 2023, what clients need",
    "later": "of 2023, for later",
    "licensed": "of 2023, with a licence or a service of Mattermost's",
    "newer": "newer, called by clients of 2026",
}


def missing(operations: Sequence[Operation], known: Sequence[Known]) -> list[Known]:
    """Those of Mattermost's that are not offered."""
    offered = {form_of(one.method, one.path) for one in operations}
    return [one for one in known if one.form not in offered]


def report(operations: Sequence[Operation], known: Sequence[Known]) -> list[str]:
    """Lines: what is there of each tier, of the 425 and of the newer ones, and what is beside Mattermost's."""
    lacking = missing(operations, known)
    of, without = Counter(one.tier for one in known), Counter(one.tier for one in lacking)
    lines = [f"{of[tier] - without[tier]:4} of {of[tier]:4}  {what}" for tier, what in TIERS.items()]
    old = [one for one in known if one.tier != "newer"]
    lines.append(f"{len(old) - len(missing(operations, old)):4} of {len(old):4}  of 2023, all")
    beside = {form_of(one.method, one.path) for one in operations} - {one.form for one in known}
    return [*lines, f"{len(beside):4} beside them: {', '.join(sorted(beside))}"]


if __name__ == "__main__":
    lines = report(EVERY, read())
    if "--missing" in sys.argv:
        lines += [f"{one.tier:8} {one.method:6} {one.path}" for one in missing(EVERY, read())]
    print("\n".join(lines))
