"""Changes that no row of the outbox tells of: who truncates, drops, restores, or disables our triggers (decision 0035).

Each poll looks at what tells of changes: are the triggers, and on MySQL the tables, still those that they were? If not,
anything may have changed. On PostgreSQL triggers tell of TRUNCATE, too; MySQL has none for it (`mysql/witnesses.py`).
Its tables have a time of creation in whole seconds: one of this second may yet become another one of the same time.
"""

# ruff: noqa: S608 (constants)

from dataclasses import dataclass

from db.drivers import Row
from db.model import tables
from db.model.settings import Dialect
from db.pool import triggers

TRIGGERS: dict[Dialect, int] = {dialect: len(triggers.demanded(dialect)) for dialect in triggers.THERE}
"""How many of them tell of changes; later versions may add some."""
TABLES = tuple(table.name for table in tables.TABLES)
_OURS = ", ".join(f"'{table}'" for table in TABLES)
SQL: dict[Dialect, str] = {
    "postgres": f"""
SELECT count(*) FILTER (WHERE t.tgenabled = 'A'), FALSE,
    coalesce(sum(hashtext(concat_ws('/', c.relname, c.oid, t.oid, t.xmin, t.tgenabled))), 0)
FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'cluster_log'::regclass)
    AND c.relname IN ({_OURS}) AND f.proname IN ('log_change', 'log_activation', 'log_truncate')
""",
    "mysql": f"""
SELECT g.number, t.newest >= now(), g.identity + t.identity
FROM (
    SELECT count(*) AS number,
        coalesce(sum(crc32(concat_ws('/', trigger_name, event_object_table, created))), 0) AS identity
    FROM information_schema.triggers WHERE trigger_schema = database() AND event_object_table IN ({_OURS})
        AND trigger_name LIKE concat('log|_', event_object_table, '|_%') ESCAPE '|'
) g, (
    SELECT max(create_time) AS newest, coalesce(sum(crc32(concat_ws('/', table_name, create_time))), 0) AS identity
    FROM information_schema.tables WHERE table_schema = database() AND table_name IN ({_OURS})
) t
""",
}


@dataclass(frozen=True)
class Seen:
    """What a look found. triggers: how many fire. unsettled: something is so new that its identity may be another's."""

    triggers: int
    unsettled: bool
    identity: int


def seen(row: Row) -> Seen:
    """The answer to `SQL`."""
    return Seen(int(row[0]), bool(row[1]), int(row[2]))


class Watch:
    """Whether what tells of changes has told of all since the last look. Sans-I/O; one a cursor."""

    def __init__(self, dialect: Dialect) -> None:
        self._needed = TRIGGERS[dialect]
        self._last: Seen | None = None

    def look(self, now: Seen) -> str:
        """Why anything may have changed that nobody told of; '' when nothing has. The first look finds nothing."""
        last, self._last = self._last, now
        if last is None:
            return ""
        if now.triggers < self._needed:
            return "triggers of ours are missing or do not always fire"
        if now.identity != last.identity or last.unsettled:
            return "tables or triggers of ours are not those that they were"
        return ""
