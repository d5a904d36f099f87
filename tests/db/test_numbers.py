"""Numbers of changes under one master after another: each is given once, and later ones are greater."""

from collections.abc import AsyncIterator

import pytest

from app.events.kinds import PostEdited
from db.model.entities import Channel
from db.model.ids import ChannelId, PostId, TeamId, UserId, new_id
from db.model.numbers import TERM_BITS, term_in
from db.order import changes
from db.pool.pool import Database
from db.sql import channels
from db.sql.posts import NewPost
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db import rooms
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

ANN, BOB = UserId("a" * 26), UserId("b" * 26)


class Room:
    """A channel and all that takes numbers in it."""

    def __init__(self, database: Database, writer: PostWriter, channel_id: ChannelId) -> None:
        self._database = database
        self._writer = writer
        self.channel_id = channel_id

    async def join(self, user_id: UserId) -> int:
        async with self._database.transaction() as tx:
            member = await rooms.join(tx, self.channel_id, user_id)
        assert member is not None
        return member.join_seq

    async def leave(self, user_id: UserId) -> int:
        async with self._database.transaction() as tx:
            seq = await rooms.leave(tx, self.channel_id, user_id)
        assert seq is not None
        return seq

    async def post(self) -> int:
        new = NewPost(
            PostId(new_id()), self.channel_id, ANN, "", "m", "", "{}", "", (), None, counts=True, member_required=True
        )
        written = await self._writer.write(new)
        assert written is not None
        return written.seq

    async def change(self) -> int:
        async with self._database.transaction() as tx:
            place = await changes.begin(tx, self.channel_id)
            assert place is not None
            await changes.record(tx, place, PostEdited(new_id()))
        return place.seq

    async def everything(self) -> list[int]:
        return [await self.join(BOB), await self.post(), await self.post(), await self.change(), await self.leave(BOB)]

    async def has(self, seq: int) -> bool:
        return await channels.has_change(self._database, self.channel_id, seq)


@pytest.fixture
async def room(database: Database) -> AsyncIterator[Room]:
    channel_id = ChannelId(new_id())
    channel = Channel(channel_id, 1, 1, 0, TeamId(new_id()), "O", "C", "c", "", "", "", 0)
    async with database.transaction() as tx:
        await rooms.insert(tx, channel)
    writer = PostWriter(lambda: connect.connect(database))
    room = Room(database, writer, channel_id)
    assert await room.join(ANN) == 1
    yield room
    await writer.close()


async def _mark(database: Database, mark: str) -> None:
    await database.execute("DELETE FROM systems WHERE name = 'db_generation'")
    await database.execute("INSERT INTO systems (name, value) VALUES ('db_generation', %s)", (mark,))


async def _own_name(database: Database) -> str:
    async with database.generation.master.connection() as connection:
        facts = await database.generation.driver.facts(connection)
    return f"{facts.server}/{facts.timeline}"


async def test_a_first_master_counts_from_one(database: Database, room: Room) -> None:
    assert await room.everything() == [2, 3, 4, 5, 6]
    await _mark(database, f"1 {await _own_name(database)}")
    assert await room.everything() == [7, 8, 9, 10, 11]
    assert term_in(11) == 1


async def test_a_later_master_gives_greater_numbers_whatever_it_lost(database: Database, room: Room) -> None:
    await room.everything()
    await _mark(database, f"3 {await _own_name(database)}")
    first = 2 << TERM_BITS
    assert await room.everything() == [first + 1, first + 2, first + 3, first + 4, first + 5]
    assert term_in(first + 1) == 3


@pytest.mark.parametrize("first", ["join", "post", "change"])
async def test_a_master_that_was_not_met_yet_counts_as_it_will_then(database: Database, room: Room, first: str) -> None:
    """Nobody has left a mark in it: it holds that of its predecessor."""
    await _mark(database, "3 another/7")
    seq = await (room.join(BOB) if first == "join" else room.post() if first == "post" else room.change())
    assert seq == (3 << TERM_BITS) + 1
    await _mark(database, f"4 {await _own_name(database)}")
    assert await room.post() == seq + 1


async def test_what_has_a_number_is_found_by_it(room: Room) -> None:
    await room.everything()
    assert [await room.has(seq) for seq in range(8)] == [False, True, True, True, True, True, True, False]
