"""Fixtures of the tests of mariadb: nodes of their own; everything else is that of the tests of api."""

from collections.abc import Iterator, Mapping

import pytest

from tests.api.conftest import add, configure, own_admin, world
from tests.rig.mariadb import MariaDB
from tests.rig.node import Node
from tests.rig.people import new_user, sign_up

__all__ = ["add", "configure", "own_admin", "world"]


def _environment(mariadb: MariaDB) -> Mapping[str, str]:
    return {"MM_SQLSETTINGS_DRIVERNAME": "mysql", "MM_SQLSETTINGS_DATASOURCE": mariadb.new_database()}


@pytest.fixture(scope="session")
def node(mariadb: MariaDB) -> Iterator[Node]:
    """See tests/conftest.py."""
    with Node(workers=2, ws_workers=2, environment=_environment(mariadb)) as running:
        admin = new_user(running.url, "admin")
        admin.close()
        running.admin_name = admin.user["username"]
        yield running
        assert "Traceback" not in running.log, running.log


@pytest.fixture(scope="session")
def own_node(mariadb: MariaDB) -> Iterator[Node]:
    """See tests/api/conftest.py."""
    closed = {"MM_TEAMSETTINGS_ENABLEOPENSERVER": "false", **_environment(mariadb)}
    with Node(workers=1, ws_workers=1, environment=closed) as running:
        running.admin_name = sign_up(running.url, "admin")["username"]
        yield running
