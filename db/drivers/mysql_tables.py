"""Rows as a table inside a statement, and the clock."""

from collections.abc import Sequence

NOW_MS = "CAST(floor(unix_timestamp(now(6)) * 1000) AS SIGNED)"


def table_of(columns: Sequence[str], rows: int) -> str:
    """A table of `rows` rows with these columns, of placeholders row by row."""
    first = ", ".join(f"%s AS {column}" for column in columns)
    other = ", ".join(["%s"] * len(columns))
    return "(SELECT " + " UNION ALL SELECT ".join([first, *[other] * (rows - 1)]) + ")"
