"""MySQL's connection strings, literals, lists and errors: no server needed."""

import re

import pytest
from mysql.connector import errors

from db.drivers.mysql import mariadb_position, mysql_position
from db.drivers.mysql_dsn import Dsn, parse
from db.drivers.mysql_schema import statements
from db.drivers.mysql_text import format_sql, is_of_the_server, translate
from db.model.errors import (
    BadValue,
    ConnectionLost,
    DatabaseError,
    Deadlock,
    Duplicate,
    Locked,
    StatementFailed,
    Unavailable,
)
from db.pool.migrate import available


@pytest.mark.parametrize(
    ("text", "dsn"),
    [
        ("mm:pw@tcp(db:3307)/mm", Dsn("mm", "pw", "db", 3307, "", "mm")),
        ("mm:pw@tcp(db)/mm?charset=utf8mb4,utf8&readTimeout=30s", Dsn("mm", "pw", "db", 3306, "", "mm")),
        ("mm@unix(/run/my.sock)/mm", Dsn("mm", "", "", 0, "/run/my.sock", "mm")),
        ("mm:p:@s/w(d)@tcp([::1]:3306)/mm", Dsn("mm", "p:@s/w(d)", "::1", 3306, "", "mm")),
        ("mm:pw@/mm", Dsn("mm", "pw", "127.0.0.1", 3306, "", "mm")),
        ("mm:pw@tcp/mm%2Fx", Dsn("mm", "pw", "127.0.0.1", 3306, "", "mm/x")),
        ("a:b@tcp(h)/d?tls=skip-verify&timeout=1m500ms", Dsn("a", "b", "h", 3306, "", "d", "skip-verify", 60.5)),
        (
            "a:b@tcp(h)/d?tls=true&sql_mode=ANSI&foo=1",
            Dsn("a", "b", "h", 3306, "", "d", "true", None, ("foo", "sql_mode")),
        ),
    ],
)
def test_connection_strings(text: str, dsn: Dsn) -> None:
    assert parse(text) == dsn


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no /database"),
        ("mm:hunter2@tcp(db)", "no /database"),
        ("mm:hunter2@tcp(db)/", "names no database"),
        ("tcp(db)/mm", "names no user"),
        ("mm:hunter2@udp(db)/mm", "the protocol is not supported"),
        ("mm:hunter2@tcp(db/mm", "is not understood"),
        ("mm:hunter2@db:3306/mm", "is not understood"),
        ("mm:hunter2@tcp(::1)/mm", "needs brackets"),
        ("mm:hunter2@tcp(db:99999)/mm", "the port must be a number"),
        ("mm:hunter2@tcp(db)/mm?tls=custom", "tls must be one of"),
        ("mm:hunter2@tcp(db)/mm?timeout=5", "timeout must be a duration"),
    ],
)
def test_errors_of_connection_strings_say_what_is_wrong_and_no_password(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (looked at below)
        parse(text)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_literals_cannot_be_broken_out_of() -> None:
    assert format_sql("SELECT %s", ("it's \\' OR 1=1 -- %s",)) == b"SELECT 'it''s \\\\'' OR 1=1 -- %s'"
    assert format_sql("SELECT %s, %s, %s, %s", (None, True, False, -7)) == b"SELECT NULL, TRUE, FALSE, -7"
    assert format_sql("SELECT '100%%', %s", (1,)) == b"SELECT '100%', 1"
    assert format_sql("SELECT '100%'") == b"SELECT '100%'"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_postgresql_cannot_hold_is_refused_here_too(text: str) -> None:
    with pytest.raises(BadValue):
        format_sql("SELECT %s", (text,))


def test_wrong_parameters_are_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match="2 placeholders, 1 parameters"):
        format_sql("SELECT %s, %s", (1,))
    with pytest.raises(TypeError):
        format_sql("SELECT %s", (1.5,))
    with pytest.raises(ValueError, match="only in"):
        format_sql("SELECT %s", ([1],))


def test_lists() -> None:
    sql = "SELECT 1 FROM t WHERE (a = ANY(%s) OR b = %s) AND c <> ALL(%s) LIMIT 1"
    assert format_sql(sql, (["x", "y"], "z", ["w"])) == (
        b"SELECT 1 FROM t WHERE (a IN ('x', 'y') OR b = 'z') AND c NOT IN ('w') LIMIT 1"
    )
    assert format_sql(sql, ([], "z", [])) == (
        b"SELECT 1 FROM t WHERE (a IN (NULL) OR b = 'z') AND c IS NOT NULL LIMIT 1"
    )


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (2006, ConnectionLost), (2013, ConnectionLost), (2055, ConnectionLost), (1053, ConnectionLost),
        (1927, ConnectionLost), (1290, ConnectionLost), (1792, ConnectionLost), (1836, ConnectionLost),
        (1213, Deadlock), (1205, Locked), (1062, Duplicate), (1264, BadValue), (1366, BadValue), (1406, BadValue),
        (1040, Unavailable), (1203, Unavailable), (3024, Unavailable), (1969, Unavailable), (1419, Unavailable), (1064, StatementFailed),
        (1146, StatementFailed), (-1, ConnectionLost), (4031, ConnectionLost), (1021, Unavailable), (1114, Unavailable),
        (3101, Deadlock),
    ],
)  # fmt: skip
def test_kinds_of_errors(number: int, kind: type[DatabaseError]) -> None:
    assert type(translate(errors.get_exception(_packet(number)) if number > 0 else errors.InterfaceError())) is kind


def test_every_error_of_the_class_of_connections_is_a_lost_one() -> None:
    """A node of Galera that is cut off from the others, say."""
    assert type(translate(errors.get_exception(_packet(1047, b"08S01")))) is ConnectionLost


@pytest.mark.parametrize("kind", [errors.ReadTimeoutError, errors.WriteTimeoutError])
def test_what_the_connector_waited_for_in_vain_is_still_to_come(kind: type[errors.Error]) -> None:
    """It says so with a number of the server's, which has not answered."""
    error = kind(errno=3024)
    assert type(translate(error)) is ConnectionLost
    assert not is_of_the_server(error)


def _packet(number: int, sqlstate: bytes = b"HY000") -> bytes:
    return b"\0\0\0\0\xff" + number.to_bytes(2, "little") + b"#" + sqlstate + b"said"


def test_a_broken_network_is_a_lost_connection() -> None:
    assert isinstance(translate(ConnectionResetError()), ConnectionLost)
    assert not is_of_the_server(ConnectionResetError())
    assert not is_of_the_server(errors.OperationalError(errno=2013))
    assert is_of_the_server(errors.DatabaseError(errno=1064))


@pytest.mark.parametrize("key", ["users_email_key", "users.users_email_key"])
def test_a_duplicate_names_the_index(key: str) -> None:
    error = errors.IntegrityError(msg=f"Duplicate entry 'it's for key 'x'' for key '{key}'", errno=1062)
    ours = translate(error)
    assert isinstance(ours, Duplicate)
    assert ours.constraint == "users_email_key"


@pytest.mark.parametrize(
    ("gtids", "position"),
    [("", 0), ("0-1-17", 17), ("1-9-99,0-2-18", 18), ("1-9-99", 0), ("0-1-18446744073709551615", (1 << 64) - 1)],
)
def test_positions_of_mariadb(gtids: str, position: int) -> None:
    assert mariadb_position(gtids, 0) == position


_A, _B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4f22ab58-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("executed", "position"),
    [
        ("", 0),
        (f"{_A}:1-100", 100),
        (f"{_A}:1-100:103-200", 100),  # a gap: what is behind it may not be relied on
        (f"{_A}:1", 1),
        (f"{_A}:1-100,\n{_B}:1-7", 107),  # another server was made the master: it goes on growing
        (f"{_A}:1-100:ours:1-5:9", 105),
    ],
)
def test_positions_of_mysql(executed: str, position: int) -> None:
    assert mysql_position(executed) == position


def test_both_drivers_have_the_same_migrations() -> None:
    assert [one.name for one in available("mysql")] == [one.name for one in available("postgres")]


def test_every_statement_of_a_migration_is_harmless_when_run_again() -> None:
    for migration in available("mysql"):
        for statement in statements(migration.sql):
            code = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
            column = code.startswith("ALTER TABLE ") and " ADD COLUMN " in code  # the runner takes 42S21 for done
            index = code.startswith("CREATE INDEX ")  # likewise 42000, error 1061
            same = re.fullmatch(r"ALTER TABLE \w+ MODIFY [^,]+;?", code.strip()) is not None  # as it is already
            assert column or index or same or " IF NOT EXISTS " in code.split("(")[0], statement
