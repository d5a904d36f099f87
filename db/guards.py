"""Changes that no row of the outbox tells of: whoever truncates, drops, restores, or disables our triggers (decision 0035).

Each poll looks at what tells of changes: are the triggers, and on MySQL the tables, still the ones that they were? If not,
anything may have changed. On PostgreSQL triggers tell of TRUNCATE themselves; MySQL has none for it, but a truncated table
is a new one, with a new time of creation. That is told in whole seconds: a table of the last second may yet become
another one of the same time.
"""

from dataclasses import dataclass

from db.drivers import Row
from db.settings import Dialect

EVERYTHING = "*"
"""The namespace of a row of the outbox that tells of everything (migration 0020)."""
TRIGGERS: dict[Dialect, int] = {"postgres": 27, "mysql": 28}
"""How many of them tell of changes; later versions may add some."""
SQL: dict[Dialect, str] = {
    "postgres": """
SELECT count(*) FILTER (WHERE t.tgenabled = 'A'), FALSE,
    coalesce(sum(hashtext(concat_ws('/', t.tgrelid, t.oid, t.xmin, t.tgenabled))), 0)
FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
WHERE NOT t.tgisinternal AND f.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'cluster_log'::regclass)
    AND f.proname IN ('log_change', 'log_activation', 'log_truncate')
""",
    "mysql": """
SELECT g.number, t.newest >= now() - INTERVAL 1 SECOND, g.identity + t.identity
FROM (
    SELECT count(*) AS number, coalesce(sum(crc32(concat_ws('/', trigger_name, event_object_table, created))), 0) AS identity
    FROM information_schema.triggers WHERE trigger_schema = database() AND trigger_name LIKE 'log|_%%' ESCAPE '|'
) g, (
    SELECT max(create_time) AS newest, coalesce(sum(crc32(concat_ws('/', table_name, create_time))), 0) AS identity
    FROM information_schema.tables WHERE table_schema = database() AND table_type = 'BASE TABLE'
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
