"""Fixtures shared by all tests."""

import os
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from db.model.settings import PoolSettings
from db.pool.pool import Database
from tests.plugins.drivers import Driver
from tests.plugins.resources import uses
from tests.provision import PARTS, Provision, may_skip
from tests.rig import backends, before
from tests.rig.backends import Backend
from tests.rig.mariadb import MariaDB
from tests.rig.mariadb import shared as shared_mariadb
from tests.rig.node import Node
from tests.rig.people import new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.require import Require
from tests.rig.rest import Rest
from tests.rig.scale import PROVING

# Else every process of every node compiles our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

_WITHOUT_HISTORY = not PROVING and not before.commit()
collect_ignore = ["stories/test_rolling.py"] if _WITHOUT_HISTORY else []


def pytest_report_header() -> list[str]:
    """What is left out."""
    why = "tests/stories/test_rolling.py is left out: this clone has no history (git fetch --unshallow)"
    return [why] if _WITHOUT_HISTORY else []


@pytest.fixture(scope="session")
def require() -> Require:
    """Call it with the name of a part of tests/provision.py that the test needs beyond pip."""
    return Require(Provision(PARTS), may_skip=may_skip())


@pytest.fixture(scope="session")
def driver(request: pytest.FixtureRequest, require: Require) -> Driver:
    """The database of this test, which is provided: see tests/plugins/drivers.py."""
    chosen: Driver = request.param
    if chosen == "mysql":
        require("MariaDB")
    return chosen


@pytest.fixture(scope="session")
def backend(driver: Driver) -> Iterator[Backend]:
    """The servers of this kind of database, which all tests of this process share."""
    with backends.start(driver) as backend:
        yield backend


@pytest.fixture(scope="session")
@uses("node")
def node(backend: Backend) -> Iterator[Node]:
    """A node that all tests share: they make users, teams and channels of their own, and break nothing."""
    with backend.node(workers=2, ws_workers=2) as running:
        admin = new_user(running.url, "admin")
        admin.close()
        running.admin_name = admin.user["username"]
        yield running
        backend.check(running)
        assert "Traceback" not in running.log, running.log


@pytest.fixture
@uses("postgres")
def pg_cluster() -> Iterator[PgCluster]:
    """A master and two replicas of the test's own, to be broken."""
    with PgCluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="session")
@uses("mariadb")
def mariadb(require: Require) -> MariaDB:
    """The server that tests share; each takes a database of its own."""
    require("MariaDB")
    return shared_mariadb()


@pytest.fixture
def dsn(backend: Backend) -> str:
    """A new, empty database."""
    return backend.new_database()


@pytest.fixture
def settings(backend: Backend) -> PoolSettings:
    """How to reach a new database with our schema in it."""
    return PoolSettings(backend.new_database(schema=True), driver=backend.dialect)


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
