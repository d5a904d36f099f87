"""The table of operations in docs/api.md, made of their declarations by `python -m api.reference [FILE]`.

What stands around the table is written by hand.
"""

import sys
from pathlib import Path

from api.operation import V4, Operation
from api.table import EVERY

BEGIN, END = "<!-- operations: python -m api.reference -->\n", "<!-- end of operations -->\n"


def table() -> str:
    """Markdown."""
    rows = ["| operation | who | remarks |", "|---|---|---|"]
    for one in EVERY:
        if one.method != "HEAD":
            rows.append(f"| {one.method} `{one.path.removeprefix(V4)}` | {one.who} | {_remarks(one)} |")
    return "\n".join(rows) + "\n"


def _remarks(one: Operation) -> str:
    query = ", ".join(f"`{key}`" for key in one.query)
    tag = "ETag" if one.tagged else ""
    return "; ".join(text for text in (one.summary.rstrip("."), one.notes, query and f"query: {query}", tag) if text)


def renewed(text: str) -> str:
    """The text of docs/api.md with the table as it is now. Raises ValueError where the marks are missing."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError("the marks around the table of operations are missing")
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/api.md")
    path.write_text(renewed(path.read_text()))
