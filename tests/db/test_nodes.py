"""Registrations of nodes: incarnations only grow, whoever starts, leaves, is removed or forgotten."""

import asyncio

import pytest

from db.model.entities import ClusterNode
from db.pool.pool import Database
from db.sql import nodes
from db.sql.outbox import Outbox
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

KEY = "k" * 40


async def enrol(database: Database, node_id: str = "node1", *, key: str = KEY, at_least: int = 0) -> int:
    return await nodes.enrol(
        database,
        node_id,
        public_key=key,
        address="10.0.0.1:8075",
        hostname="host1",
        version="0.1.0",
        mac=lambda incarnation: f"mac of {incarnation}",
        at_least=at_least,
    )


async def only(database: Database) -> ClusterNode:
    (row,) = await nodes.read_all(database)
    return row


async def test_a_registration_is_read_as_it_was_written(database: Database) -> None:
    assert await enrol(database) == 1
    row = await only(database)
    assert (row.node_id, row.incarnation, row.public_key, row.address) == ("node1", 1, KEY, "10.0.0.1:8075")
    assert (row.hostname, row.version, row.mac) == ("host1", "0.1.0", "mac of 1")
    assert (row.left_at, row.removed_at) == (0, 0)
    assert 0 <= row.age_ms < 60_000
    assert row.last_seen_at > 1_700_000_000_000


async def test_each_start_has_a_higher_incarnation_and_a_mac_of_its_own(database: Database) -> None:
    assert [await enrol(database, key=letter * 40) for letter in "abc"] == [1, 2, 3]
    row = await only(database)
    assert (row.incarnation, row.public_key, row.mac) == (3, "c" * 40, "mac of 3")


async def test_starts_at_once_get_different_incarnations_and_no_row_without_its_mac_is_seen(database: Database) -> None:
    starts = asyncio.gather(*(enrol(database) for _ in range(20)))
    while not starts.done():
        for row in await nodes.read_all(database):
            assert row.mac == f"mac of {row.incarnation}"
        await asyncio.sleep(0)
    assert sorted(await starts) == list(range(1, 21))


async def test_a_registration_whose_mac_fails_is_none(database: Database) -> None:
    def fail(incarnation: int) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await nodes.enrol(database, "node1", public_key=KEY, address="a:1", hostname="", version="", mac=fail)
    assert await nodes.read_all(database) == []


async def test_a_node_that_left_or_was_removed_joins_again_when_it_starts(database: Database) -> None:
    assert await nodes.leave(database, "node1", await enrol(database))
    left = await only(database)
    assert left.left_at >= left.last_seen_at
    assert await nodes.remove(database, "node1")
    assert (await only(database)).removed_at >= left.left_at
    assert await enrol(database) == 2
    row = await only(database)
    assert (row.left_at, row.removed_at) == (0, 0)


async def test_signs_of_life_are_the_current_incarnations_alone(database: Database) -> None:
    old = await enrol(database)
    assert await nodes.touch(database, "node1", old)
    assert await nodes.touch(database, "node1", old)  # also within a millisecond
    new = await enrol(database)
    before = await only(database)
    assert not await nodes.touch(database, "node1", old)
    assert not await nodes.leave(database, "node1", old)
    after = await only(database)
    assert (after.last_seen_at, after.left_at) == (before.last_seen_at, 0)
    assert await nodes.touch(database, "node1", new)
    assert (await only(database)).last_seen_at >= before.last_seen_at


async def test_a_start_whose_row_the_database_lost_is_no_zombie_and_enrols_above_itself(database: Database) -> None:
    assert await nodes.touch(database, "node1", 5)
    await enrol(database)
    assert await nodes.touch(database, "node1", 5)
    assert (await only(database)).incarnation == 1
    assert await enrol(database, at_least=5) == 6


async def test_only_who_is_no_member_is_forgotten(database: Database) -> None:
    await enrol(database)
    assert not await nodes.forget(database, "node1")
    assert not await nodes.forget(database, "unknown")
    assert not await nodes.remove(database, "unknown")
    await nodes.remove(database, "node1")
    assert await nodes.forget(database, "node1")
    assert await nodes.read_all(database) == []


async def test_who_was_forgotten_starts_above_what_it_was(database: Database) -> None:
    for _ in range(3):
        await enrol(database)
    await enrol(database, "node2")
    for node_id in ("node1", "node2"):
        await nodes.remove(database, node_id)
        assert await nodes.forget(database, node_id)
    assert await enrol(database) == 4


async def test_a_start_at_the_moment_of_being_forgotten_is_above_what_it_was(database: Database) -> None:
    for _ in range(10):
        last = await enrol(database)
        await nodes.remove(database, "node1")
        incarnation, _ = await asyncio.gather(enrol(database), nodes.forget(database, "node1"))
        assert incarnation > last


async def test_who_follows_the_outbox_hears_of_members_but_not_of_their_signs_of_life(database: Database) -> None:
    await database.execute(  # on MySQL the loss of the only row would count as everything
        "INSERT INTO cluster_nodes (node_id, incarnation, public_key, address, mac, last_seen_at)"
        " VALUES ('0', 1, '', '', '', 1)"
    )
    reader = Outbox(database)
    async with asyncio.timeout(10):
        while await reader.poll() is None:  # the first, and tables of this second might yet become others
            await asyncio.sleep(0.1)

    async def told() -> bool:
        poll = await reader.poll()
        assert poll is not None
        assert set(poll.changes) <= {("cluster_node", "node1")}
        return bool(poll.changes)

    incarnation = await enrol(database)
    assert await told()
    await nodes.touch(database, "node1", incarnation)
    assert not await told()
    await nodes.leave(database, "node1", incarnation)
    assert await told()
    await nodes.remove(database, "node1")
    assert await told()
    await nodes.forget(database, "node1")
    assert await told()
