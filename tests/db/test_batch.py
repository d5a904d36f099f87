"""Natural batching, under a fake database: order, idempotency, errors, lost connections."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from db.model.errors import BadValue, Busy, ConnectionLost, Deadlock, Locked, Unavailable
from db.model.ids import ChannelId, PostId, UserId, new_id
from db.sql.posts import NewPost, Written
from db.writer.batch import MAX_BATCH_ROWS, BatchQueue, Item, PostWriter
from db.writer.outcome import Landed
from tests.rig.scale import for_each_seed, scale


def _post(channel: str = "c", user: str = "ann", pending: str | None = None, message: str = "m") -> NewPost:
    return NewPost(
        PostId(new_id()), ChannelId(channel), UserId(user), "", message, "", "{}", "", (), pending, True, True
    )


class FakeDatabase:
    """What a correct database does: rows by id and by key, a sequence a channel, all or nothing."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, NewPost]] = {}
        self.by_key: dict[tuple[str, str], str] = {}
        self.heads: dict[str, int] = {}
        self.batches: list[list[NewPost]] = []
        self.locked: set[str] = set()
        self.held: set[str] = set()
        """Channels whose locks somebody else has: in vain each batch waits for them a while."""
        self.in_vain = 0
        self.plan: list[Exception | None] = []
        """Errors of the next writes, in order; None: all is well. `LostAfterCommit` loses only the answer."""
        self.connects = 0
        self.unreachable = 0
        self.open = asyncio.Event()
        """Writes wait for it."""
        self.open.set()
        self.telling: asyncio.Event | None = None
        """While it is not set the other nodes have not heard of what was committed; None: there are none."""
        self.told: list[list[NewPost]] = []

    async def tell(self, batch: Sequence[NewPost]) -> None:
        assert self.telling is not None
        self.told.append(list(batch))
        if len(self.told) == 1:
            await self.telling.wait()

    async def connect(self) -> "FakeConnection":
        self.connects += 1
        if self.unreachable:
            self.unreachable -= 1
            raise Unavailable("not there")
        return FakeConnection(self)

    def commit(self, batch: Sequence[NewPost]) -> list[Written | None]:
        results: list[Written | None] = []
        for post in batch:
            known = self.by_key.get(post.key) if post.key is not None else None
            if known is None and post.id in self.rows:
                known = post.id
            if known is not None:
                results.append(Written(PostId(known), self.rows[known][0], 0, created=False))
            elif post.message == "refuse":
                results.append(None)
            else:
                seq = self.heads[post.channel_id] = self.heads.get(post.channel_id, 0) + 1
                self.rows[post.id] = (seq, post)
                if post.key is not None:
                    self.by_key[post.key] = post.id
                results.append(Written(post.id, seq, 0, created=True))
        return results


class LostAfterCommit(ConnectionLost):
    """The answer is lost, the rows are there."""


class FakeConnection:
    def __init__(self, database: FakeDatabase) -> None:
        self._database = database
        self.closed = False

    async def write(self, batch: Sequence[NewPost]) -> Landed:
        database = self._database
        channels = {post.channel_id for post in batch}
        assert not channels & database.locked, "a channel is in two batches at once"
        database.locked |= channels
        database.batches.append(list(batch))
        try:
            await asyncio.sleep(0)
            await database.open.wait()
            if channels & database.held:
                await asyncio.sleep(0.01)
                database.in_vain += 1
                raise Locked("somebody has it")
            error = database.plan.pop(0) if database.plan else None
            if any(post.message == "bad" for post in batch):
                raise BadValue("bad")
            if isinstance(error, LostAfterCommit):
                database.commit(batch)
            if error is not None:
                self.closed = isinstance(error, ConnectionLost)
                raise error
            return Landed(database.commit(batch), database.tell(batch) if database.telling is not None else None)
        finally:
            database.locked -= channels

    def close(self) -> None:
        self.closed = True


async def test_what_arrives_together_goes_together() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect)
    await asyncio.gather(*(writer.write(_post(f"c{number}")) for number in range(20)))
    assert [len(batch) for batch in database.batches] == [20]


async def test_a_lone_post_goes_at_once() -> None:
    database = FakeDatabase()
    written = await PostWriter(database.connect).write(_post())
    assert written is not None
    assert (written.seq, written.created) == (1, True)


async def test_a_channel_with_a_batch_under_way_waits_others_do_not() -> None:
    database = FakeDatabase()
    database.open.clear()
    writer = PostWriter(database.connect)
    tasks = [asyncio.create_task(writer.write(_post("c")))]
    while len(database.batches) < 1:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(writer.write(_post(channel))) for channel in "cd"]
    while len(database.batches) < 2:
        await asyncio.sleep(0)
    database.open.set()
    await asyncio.gather(*tasks)
    assert [[post.channel_id for post in batch] for batch in database.batches] == [["c"], ["d"], ["c"]]


async def test_a_batch_has_a_most_in_rows_and_in_bytes() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect)
    await asyncio.gather(*(writer.write(_post(f"c{number % 3}")) for number in range(300)))
    assert max(len(batch) for batch in database.batches) <= MAX_BATCH_ROWS
    queue = BatchQueue(max_rows=100, max_bytes=1000)
    for number in range(10):
        queue.add(Item(_post(f"c{number}", message="x" * 400), 0.0))
    assert len(queue.take()) == 3


async def test_a_retry_beside_its_first_try_waits_for_the_same_post() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect)
    first, retry = await asyncio.gather(writer.write(_post(pending="p")), writer.write(_post(pending="p")))
    assert first is not None
    assert retry is not None
    assert first.id == retry.id
    assert (first.created, retry.created) == (True, False)
    assert len(database.rows) == 1


async def test_a_retry_after_the_first_try_finds_it() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect)
    first = await writer.write(_post(pending="p"))
    retry = await writer.write(_post(pending="p"))
    assert first is not None
    assert retry is not None
    assert (retry.id, retry.created) == (first.id, False)


async def test_the_same_pending_id_in_another_channel_finds_the_first_post_and_not_its_refusal() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect)
    first, other = await asyncio.gather(writer.write(_post("a", pending="p")), writer.write(_post("b", pending="p")))
    assert first is not None
    assert other == Written(first.id, first.seq, 0, created=False)
    refused, written = await asyncio.gather(
        writer.write(_post("a", pending="q", message="refuse")), writer.write(_post("b", pending="q"))
    )
    assert refused is None
    assert written is not None
    assert (written.created, database.rows[written.id][1].channel_id) == (True, "b")


async def test_without_a_pending_id_two_posts_are_two() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect)
    await asyncio.gather(writer.write(_post()), writer.write(_post()))
    assert len(database.rows) == 2


async def test_one_bad_row_fails_alone() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect)
    posts = [_post(f"c{number}", message="bad" if number == 3 else "m") for number in range(6)]
    results = await asyncio.gather(*(writer.write(post) for post in posts), return_exceptions=True)
    assert [isinstance(result, BadValue) for result in results] == [False, False, False, True, False, False]
    assert len(database.rows) == 5


async def test_a_refused_row_is_none() -> None:
    assert await PostWriter(FakeDatabase().connect).write(_post(message="refuse")) is None


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_doubled() -> None:
    database = FakeDatabase()
    database.plan = [LostAfterCommit("cut")]
    writer = PostWriter(database.connect)
    results = await asyncio.gather(*(writer.write(_post(f"c{number}")) for number in range(5)))
    assert all(result is not None for result in results)
    assert len(database.rows) == 5
    assert database.connects == 2


async def _all(writer: PostWriter, *channels: str) -> list[Written | None]:
    return list(await asyncio.gather(*(writer.write(_post(channel)) for channel in channels)))


async def test_who_waits_for_one_channel_waits_in_no_other() -> None:
    database = FakeDatabase()
    database.held = {"a", "b"}  # as many as there are lanes
    writer = PostWriter(database.connect)
    held = [asyncio.create_task(_all(writer, *"ab"))]
    for channels in ("c", "abc", "acd", "c"):
        before = database.in_vain
        held.append(asyncio.create_task(_all(writer, *(one for one in channels if one in database.held))))
        await asyncio.sleep(0)
        assert all(await _all(writer, *(one for one in channels if one not in database.held)))
        assert database.in_vain <= before + 3, "each lane has waited once"
    assert not held[0].done()
    database.held = set()
    found = [[written.seq for written in await one if written is not None] for one in held]
    assert found == [[1, 1], [], [2, 2], [3], []]
    database.batches.clear()
    await _all(writer, *"abc")
    assert len(database.batches) == 1, "and then they go together again"


async def test_posts_of_a_channel_that_is_held_keep_their_order() -> None:
    database = FakeDatabase()
    database.plan = [BadValue("of one of them, so they go row by row"), Locked("the first of them")]
    written = await _all(PostWriter(database.connect), *"aaa")
    assert [one.seq for one in written if one is not None] == [1, 2, 3]


async def test_a_lock_is_not_waited_for_for_ever() -> None:
    database = FakeDatabase()
    database.held = {"a"}
    writer = PostWriter(database.connect, timeout_s=0.1)
    waiting = asyncio.create_task(writer.write(_post("a")))
    await asyncio.sleep(0.05)
    assert await writer.write(_post("b"))
    with pytest.raises(Locked):
        await asyncio.wait_for(waiting, 1)
    assert writer._queue.size == 0


async def test_deadlocks_are_tried_again() -> None:
    database = FakeDatabase()
    database.plan = [Deadlock("40P01"), Deadlock("40P01")]
    assert await PostWriter(database.connect).write(_post()) is not None


async def test_deadlocks_without_end_fail() -> None:
    database = FakeDatabase()
    database.plan = [Deadlock("40P01")] * 50
    with pytest.raises(Deadlock):
        await PostWriter(database.connect).write(_post())


async def test_an_unreachable_database_is_waited_for() -> None:
    database = FakeDatabase()
    database.unreachable = 3
    assert await PostWriter(database.connect).write(_post()) is not None


async def test_but_not_for_ever() -> None:
    database = FakeDatabase()
    database.unreachable = 10_000
    writer = PostWriter(database.connect, timeout_s=0.2)
    with pytest.raises(Unavailable):
        await writer.write(_post())
    database.unreachable = 0
    assert await writer.write(_post()) is not None


async def test_the_queue_is_bounded() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect, max_waiting=10)
    tasks = [asyncio.create_task(writer.write(_post())) for _ in range(15)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, Busy) for result in results) == 5
    assert len(database.rows) == 10


async def test_close_finishes_what_is_under_way() -> None:
    database = FakeDatabase()
    writer = PostWriter(database.connect)
    task = asyncio.create_task(writer.write(_post()))
    while not database.batches:
        await asyncio.sleep(0)
    await writer.close()
    assert await task is not None


async def _storm(chance: random.Random) -> None:
    """Writers with retries, errors and lost answers: each acknowledged post is there once, sequences have no holes."""
    database = FakeDatabase()
    database.plan = [
        chance.choice([None, None, None, ConnectionLost("x"), LostAfterCommit("x"), Deadlock("x"), BadValue("y")])
        for _ in range(200)
    ]
    writer = PostWriter(database.connect, connections=chance.choice([1, 2, 3]))
    acknowledged: dict[str, str] = {}

    async def client(name: str) -> None:
        for number in range(5):
            pending = f"{name}-{number}"
            channel = chance.choice("xyz")
            while pending not in acknowledged:
                copies = chance.choice([1, 1, 2])
                tries = [writer.write(_post(channel, name, pending)) for _ in range(copies)]
                for result in await asyncio.gather(*tries, return_exceptions=True):
                    if isinstance(result, Written):
                        assert acknowledged.setdefault(pending, result.id) == result.id
                if chance.random() < 0.2:
                    await asyncio.sleep(0)

    await asyncio.gather(*(client(f"user{number}") for number in range(6)))
    await writer.close()
    assert len(database.rows) == len(acknowledged) == 30
    assert {database.by_key[(key.split("-")[0], key)]: key for key in acknowledged} == {
        post_id: key for key, post_id in acknowledged.items()
    }
    for channel, head in database.heads.items():
        seqs = sorted(seq for seq, post in database.rows.values() if post.channel_id == channel)
        assert seqs == list(range(1, head + 1))


def test_nothing_acknowledged_is_lost_or_doubled_in_a_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.writer.batch._RECONNECT_DELAY_S", 0.0)
    for_each_seed(scale(150, 20_000), lambda chance: asyncio.run(_storm(chance)))


async def test_while_others_are_told_the_lane_is_free_and_answers_wait_in_order() -> None:
    database = FakeDatabase()
    database.telling = asyncio.Event()
    writer = PostWriter(database.connect, connections=1)
    answered: list[str] = []

    async def write(message: str) -> None:
        assert await writer.write(_post(message=message)) is not None
        answered.append(message)

    first = asyncio.create_task(write("first"))
    while len(database.told) < 1:
        await asyncio.sleep(0)
    second = asyncio.create_task(write("second"))
    while len(database.told) < 2:  # the second batch is committed and told while the first one's telling lasts
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert answered == []
    database.telling.set()
    await asyncio.gather(first, second)
    assert answered == ["first", "second"]
    await writer.close()


async def test_posts_are_answered_though_nobody_could_be_told(caplog: pytest.LogCaptureFixture) -> None:
    database = FakeDatabase()
    database.telling = asyncio.Event()

    async def fail(batch: Sequence[NewPost]) -> None:
        raise ZeroDivisionError

    database.tell = fail  # type: ignore[method-assign]
    writer = PostWriter(database.connect)
    assert await writer.write(_post()) is not None
    assert "could not be told" in caplog.text
    await writer.close()


async def test_a_batch_whose_master_is_none_any_more_is_written_again_where_the_master_is() -> None:
    database = FakeDatabase()
    database.telling = asyncio.Event()
    told = 0

    async def a_later_term_is_known(batch: Sequence[NewPost]) -> None:
        nonlocal told
        told += 1
        if told == 1:
            database.rows.clear()
            database.by_key.clear()
            raise ConnectionLost("another database has become the master meanwhile")

    database.tell = a_later_term_is_known  # type: ignore[method-assign]
    writer = PostWriter(database.connect)
    written = await writer.write(_post(pending="ann:1"))
    assert written is not None
    assert written.id in database.rows
    assert told == 2
    await writer.close()
