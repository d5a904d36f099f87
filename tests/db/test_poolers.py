"""PgBouncer between the pool and PostgreSQL: one that gives each client a session of its own is as good as none, any other
is refused in words before anything is written, also where it throws away what a session was to be set to.
"""

from collections.abc import Iterator

import pytest

from db.drivers.postgres import DRIVER, error_from_sqlstate
from db.model.errors import ConnectionLost, Refused
from db.model.ids import ChannelId, PostId, new_id
from db.model.settings import PoolSettings
from db.pool import migrate, systems
from db.pool.pool import Database
from db.sql import users
from db.sql.posts import NewPost
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db.people import user
from tests.plugins.resources import uses
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgbouncer import PgBouncer, PoolMode
from tests.rig.pgcluster import PgCluster
from tests.rig.require import Require
from tests.rig.wait import until

pytestmark = pytest.mark.postgres
IGNORES = ["", "options", "options,extra_float_digits"]


@pytest.fixture(scope="module")
@uses("postgres")
def servers(require: Require) -> Iterator[PgCluster]:
    """One server, which may be shared."""
    require("PgBouncer")
    with PgCluster(0) as servers:
        yield servers


@pytest.mark.parametrize("ignores", IGNORES)
async def test_sessions_of_our_own_are_all_we_need(servers: PgCluster, ignores: str) -> None:
    with PgBouncer(servers.master, "session", ignores=ignores) as pooler:
        settings = PoolSettings(f"{pooler.dsn(servers.new_database())}&search_path=ours,public&binary_parameters=yes")
        servers.master.execute(
            "CREATE SCHEMA ours AUTHORIZATION mmnode", settings.dsn.rpartition("/")[2].partition("?")[0]
        )
        await migrate.run(settings)
        database = Database(settings)
        await database.open()
        writer = PostWriter(lambda: connect.connect(database))
        ann = user("ann")
        await users.insert(database, ann)
        async with database.transaction() as tx:
            await systems.claim(tx, "n", "v")
        assert await users.find(database, ann.id) == ann
        post = NewPost(PostId(new_id()), ChannelId(new_id()), ann.id, "", "m", "", "{}", "", (), None, True, False)
        assert await writer.write(post) is None  # the server said that there is no such channel
        shown = "SELECT current_setting('search_path'), current_setting('idle_in_transaction_session_timeout')"
        assert await database.fetch(shown) == [("ours,public", "2s")]
        assert await database.fetch("SELECT schemaname FROM pg_tables WHERE tablename = 'users'") == [("ours",)]
        await writer.close()
        await database.close()


@pytest.mark.parametrize("ignores", IGNORES)
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_sessions_that_others_use_in_between_are_refused_before_anything_is_written(
    servers: PgCluster, mode: PoolMode, ignores: str
) -> None:
    with PgBouncer(servers.master, mode, ignores=ignores) as pooler:
        name = servers.new_database()
        settings = PoolSettings(pooler.dsn(name))
        with pytest.raises(Refused, match="pool_mode = session"):
            await migrate.run(settings)
        with pytest.raises(Refused, match="pool_mode = session"):
            await DRIVER.ask(settings.dsn, settings)
        assert servers.master.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == [(0,)]


@pytest.mark.parametrize("setting", ["no_such_setting=1", "statement_timeout=soon", "log_statement=all"])
async def test_a_setting_that_the_server_does_not_take_is_no_reason_to_wait(servers: PgCluster, setting: str) -> None:
    """Only the server knows its settings, their values, and who may set them."""
    url = f"postgres://mmnode@127.0.0.1:{servers.master.port}/{servers.new_database()}?{setting}"
    with pytest.raises(Refused, match=setting.partition("=")[0]):
        await migrate.run(PoolSettings(url))


async def test_a_session_that_is_another_ones_is_noticed_by_the_next_look_at_its_facts(servers: PgCluster) -> None:
    """Whoever comes to share sessions later, or was busy when we looked."""
    settings = PoolSettings(servers.master.dsn(servers.new_database()))
    await migrate.run(settings)
    server = DRIVER.server(settings.dsn, settings, 1)
    await server.open()
    async with server.connection() as connection:
        await DRIVER.facts(connection)
        await connection.fetch("SELECT set_config('mmnode.session', 'of another', false)")
        with pytest.raises(Refused):
            await DRIVER.facts(connection)
    await server.close()


@pytest.mark.parametrize("sqlstate", ["26000", "42P05"])
def test_what_we_prepared_and_is_not_there_is_a_lost_connection(sqlstate: str) -> None:
    assert isinstance(error_from_sqlstate(sqlstate, "said"), ConnectionLost)


def _node(dsn: str) -> Node:
    return Node(database="configured", workers=1, environment={"MM_SQLSETTINGS_DATASOURCE": dsn})


@pytest.mark.node
def test_a_node_behind_a_pooler_that_shares_sessions_stops_and_says_why(servers: PgCluster) -> None:
    with PgBouncer(servers.master, "transaction", ignores="options") as pooler:
        node = _node(pooler.dsn(servers.new_database()))
        node.launch()
        assert node.process is not None
        try:
            until(lambda: node.process is None or node.process.poll() is not None, 20, "the end of the node")
            assert node.process.returncode == 78
            assert "set pool_mode = session" in node.log
            assert "Traceback" not in node.log
        finally:
            node.__exit__()


@pytest.mark.node
def test_a_node_behind_a_pooler_with_sessions_serves(servers: PgCluster) -> None:
    with PgBouncer(servers.master, "session") as pooler, _node(pooler.dsn(servers.new_database())) as node:
        ann = new_user(node.url)
        channel = new_channel(ann, new_team(ann))
        for number in range(10):
            ann.write(channel["id"], f"{number}")
        assert len(ann.get(f"/channels/{channel['id']}/posts")["order"]) >= 10
        ann.close()
