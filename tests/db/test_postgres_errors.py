"""What PostgreSQL's answers mean: whatever ends a session, or fills a server, is nothing wrong with the request."""

import psycopg
import pytest

from db.drivers.postgres import error_from_sqlstate, translate
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


@pytest.mark.parametrize(
    ("kind", "sqlstates"),
    [
        (ConnectionLost, "08000 08003 08006 08P01 57P01 57P02 57P03 57P04 57P05 25P03 25P04 25006 40003 26000 42P05"),
        (Unavailable, "53000 53100 53200 53300 53400 57014 58000 58030"),
        (Deadlock, "40001 40P01"),
        (Locked, "55P03"),
        (Duplicate, "23505"),
        (BadValue, "22001 22021 22P05"),
        (StatementFailed, "42601 42P01 23502 25P02 XX000"),
    ],
)
def test_kinds_of_errors(kind: type[DatabaseError], sqlstates: str) -> None:
    assert {type(error_from_sqlstate(one, "said")) for one in sqlstates.split()} == {kind}


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError(), psycopg.errors.IdleInTransactionSessionTimeout(), ConnectionResetError()]
)
def test_whatever_ends_a_session_is_a_lost_connection(error: Exception) -> None:
    assert type(translate(error)) is ConnectionLost


@pytest.mark.parametrize("number", range(256))
def test_no_code_of_the_classes_of_a_servers_condition_is_a_fault_of_ours(number: int) -> None:
    """Those that later versions add, too: 08, 53, 57 and 58."""
    for kind in ("08", "53", "57", "58"):
        assert isinstance(error_from_sqlstate(f"{kind}{number % 16:X}{number // 16:02X}", "said"), Unavailable)
