"""The triggers that `db/model/tables.py` demands, in both dialects; migrations create them, and their text is frozen.

    python -m db.pool.triggers postgres [TABLE …]     the statements of a migration that creates these anew

`tests/db/test_tables.py` compares what is demanded with what a database has after all migrations, and prints what the
next migration has to say where they differ.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from db.drivers import Row
from db.model.settings import Dialect
from db.model.tables import TABLES, Table, quoted

# ruff: noqa: S608 (constants)

_LOG = 'INSERT INTO cluster_log (namespace, "key")'

THERE: dict[Dialect, str] = {
    "postgres": """
SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid, true) || CASE t.tgenabled WHEN 'A' THEN '' ELSE ' OFF' END
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
    AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'cluster_log'::regclass)
    AND left(t.tgname, 4) = 'log_'
""",
    "mysql": """
SELECT event_object_table, trigger_name, concat('CREATE TRIGGER ', trigger_name, ' ', action_timing, ' ',
    event_manipulation, ' ON ', event_object_table, ' FOR EACH ROW ', action_statement)
FROM information_schema.triggers WHERE trigger_schema = database() AND left(trigger_name, 4) = 'log_'
""",
}
"""(table, name, text) of the triggers that write to the outbox."""


@dataclass(frozen=True)
class Trigger:
    """create: the statement, its words separated by single blanks."""

    table: str
    name: str
    create: str


def there(rows: Iterable[Row]) -> set[Trigger]:
    """What `THERE` found."""
    return {Trigger(row[0], row[1], _one_line(row[2])) for row in rows}


def demanded(dialect: Dialect, tables: Iterable[Table] = TABLES) -> set[Trigger]:
    """All triggers of these tables."""
    of_table = _of_postgres if dialect == "postgres" else _of_mysql
    return {Trigger(table.name, name, _one_line(text)) for table in tables for name, text in of_table(table)}


def migration(dialect: Dialect, new: Iterable[Trigger], gone: Iterable[Trigger] = ()) -> str:
    """The statements that take away these triggers and create those."""
    lines = []
    for one in sorted(gone, key=lambda one: (one.table, one.name)):
        lines.append(f"DROP TRIGGER IF EXISTS {one.name}{f' ON {one.table}' if dialect == 'postgres' else ''};")
    for one in sorted(new, key=lambda one: (one.table, one.name)):
        if dialect == "postgres":
            lines += [f"{one.create};", f"ALTER TABLE {one.table} ENABLE ALWAYS TRIGGER {one.name};"]
        else:
            lines.append(f"{one.create.replace('CREATE TRIGGER', 'CREATE TRIGGER IF NOT EXISTS', 1)};")
    return "\n".join(lines)


def _of_postgres(table: Table) -> Iterator[tuple[str, str]]:
    yield "log_truncate", _postgres("log_truncate", f"TRUNCATE ON {table.name} FOR EACH STATEMENT", "")
    if table.tells:
        update = f"UPDATE OF {', '.join(table.counts)}" if table.counts else "UPDATE"
        told = ", ".join(f"'{one.namespace}', '{one.key}'" for one in table.tells)
        yield "log_change", _postgres("log_change", f"INSERT OR DELETE OR {update} ON {table.name} FOR EACH ROW", told)
    if reaches := table.reaches:
        name, column = f"log_{reaches.name}", reaches.column
        when = f"WHEN (old.{column} IS DISTINCT FROM new.{column})"
        yield name, _postgres(name, f"UPDATE OF {column} ON {table.name} FOR EACH ROW {when}", "")


def _postgres(name: str, event: str, arguments: str) -> str:
    return f"CREATE TRIGGER {name} AFTER {event} EXECUTE FUNCTION {name}({arguments})"


def body(table: Table) -> str:
    """PostgreSQL: what the function of `Table.reaches` does, without its frame."""
    return f"{_LOG.replace(chr(34), '')} {_reached(table)};"


def _of_mysql(table: Table) -> Iterator[tuple[str, str]]:
    if table.tells:
        for event, row in (("insert", "NEW"), ("delete", "OLD")):
            told = ", ".join(f"('{one.namespace}', {row}.{quoted(one.key)})" for one in table.tells)
            yield _mysql(table, event, event, f"{_LOG} VALUES {told}")
        told = " UNION ".join(
            f"SELECT '{one.namespace}', {row}.{one.key}" for one in table.tells for row in ("OLD", "NEW")
        )
        log = f"{_LOG} {told}"
        if table.counts:
            columns = [*(one.key for one in table.tells), *table.counts]
            same = " AND ".join(f"OLD.{column} = NEW.{column}" for column in columns)
            log = f"IF NOT ({same}) THEN {log}; END IF"
        yield _mysql(table, "update", "update", log)
    if reaches := table.reaches:
        log = f"{_LOG} {_reached(table)}"
        changed = f"OLD.{reaches.column} <> NEW.{reaches.column}"
        yield _mysql(table, reaches.name, "update", f"IF {changed} THEN {log}; END IF")


def _mysql(table: Table, name: str, event: str, does: str) -> tuple[str, str]:
    full = f"log_{table.name}_{name}"
    return full, f"CREATE TRIGGER {full} AFTER {event.upper()} ON {table.name} FOR EACH ROW {does}"


def _reached(table: Table) -> str:
    assert table.reaches is not None
    return " UNION ALL ".join(
        f"SELECT '{namespace}', {column} FROM {of} WHERE user_id = NEW.id"
        for namespace, of, column in table.reaches.those
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(arguments: list[str]) -> int:
    """See above."""
    if not arguments or arguments[0] not in THERE:
        print(__doc__)
        return 2
    dialect: Dialect = "postgres" if arguments[0] == "postgres" else "mysql"
    print(
        migration(dialect, demanded(dialect, [one for one in TABLES if one.name in arguments[1:] or not arguments[1:]]))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
