"""TRUNCATE fires no trigger on MySQL, and leaves a table what it was: so one row of each is a witness (decision 0035).

A witness that is not there any more was truncated away with all others, or deleted alone. That is as seldom as tables
are large, and the outbox does not say which it was, so it counts as everything: it costs copies and no more.
"""

from db.drivers import Row
from db.model import tables

_OF = tuple((table.name, table.witness) for table in tables.TABLES if table.witness)
"""Of what copies are kept: the table and the column that finds its witness."""
TABLES = tuple(table for table, _ in _OF)
_LOG = "coalesce((SELECT max(id) FROM cluster_log), 0)"
# What follows the last id that the outbox ever had: deleting rows leaves it, TRUNCATE begins anew.
_NEXT = """coalesce((SELECT auto_increment FROM information_schema.tables
    WHERE table_schema = database() AND table_name = 'cluster_log'), 0)"""
_ASKED = (
    f"EXISTS (SELECT 1 FROM {table} WHERE {column} = %s), (SELECT min({column}) FROM {table})"  # noqa: S608 (constants)
    for table, column in _OF
)
SQL = f"SELECT {', '.join(_ASKED)}, greatest({_NEXT}, {_LOG} + 1)"
OUTBOX = tables.CLUSTER_LOG.name


class Witnesses:
    """Of one reader. Sans-I/O."""

    def __init__(self) -> None:
        self._them: list[str | None] = [None] * len(_OF)
        self._next = 0

    def parameters(self) -> list[str]:
        """Of `SQL`."""
        return [one or "" for one in self._them]

    def look(self, row: Row) -> list[str]:
        """The tables that lost their witness since the last look, OUTBOX among them. row: what `SQL` found."""
        there = [bool(row[2 * place]) for place in range(len(_OF))]
        gone = [table for table, one, still in zip(TABLES, self._them, there, strict=True) if one and not still]
        self._them = [
            one if still else row[2 * place + 1]
            for place, (one, still) in enumerate(zip(self._them, there, strict=True))
        ]
        if int(row[-1]) < self._next:
            gone.append(OUTBOX)
        self._next = int(row[-1])
        return gone
