"""One next number and time: whatever changes a channel, it gets what `db/order/changes.py` gives out.

The batch of posts has a text of its own in each dialect (`db/sql/posts.py`, `db/writer/mysql.py`), which is compared with
the function here, on the same random histories.
"""

import ast
import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.events.kinds import PostEdited
from db.model.entities import Channel
from db.model.ids import ChannelId, PostId, TeamId, UserId, new_id
from db.model.numbers import TERM_BITS
from db.order import changes, clock
from db.pool.pool import Database
from db.sql.posts import NewPost
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db import rooms
from tests.plugins.drivers import drivers
from tests.rig.scale import scale

ROOT = Path(__file__).parents[2]
ANN, BOB = UserId("a" * 26), UserId("b" * 26)
Given = list[tuple[int, int]]
"""(number, time) of changes, in the order of their numbers."""


class Twins:
    """Two channels with the same history: in one by all the ways there are, in the other by the function alone."""

    def __init__(self, database: Database, writer: PostWriter) -> None:
        self._database = database
        self._writer = writer
        self.one, self.other = ChannelId(new_id()), ChannelId(new_id())

    async def begin(self) -> None:
        async with self._database.transaction() as tx:
            for channel_id in sorted((self.one, self.other)):
                await rooms.insert(tx, Channel(channel_id, 1, 1, 0, TeamId(new_id()), "O", "C", "c", "", "", "", 0))
                await rooms.join(tx, channel_id, ANN)

    async def put_ahead(self, ms: int) -> None:
        """The last change of both was so much later than the clock (or earlier)."""
        at = await clock.now_ms(self._database) + ms
        await self._database.execute(
            "UPDATE channel_heads SET last_update_at = %s WHERE channel_id IN (%s, %s)", (at, self.one, self.other)
        )

    async def head(self, channel_id: ChannelId) -> tuple[int, int]:
        row = await self._database.fetch_one(
            "SELECT seq, last_update_at FROM channel_heads WHERE channel_id = %s", (channel_id,)
        )
        assert row is not None
        return row[0], row[1]

    async def by_posts(self, number: int) -> Given:
        """Many at once, so that they are batches."""
        new = [
            NewPost(PostId(new_id()), self.one, ANN, "", "m", "", "{}", "", (), None, counts=True, member_required=True)
            for _ in range(number)
        ]
        written = await asyncio.gather(*map(self._writer.write, new))
        return sorted((one.seq, one.create_at) for one in written if one is not None)

    async def by_joining(self, _: int) -> Given:
        async with self._database.transaction() as tx:
            left = await rooms.leave(tx, self.one, BOB)
        if left is not None:
            return await self._stored(1)
        async with self._database.transaction() as tx:
            member = await rooms.join(tx, self.one, BOB)
        assert member is not None
        assert member.join_seq == member.viewed_seq
        assert member.last_update_at == member.last_viewed_at
        assert await self._stored(1) == [(member.join_seq, member.last_update_at)]
        return [(member.join_seq, member.last_update_at)]

    async def _stored(self, number: int) -> Given:
        rows = await self._database.fetch(
            "SELECT seq, create_at FROM channel_events WHERE channel_id = %s ORDER BY seq DESC LIMIT %s",
            (self.one, number),
        )
        return [(row[0], row[1]) for row in reversed(rows)]

    async def by_function(self, number: int, channel_id: ChannelId | None = None) -> Given:
        given: Given = []
        for _ in range(number):
            async with self._database.transaction() as tx:
                place = await rooms.place(tx, channel_id or self.other)
                await changes.record(tx, place, PostEdited(new_id()))
            given.append((place.seq, place.at))
        return given

    async def by_change(self, number: int) -> Given:
        return await self.by_function(number, self.one)


@pytest.fixture
async def twins(database: Database) -> AsyncIterator[Twins]:
    writer = PostWriter(lambda: connect.connect(database))
    yield Twins(database, writer)
    await writer.close()


async def _mark(database: Database, term: int) -> None:
    """As a later master has it that nobody met yet: its predecessor's."""
    await database.execute("DELETE FROM systems WHERE name = 'db_generation'")
    await database.execute("INSERT INTO systems (name, value) VALUES ('db_generation', %s)", (f"{term} another/7",))


@drivers("postgres", "mysql")
async def test_every_way_gives_the_number_and_the_time_of_the_function(database: Database, twins: Twins) -> None:
    for seed in range(scale(6, 60)):
        await _history(database, twins, random.Random(seed), f"seed {seed}")


async def _history(database: Database, twins: Twins, rng: random.Random, name: str) -> None:
    twins.one, twins.other, term = ChannelId(new_id()), ChannelId(new_id()), 0
    await database.execute("DELETE FROM systems WHERE name = 'db_generation'")
    await twins.begin()
    for step in range(12):
        where = f"{name}, step {step}"
        if rng.random() < 0.2:
            term += rng.randrange(1, 3)
            await _mark(database, term)
        await twins.put_ahead(rng.choice((-3_600_000, -1000, 1_000_000, 3_600_000)))
        seq, last = await twins.head(twins.one)
        assert (seq, last) == await twins.head(twins.other), where
        way, number = rng.choice(((twins.by_posts, rng.randrange(1, 9)), (twins.by_joining, 1), (twins.by_change, 2)))
        before = await clock.now_ms(database)
        given, same = await way(number), await twins.by_function(number)
        after = await clock.now_ms(database)
        first = max(seq, (term << TERM_BITS) if term else 0) + 1
        assert [one for one, _ in given] == [one for one, _ in same] == list(range(first, first + number)), where
        for times in ([at for _, at in given], [at for _, at in same]):
            assert times == sorted(set(times)), where
            if last > after:  # exactly the next moments, whatever the clock says
                assert times == list(range(last + 1, last + 1 + number)), where
            else:
                assert before <= times[0], where
                assert times[-1] <= after + number, where
        assert await twins.head(twins.one) == given[-1], where
        assert await twins.head(twins.other) == same[-1], where


def test_numbers_are_given_out_in_three_places_which_are_compared_above() -> None:
    """A head is moved by the function and by the two texts of the batch, and nowhere else."""
    moves = re.compile(r"UPDATE channel_heads[^\"]*? SET [^\"]*\bseq = |INSERT INTO channel_heads \(channel_id, seq")
    found = set()
    for path in sorted((ROOT / "db").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr | ast.Constant) and moves.search(ast.unparse(node)):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {"db/order/changes.py", "db/sql/posts.py", "db/writer/mysql.py"}
