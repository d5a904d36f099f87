"""Whose account is deactivated: who is told, what is counted, what is stored of them."""

import pytest

from db.model import shards
from db.model.entities import Channel, User
from db.model.ids import ChannelId, TeamId, new_id
from db.pool.pool import Database
from db.sql import channels, members, statuses, teams, users
from tests.db import rooms
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")


async def _people(database: Database, number: int) -> list[User]:
    people = [user(f"user{one}") for one in range(number)]
    for one in people:
        await users.insert(database, one)
    return people


async def _channel(database: Database, team_id: TeamId, people: list[User]) -> ChannelId:
    channel_id = ChannelId(new_id())
    await rooms.insert_team(database, rooms.team(team_id), *(one.id for one in people))
    async with database.transaction() as tx:
        await rooms.insert(tx, Channel(channel_id, 1, 1, 0, team_id, "O", "A", channel_id, "", "", "", 0))
    for one in people:
        async with database.transaction() as tx:
            await rooms.join(tx, channel_id, one.id)
    return channel_id


async def _counts(database: Database, team_id: TeamId, channel_id: ChannelId) -> tuple[int, int, int]:
    found = await members.stats(database, channel_id)
    return found[0], await channels.count_members(database, channel_id), await teams.count_members(database, team_id)


async def test_who_is_deactivated_is_not_counted(database: Database) -> None:
    people, team_id = await _people(database, 3), TeamId(new_id())
    channel_id = await _channel(database, team_id, people)
    assert await _counts(database, team_id, channel_id) == (3, 3, 3)
    await users.set_delete_at(database, people[0].id, 7, 7)
    assert await _counts(database, team_id, channel_id) == (2, 2, 2)
    await users.set_delete_at(database, people[0].id, 0, 8)
    assert await _counts(database, team_id, channel_id) == (3, 3, 3)


async def test_whoever_counts_members_is_told_also_when_it_is_done_by_hand(database: Database) -> None:
    [ann], team_id = await _people(database, 1), TeamId(new_id())
    channel_id = await _channel(database, team_id, [ann])
    wanted = {("channel_members", channel_id), ("team_members", team_id)}
    key = '"key"'
    for statement, told in (("nickname = 'n'", False), ("delete_at = 7", True), ("delete_at = 0", True)):
        await database.execute("DELETE FROM cluster_log")
        await database.execute(f"UPDATE users SET {statement} WHERE id = %s", (ann.id,))
        rows = {(row[0], row[1]) for row in await database.fetch(f"SELECT namespace, {key} FROM cluster_log")}
        assert (rows >= wanted) == told
        assert ("user", ann.id) in rows


async def test_the_change_is_one_of_all_that_they_are_members_of(database: Database) -> None:
    [ann], team_id = await _people(database, 1), TeamId(new_id())
    channel_id = await _channel(database, team_id, [ann])
    async with database.transaction() as tx:
        await users.set_delete_at(tx, ann.id, 7, 7)
        assert tx.changes >= {shards.channel_members(channel_id), shards.team_members(team_id), shards.user(ann.id)}


@pytest.mark.parametrize("status", ["online", "away", "offline"])
async def test_presence_never_says_of_them_that_they_are_there(database: Database, status: str) -> None:
    ann, bob = await _people(database, 2)
    for one in (ann, bob):
        await statuses.apply_automatic(database, [(one.id, "dnd", 1)])
    await users.set_delete_at(database, ann.id, 7, 7)
    changed = await statuses.apply_automatic(database, [(ann.id, status, 2), (bob.id, status, 2)])
    told = {ann.id, bob.id} if status == "offline" else {bob.id}
    assert {one for one, _ in changed} == told
