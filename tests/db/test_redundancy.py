"""Redundancy that is gone is seen: dead hosts, entries that reach one server, a schema that left this program behind."""

import asyncio
from typing import Any, cast

import pytest

from db.drivers import Facts
from db.drivers.mysql import DRIVER as MYSQL
from db.drivers.postgres import DRIVER as POSTGRES
from db.drivers.postgres import connect_arguments
from db.model.board import LocalBoard
from db.model.errors import Unavailable
from db.model.settings import PoolSettings
from db.pool import migrate, systems
from db.pool.migrate import TooOld
from db.pool.pool import Database
from db.pool.prober import Prober
from db.pool.queryable import Queryable


def test_each_host_of_a_string_with_several_is_reached_by_itself_whatever_it_is() -> None:
    found = POSTGRES.hosts("postgres://mm:p%20w@a:1,b:2/db?target_session_attrs=read-write&sslmode=require")
    assert [name for name, _ in found] == ["a:1", "b:2"]
    arguments, _ = connect_arguments(found[1][1], PoolSettings(""))
    assert {key: arguments[key] for key in ("host", "port", "user", "password", "dbname", "sslmode")} == {
        "host": "b",
        "port": "2",
        "user": "mm",
        "password": "p w",
        "dbname": "db",
        "sslmode": "require",
    }
    assert "target_session_attrs" not in arguments
    assert POSTGRES.hosts("host=a user=mm") == []
    assert MYSQL.hosts("mm:pw@tcp(a:3306)/db") == []


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ({0: "1", 1: "2"}, []),
        ({0: "1", 1: "1"}, ["DataSourceReplicas[1] is DataSourceReplicas[0]"]),
        ({0: "m", 1: "2"}, ["DataSourceReplicas[0] is the master"]),
        ({0: "", 1: ""}, []),  # neither is up
    ],
)
def test_entries_that_reach_one_server_are_named(instances: dict[int, str], expected: list[str]) -> None:
    prober = Prober(cast(Database, None), LocalBoard())
    prober.master = Facts("s", 1, True, 1, "", "", instance="m")
    prober._instances = instances
    assert prober.indistinct() == expected


class _Schema:
    """A database whose schema is of some version."""

    dialect = "postgres"

    def __init__(self, version: int, contract: str) -> None:
        self._version = version
        self._contract = contract

    async def fetch_one(self, sql: str, _parameters: object = (), **_: Any) -> tuple[Any, ...] | None:
        if "schema_migrations" in sql:
            return (self._version,)
        assert "systems" in sql
        return (self._contract,) if self._contract else None


@pytest.mark.parametrize(("beyond", "contract", "expected"), [(0, 0, 0), (3, None, 3), (3, 0, 3), (3, 1, None)])
async def test_a_program_works_with_a_later_schema_down_to_the_contract_version_and_refuses_below(
    beyond: int, contract: int | None, expected: int | None
) -> None:
    known = migrate.newest()
    schema = cast(Queryable, _Schema(known + beyond, "" if contract is None else str(known + contract)))
    if expected is None:
        with pytest.raises(TooOld, match="install a newer version of mmnode"):
            await migrate.later_version(schema)
    else:
        assert await migrate.later_version(schema) == (known + expected if expected else 0)
    assert systems is not None


async def test_where_it_is_required_writes_wait_while_no_copy_confirms_them_and_go_on_when_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("db.pool.pool.HOLD_S", 0.3)
    board = LocalBoard()
    required = Database(PoolSettings("host=nowhere", require_synchronous=True), board=board)
    await required.writable()  # nothing is known yet: a node that starts is to get as far as to find out
    board.set_synchronous(False)
    with pytest.raises(Unavailable, match="RequireSynchronous"):
        await required.writable()
    asyncio.get_running_loop().call_later(0.1, board.set_synchronous, True)
    await required.writable()
    board.set_synchronous(False)
    await Database(PoolSettings("host=nowhere"), board=board).writable()
