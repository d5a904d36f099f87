"""MySQL and MariaDB: SQL with its parameters as text, and what errors of the server mean.

Statements go as text (the asyncio connector has no cheaper way), so parameters are written as literals here. Quotes and
backslashes are both doubled: that is right in the SQL mode which every connection sets, and cannot be broken out of in
the other one (NO_BACKSLASH_ESCAPES).
"""

from collections.abc import Iterable

from mysql.connector import errors

from db.drivers import Parameters
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

# The server goes away, was ended by an operator, or has become read-only: the connection is of no more use.
_LOST = frozenset({1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1290, 1792, 1836, 1927, 3169, 4031})
# A full server, disk or table, no memory, a statement that took too long or was ended by an operator, a group of
# servers that takes no commits, a setting that forbids triggers: a migration waits, and says so, until
# log_bin_trust_function_creators is set.
_UNAVAILABLE = frozenset(
    {1021, 1030, 1037, 1038, 1040, 1041, 1114, 1129, 1203, 1226, 1317, 1419, 1969, 3024, 3100, 3168}
)
_DEADLOCK = frozenset({1213, 3101})
_LOCKED = 1205
_DUPLICATE = frozenset({1062, 1586})
_BAD_VALUE = frozenset({1153, 1264, 1265, 1292, 1300, 1366, 1406, 1690})
_CLIENT_ERRORS = range(2000, 3000)
_NO_ANSWER = (errors.ReadTimeoutError, errors.WriteTimeoutError)
"""The connector's own, under a number of the server's: the answer is still to come."""


def format_sql(sql: str, parameters: Parameters = ()) -> bytes:
    """`sql` with a literal in the place of each `%s`. Raises BadValue for text that no database of ours can hold."""
    if not parameters:
        return _encode(sql)
    parts = sql.split("%s")
    if len(parts) != len(parameters) + 1:
        raise ValueError(f"{len(parts) - 1} placeholders, {len(parameters)} parameters")
    written = [parts[0].replace("%%", "%")]
    for part, value in zip(parts[1:], parameters, strict=True):
        if isinstance(value, list):
            written[-1], text = _listed(written[-1], value)
            part = part.removeprefix(")")
            written.append(text)
        else:
            written.append(literal(value))
        written.append(part.replace("%%", "%"))
    return _encode("".join(written))


def literal(value: object) -> str:
    """`value` as SQL. Raises BadValue for a NUL character, which PostgreSQL cannot hold either."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        if "\0" in value:
            raise BadValue("a text holds a NUL character")
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    raise TypeError(f"{type(value).__name__} is no type of a parameter")


def values(rows: Iterable[Iterable[object]]) -> str:
    """Rows as they stand behind VALUES."""
    return ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)


def _listed(before: str, items: list[object]) -> tuple[str, str]:
    """PostgreSQL's `= ANY(` and `<> ALL(` before a list, as IN and NOT IN. An empty list: nothing is in it."""
    inside = ", ".join(map(literal, items)) or "NULL"
    if before.endswith("= ANY("):
        return before.removesuffix("= ANY("), f"IN ({inside})"
    if before.endswith("<> ALL("):
        return before.removesuffix("<> ALL("), f"NOT IN ({inside})" if items else "IS NOT NULL"
    raise ValueError("a list may stand only in = ANY(%s) and <> ALL(%s)")


def _encode(sql: str) -> bytes:
    try:
        return sql.encode()
    except UnicodeEncodeError as error:
        raise BadValue("a text holds half of a surrogate pair") from error


def translate(error: Exception) -> DatabaseError:
    """The error of ours that stands for an exception of the connector or of the network."""
    if not isinstance(error, errors.Error):
        return ConnectionLost(str(error) or type(error).__name__)
    number, message = error.errno or -1, error.msg or str(error)
    if isinstance(error, _NO_ANSWER):
        return ConnectionLost(message)
    if number in _DUPLICATE:
        return Duplicate(_key_of(message))
    if number in _DEADLOCK:
        return Deadlock(message)
    if number == _LOCKED:
        return Locked(message)
    if number in _UNAVAILABLE:
        return Unavailable(message)
    if number < 0 or number in _CLIENT_ERRORS or number in _LOST:
        return ConnectionLost(message)
    sqlstate = str(error.sqlstate or "HY000")
    if sqlstate.startswith("08"):
        return ConnectionLost(message)
    if number in _BAD_VALUE or sqlstate.startswith("22"):
        return BadValue(message)
    return StatementFailed(sqlstate, f"{message} ({number})")


def is_of_the_server(error: Exception) -> bool:
    """Whether the server answered the statement with it: then nothing more is to come, the connection is in order."""
    if not isinstance(error, errors.Error) or isinstance(error, _NO_ANSWER):
        return False
    return (error.errno or -1) > 0 and error.errno not in _CLIENT_ERRORS


def _key_of(message: str) -> str:
    """The index in "Duplicate entry 'x' for key 'name'" (MariaDB) or "… 'table.name'" (MySQL)."""
    return message.rstrip("'").rpartition("'")[2].rpartition(".")[2]
