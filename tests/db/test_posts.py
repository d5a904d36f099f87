"""Writing posts to a real database: sequence, time, idempotency, counters."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest

from app.events.kinds import PostEdited
from db.drivers.pipeline import PipelineConnection
from db.model import shards
from db.model.board import Term
from db.model.entities import Channel
from db.model.errors import BadValue, Unavailable
from db.model.ids import ChannelId, PostId, TeamId, UserId, new_id
from db.model.settings import PoolSettings
from db.order import changes
from db.pool.pool import Database
from db.sql import channels, posts
from db.sql.posts import NewPost, Written
from db.writer import connect
from db.writer.batch import PostWriter
from tests.app.races import until_it_waits
from tests.db import rooms
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

ANN, BOB = UserId("a" * 26), UserId("b" * 26)


def _post(channel_id: str, user: UserId = ANN, pending: str | None = None, **fields: Any) -> NewPost:
    values: dict[str, Any] = {
        "id": PostId(new_id()), "channel_id": ChannelId(channel_id), "user_id": user, "root_id": "", "message": "m",
        "type": "", "props": "{}", "hashtags": "", "mentions": (), "pending_post_id": pending, "counts": True,
        "member_required": True,
    }  # fmt: skip
    return NewPost(**{**values, **fields})


async def _channel(database: Database, *members: UserId) -> ChannelId:
    channel_id = ChannelId(new_id())
    channel = Channel(channel_id, 1, 1, 0, TeamId(new_id()), "O", "C", "c", "", "", "", 0)
    async with database.transaction() as tx:
        await rooms.insert(tx, channel)
        for member in members:
            await rooms.join(tx, channel_id, member)
    return channel_id


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[PostWriter]:
    writer = PostWriter(lambda: connect.connect(database))
    yield writer
    await writer.close()


async def _head(database: Database, channel_id: str) -> Channel:
    channel = await channels.find(database, ChannelId(channel_id))
    assert channel is not None
    return channel


async def test_posts_take_the_channels_next_numbers_and_growing_times(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN, BOB)
    results = await asyncio.gather(*(writer.write(_post(channel_id)) for _ in range(50)))
    written = sorted((result for result in results if result is not None), key=lambda one: one.seq)
    assert [one.seq for one in written] == list(range(3, 53))  # two joined before
    assert all(a.create_at < b.create_at for a, b in itertools.pairwise(written))
    head = await _head(database, channel_id)
    assert (head.seq, head.total_msg_count, head.last_post_at) == (52, 50, written[-1].create_at)


async def test_a_clock_that_jumps_back_does_not_turn_time_back(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN)
    future = 4_000_000_000_000
    await database.execute("UPDATE channel_heads SET last_update_at = %s WHERE channel_id = %s", (future, channel_id))
    written = [await writer.write(_post(channel_id)) for _ in range(2)]
    assert [one.create_at for one in written if one is not None] == [future + 1, future + 2]


async def test_the_same_pending_id_is_the_same_post_and_takes_no_number(database: Database, writer: PostWriter) -> None:
    channel_id, other = await _channel(database, ANN), await _channel(database, ANN)
    first = await writer.write(_post(channel_id, pending="p"))
    again = await writer.write(_post(channel_id, pending="p"))
    elsewhere = await writer.write(_post(other, pending="p"))
    assert first is not None
    assert again is not None
    assert elsewhere is not None
    assert first.created
    assert (again.id, again.seq, again.created) == (first.id, first.seq, False)
    assert (elsewhere.id, elsewhere.created) == (first.id, False)
    assert (await _head(database, channel_id)).seq == first.seq
    assert (await _head(database, other)).seq == 1


async def test_pending_ids_are_of_their_user(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN, BOB)
    anns, bobs = await writer.write(_post(channel_id, ANN, "p")), await writer.write(_post(channel_id, BOB, "p"))
    assert anns is not None
    assert bobs is not None
    assert anns.id != bobs.id


async def test_two_workers_race_with_the_same_pending_id(database: Database, settings: PoolSettings) -> None:
    channel_id, other = await _channel(database, ANN), await _channel(database, ANN)
    writers = [PostWriter(lambda: connect.connect(database)) for _ in range(4)]
    for number in range(25):
        tries = [
            writer.write(_post(channel_id if index % 2 else other, pending=f"p{number}"))
            for index, writer in enumerate(writers)
        ]
        results = await asyncio.gather(*tries)
        assert len({one.id for one in results if one is not None}) == 1
        assert sum(one.created for one in results if one is not None) == 1
    rows = await database.fetch("SELECT count(*) FROM posts")
    assert rows == [(25,)]
    for writer in writers:
        await writer.close()


async def test_several_workers_write_into_one_channel_in_one_order(database: Database) -> None:
    channel_id = await _channel(database, ANN)
    writers = [PostWriter(lambda: connect.connect(database)) for _ in range(4)]

    async def write(writer: PostWriter) -> list[Written]:
        found = [await writer.write(_post(channel_id)) for _ in range(40)]
        return [one for one in found if one is not None]

    written = sorted(itertools.chain(*await asyncio.gather(*map(write, writers))), key=lambda one: one.seq)
    assert [one.seq for one in written] == list(range(2, 162))
    assert all(a.create_at < b.create_at for a, b in itertools.pairwise(written))
    head = await _head(database, channel_id)
    assert (head.seq, head.total_msg_count, head.last_post_at) == (161, 160, written[-1].create_at)
    for writer in writers:
        await writer.close()


async def test_a_post_waits_for_a_change_that_is_under_way_and_takes_the_number_after_it(
    database: Database, writer: PostWriter
) -> None:
    channel_id = await _channel(database, ANN)
    async with database.transaction() as tx:
        place = await changes.begin(tx, channel_id)
        assert place is not None
        writing = asyncio.create_task(writer.write(_post(channel_id)))
        await asyncio.wait([writing], timeout=0.5)
        assert not writing.done()
        await changes.record(tx, place, PostEdited(new_id()))
    written = await writing
    assert written is not None
    assert (written.seq, written.create_at > place.at) == (place.seq + 1, True)


async def test_only_members_write_unless_the_caller_says_so(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN)
    assert await writer.write(_post(channel_id, BOB)) is None
    assert await writer.write(_post(channel_id, BOB, member_required=False)) is not None
    assert await writer.write(_post(new_id())) is None


async def test_an_archived_channel_takes_no_posts(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN)
    await database.execute("UPDATE channels SET delete_at = 1 WHERE id = %s", (channel_id,))
    assert await writer.write(_post(channel_id)) is None


async def test_the_author_has_read_their_own_post_and_others_have_not(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN, BOB)
    await writer.write(_post(channel_id, mentions=(BOB,)))
    await writer.write(_post(channel_id, counts=False))
    ann = await channels.find_member(database, channel_id, ANN)
    bob = await channels.find_member(database, channel_id, BOB)
    assert ann is not None
    assert bob is not None
    assert (ann.msg_count, ann.mention_count) == (1, 0)
    assert (bob.msg_count, bob.mention_count, bob.mention_count_root) == (0, 1, 1)
    times = await channels.view(database, BOB, [channel_id])
    assert list(times) == [channel_id]
    bob = await channels.find_member(database, channel_id, BOB)
    assert bob is not None
    assert (bob.msg_count, bob.mention_count) == (1, 0)
    assert await database.fetch("SELECT 1 FROM post_mentions") == []


async def test_who_reads_on_two_devices_at_once_has_read_what_either_has(
    database: Database, writer: PostWriter
) -> None:
    """A view waits for the row that another one, or a post of its own author, is about to change: it takes nothing back."""
    channel_id = await _channel(database, ANN, BOB)
    await writer.write(_post(channel_id))
    async with database.transaction() as tx:
        await tx.execute("UPDATE channel_members SET roles = 'x' WHERE user_id = %s", (BOB,))
        earlier = asyncio.create_task(channels.view(database, BOB, [channel_id]))
        assert await until_it_waits(database, tx, earlier)
        await writer.write(_post(channel_id))  # committed after the earlier view has looked
        await channels.view(tx, BOB, [channel_id])
    await earlier
    head, bob = await _head(database, channel_id), await channels.find_member(database, channel_id, BOB)
    assert bob is not None
    assert (bob.viewed_seq, bob.msg_count, bob.msg_count_root) == (head.seq, 2, 2)
    assert bob.last_viewed_at == head.last_post_at


async def test_channels_are_viewed_in_the_order_of_their_ids(database: Database) -> None:
    """Whatever order they lie and are named in: who waits for one holds none that comes after it."""
    made = sorted((ChannelId(new_id()) for _ in range(6)), reverse=True)
    for channel_id in made:
        async with database.transaction() as tx:
            await rooms.insert(tx, Channel(channel_id, 1, 1, 0, TeamId(new_id()), "O", "C", "c", "", "", "", 0))
            await rooms.join(tx, channel_id, BOB)
    lock = "SELECT 1 FROM channel_members WHERE channel_id = %s AND user_id = %s FOR UPDATE"
    async with database.transaction() as tx:
        await tx.fetch(lock, (made[-1], BOB))
        viewing = asyncio.ensure_future(channels.view(database, BOB, made))
        assert await until_it_waits(database, tx, viewing)
        for channel_id in made[:-1]:
            assert await tx.fetch(f"{lock} NOWAIT", (channel_id, BOB))
    assert set(await viewing) == set(made)


async def test_replies_count_at_their_root(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN, BOB)
    root = await writer.write(_post(channel_id))
    assert root is not None
    replies = await asyncio.gather(*(writer.write(_post(channel_id, BOB, root_id=root.id)) for _ in range(3)))
    newest = max(reply.create_at for reply in replies if reply is not None)
    stored = await posts.find(database, root.id)
    assert stored is not None
    assert (stored.reply_count, stored.last_reply_at, stored.update_at) == (3, newest, newest)
    head = await _head(database, channel_id)
    assert (head.total_msg_count, head.total_msg_count_root) == (4, 1)
    assert await posts.find_participants(database, [root.id]) == {root.id: [BOB]}


@pytest.mark.parametrize("text", ["", "it's", 'say "hi" \\ {x}', "\u2603 \U0001f600", "a\nb\tc", "NULL", "\u0001"])
async def test_any_text_is_kept_as_it_is(database: Database, writer: PostWriter, text: str) -> None:
    channel_id = await _channel(database, ANN)
    written = await writer.write(_post(channel_id, message=text))
    assert written is not None
    stored = await posts.find(database, written.id)
    assert stored is not None
    assert stored.message == text


async def test_a_nul_fails_alone(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN)
    results = await asyncio.gather(
        writer.write(_post(channel_id)),
        writer.write(_post(channel_id, message="a\0b")),
        writer.write(_post(channel_id)),
        return_exceptions=True,
    )
    assert [isinstance(result, BadValue) for result in results] == [False, True, False]
    assert (await _head(database, channel_id)).total_msg_count == 2


@drivers("postgres")
async def test_the_writer_goes_on_when_its_connections_are_ended(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN)
    await writer.write(_post(channel_id))
    await database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    results = await asyncio.gather(*(writer.write(_post(channel_id, pending=f"p{n}")) for n in range(20)))
    assert all(result is not None for result in results)
    assert (await _head(database, channel_id)).total_msg_count == 21


@drivers("postgres")
async def test_a_pipeline_survives_errors_and_ends_with_its_connection(settings: PoolSettings) -> None:
    connection = await PipelineConnection.open(settings, posts.STATEMENTS)
    bad = _post("c" * 26, message="\0")
    with pytest.raises(BadValue):
        await connection.run(posts.batch_calls([bad]))
    assert not connection.closed
    assert await connection.run(posts.batch_calls([_post("c" * 26)])) == [[], []]
    connection.close()
    with pytest.raises(Unavailable):
        await connection.run(posts.batch_calls([_post("c" * 26)]))


async def test_lists_are_in_order_and_know_their_neighbours(database: Database, writer: PostWriter) -> None:
    channel_id = await _channel(database, ANN)
    written = [await writer.write(_post(channel_id, message=str(number))) for number in range(10)]
    seqs = [one.seq for one in written if one is not None]
    times = [one.create_at for one in written if one is not None]
    find: dict[str, Any] = {"offset": 0, "limit": 3, "roots_only": False}
    page = await posts.find_page(database, channel_id, **{**find, "offset": 3})
    assert [post.message for post in page] == ["6", "5", "4"]
    before = await posts.find_before(database, channel_id, seqs[5], **find)
    assert [post.message for post in before] == ["4", "3", "2"]
    after = await posts.find_after(database, channel_id, seqs[5], **find)
    assert [post.message for post in after] == ["8", "7", "6"]
    since, cut = await posts.find_since(database, channel_id, times[6], limit=10, roots_only=False)
    assert ([post.message for post in since], cut) == (["9", "8", "7"], False)
    newer, older = await posts.find_neighbour_ids(database, channel_id, page[0].seq, page[-1].seq)
    assert (newer, older) == (_id(written, 7), _id(written, 3))


def _id(written: list[Any], number: int) -> str:
    return str(written[number].id)


async def test_parallel_joins_leave_no_holes(database: Database) -> None:
    channel_id = await _channel(database)

    async def join(user: str) -> int:
        async with database.transaction() as tx:
            member = await rooms.join(tx, channel_id, UserId(user))
        assert member is not None
        return member.join_seq

    seqs = await asyncio.gather(*(join(new_id()) for _ in range(20)))
    assert sorted(seqs) == list(range(1, 21))
    events = await database.fetch("SELECT seq, kind FROM channel_events WHERE channel_id = %s", (channel_id,))
    assert sorted(events) == [(seq, "user_added") for seq in range(1, 21)]
    async with database.transaction() as tx:
        again = await rooms.join(tx, channel_id, UserId(new_id()))
        assert again is not None
        twice = await rooms.join(tx, channel_id, again.user_id)
    assert twice is None
    assert (await _head(database, channel_id)).seq == 21


class Listener:
    """Another node, which is told of commits; `stamped` when it is, if all that changed was stamped before."""

    wants_position = True

    def __init__(self, database: Database, watched: list[int]) -> None:
        self._database = database
        self._watched = watched
        self._tokens = database.stamps.take(watched)
        self.told: list[tuple[set[int], int]] = []

    async def committed(self, changed: Collection[int], position: int, _term: Term) -> None:
        for one, token in zip(self._watched, self._tokens[1:], strict=True):
            assert not self._database.stamps.hold([one], (self._tokens[0], token))
        self.told.append((set(changed), position))


async def test_a_batch_is_stamped_and_then_told_to_others_with_its_position(
    database: Database, writer: PostWriter
) -> None:
    channel_id = await _channel(database, ANN)
    await writer.write(_post(channel_id))  # nobody wants a position yet: the connection does not ask for one
    changed = [shards.posts(channel_id), shards.viewed(channel_id, ANN)]
    database.commits = listener = Listener(database, changed)
    before = await database.position()
    assert await writer.write(_post(channel_id)) is not None
    assert [told for told, _ in listener.told] == [set(changed)]
    assert listener.told[0][1] > before
