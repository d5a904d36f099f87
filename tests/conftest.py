"""Fixtures shared by all tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from db import migrate
from db.pool import Database
from db.settings import Dialect, PoolSettings
from tests.provision import PARTS, Provision, may_skip
from tests.rig.mariadb import MariaDB
from tests.rig.node import Node
from tests.rig.people import new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.postgres import Postgres
from tests.rig.require import Require
from tests.rig.rest import Rest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever runs a node or a database, so that `make unit` can leave it out."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"node", "own_node"}:
            item.add_marker(pytest.mark.node)
        if fixtures & {"postgres", "mariadb", "dsn", "pg_cluster"}:
            item.add_marker(pytest.mark.database)


@pytest.fixture(scope="session")
def require() -> Require:
    """Call it with the name of a part of tests/provision.py that the test needs beyond pip."""
    return Require(Provision(PARTS), may_skip=may_skip())


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A node that all tests share: they make users, teams and channels of their own, and break nothing."""
    with Node(workers=2, ws_workers=2) as running:
        admin = new_user(running.url, "admin")
        admin.close()
        running.admin_name = admin.user["username"]
        yield running
        assert "Traceback" not in running.log, running.log


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A database server that tests share; each takes a database of its own."""
    server = Postgres().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mariadb(require: Require) -> Iterator[MariaDB]:
    """A database server that tests share; each takes a database of its own."""
    require("MariaDB")
    server = MariaDB().start()
    yield server
    server.stop()


@pytest.fixture(params=["postgres", "mysql"])
def driver(request: pytest.FixtureRequest) -> Dialect:
    """The kind of database: a test that uses one runs on each, unless it parametrizes `driver` itself."""
    chosen: Dialect = request.param
    return chosen


@pytest.fixture
def pg_cluster() -> Iterator[PgCluster]:
    """A master and two replicas of the test's own, to be broken."""
    with PgCluster(2) as cluster:
        yield cluster


@pytest.fixture
def dsn(driver: Dialect, request: pytest.FixtureRequest) -> str:
    """A new, empty database."""
    server = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[driver])
    return str(server.new_database())


@pytest.fixture
async def settings(driver: Dialect, dsn: str) -> PoolSettings:
    """How to reach a new database with our schema in it."""
    settings = PoolSettings(dsn, driver=driver)
    await migrate.run(settings)
    return settings


@pytest.fixture
async def database(settings: PoolSettings) -> AsyncIterator[Database]:
    """A pool on a new database with our schema in it."""
    database = Database(settings)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def admin(node: Node) -> Iterator[Rest]:
    """The system administrator: the first user of the shared node."""
    rest = Rest(node.url).log_in(node.admin_name)
    yield rest
    rest.close()


@pytest.fixture
def ann(node: Node) -> Iterator[Rest]:
    """A user."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


@pytest.fixture
def bob(node: Node) -> Iterator[Rest]:
    """Another user."""
    rest = new_user(node.url, "bob")
    yield rest
    rest.close()
