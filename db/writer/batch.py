"""Natural batching of posts: what queued while a write was under way goes as the next write (design §4).

No timer and no added latency when idle: at most `connections` batches are under way, everything else waits its turn,
a channel with a batch under way waits for that one. A failed batch goes again row by row, so that one bad row fails
alone. Where somebody holds a lock for longer than LOCK_WAIT_S, its channels go again each by itself, after all others:
who waits for one channel waits in no other. A lost connection makes the outcome unknown: the rows are written again
under the same ids, which finds what was committed.

    submit ──> BatchQueue (sans-I/O) ──take──> one transaction, one round trip ──> others told (Commits) ──> futures

While the other nodes are told of a batch the next one is under way; only the answers wait.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from db.model.errors import Busy, DatabaseError, Deadlock, Duplicate, Locked, Unavailable
from db.model.ids import ChannelId
from db.pool.batching import Lanes
from db.sql.posts import NewPost, Written
from db.writer.outcome import BatchConnection, Landed

log = logging.getLogger(__name__)

MAX_BATCH_ROWS = 128
MAX_BATCH_BYTES = 1 << 20
MAX_WAITING = 4096
MAX_REMEMBERED = 10_000
_RECONNECT_DELAY_S = 0.05
_CONFLICT_ATTEMPTS = 5


class Item:
    """One post on its way, and everybody who waits for it (a client that retries waits beside its first try)."""

    __slots__ = ("deadline", "post", "waiters")

    def __init__(self, post: NewPost, deadline: float) -> None:
        self.post = post
        self.deadline = deadline
        self.waiters: list[asyncio.Future[Written | None]] = []


class BatchQueue:
    """Which posts wait and which go next. Sans-I/O.

    Posts of one channel leave in the order of arrival and never in two batches at once.
    """

    def __init__(self, max_rows: int = MAX_BATCH_ROWS, max_bytes: int = MAX_BATCH_BYTES) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._waiting: dict[ChannelId, deque[Item]] = {}
        self._under_way: set[ChannelId] = set()
        self._alone: set[ChannelId] = set()
        """Somebody holds these: no other channel goes with them."""
        self._by_key: dict[tuple[str, str], Item] = {}
        self.size = 0

    def find(self, key: tuple[str, str]) -> Item | None:
        """The item with this idempotency key that waits or is under way."""
        return self._by_key.get(key)

    def add(self, item: Item) -> None:
        """Queue a post."""
        self._waiting.setdefault(item.post.channel_id, deque()).append(item)
        if item.post.key is not None:
            self._by_key[item.post.key] = item
        self.size += 1

    def take(self) -> list[Item]:
        """The next batch, oldest channels first; empty when nothing may go now."""
        batch: list[Item] = []
        size = 0
        for channel_id in list(self._waiting):
            if channel_id in self._under_way or (batch and channel_id in self._alone):
                continue
            line = self._waiting[channel_id]
            while line and len(batch) < self._max_rows and size < self._max_bytes:
                item = line.popleft()
                size += len(item.post.message) + len(item.post.props)
                batch.append(item)
            if not line:
                del self._waiting[channel_id]
            if len(batch) >= self._max_rows or size >= self._max_bytes or channel_id in self._alone:
                break
        self._under_way.update(item.post.channel_id for item in batch)
        self.size -= len(batch)
        return batch

    def put_back(self, batch: Sequence[Item]) -> None:
        """It got its locks not in time: its channels go again each by itself, and others first."""
        for item in reversed(batch):
            self._waiting.setdefault(item.post.channel_id, deque()).appendleft(item)
        for channel_id in dict.fromkeys(item.post.channel_id for item in batch):
            self._waiting[channel_id] = self._waiting.pop(channel_id)
            self._alone.add(channel_id)
        self.size += len(batch)

    def landed(self, batch: Sequence[Item]) -> None:
        """It got its locks."""
        if self._alone:
            self._alone.difference_update(item.post.channel_id for item in batch)

    def answered(self, item: Item) -> None:
        """Its waiters have their answer: who comes with its key from now on is a new item."""
        if item.post.key is not None and self._by_key.get(item.post.key) is item:
            del self._by_key[item.post.key]

    def done(self, batch: Sequence[Item]) -> None:
        """The batch is over: its channels are free again."""
        self._under_way.difference_update(item.post.channel_id for item in batch)


class PostWriter:
    """The one way by which posts reach the database in a worker.

    connections: batches under way at most. timeout_s: how long a post may wait, lost connections included.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[BatchConnection]],
        *,
        connections: int = 2,
        timeout_s: float = 10.0,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._queue = BatchQueue()
        self._lanes: Lanes[list[Item], BatchConnection] = Lanes(
            connect, connections, self._queue.take, self._write_batch, self._failed, self._queue.done
        )
        self._loop = asyncio.get_running_loop()
        self._answering: asyncio.Task[None] | None = None
        self.acknowledged: dict[ChannelId, int] = {}
        """The newest number given to a post of each of the channels written to last."""

    async def write(self, post: NewPost) -> Written | None:
        """Write a post; None when the channel or its root is gone, or its author no member.

        The same key finds the first post that bears it, in whatever channel: who hands it out looks at what it is.
        The answer comes after the commit. Raises Busy when too many wait, Unavailable when the database could not be
        reached in time (the outcome is then unknown: retry under the same pending id), BadValue for what it cannot
        hold.
        """
        item = self._queue.find(post.key) if post.key is not None else None
        if item is None:
            if self._queue.size >= self._max_waiting:
                raise Busy("too many posts wait for the database")
            item = Item(post, self._loop.time() + self._timeout_s)
            self._queue.add(item)
            self._lanes.kick()
        waiter: asyncio.Future[Written | None] = self._loop.create_future()
        first = not item.waiters
        item.waiters.append(waiter)
        written = await waiter
        if first:
            return written
        if written is not None:
            return Written(written.id, written.seq, written.create_at, created=False)
        if item.post.channel_id != post.channel_id:  # what another channel refused says nothing of this one
            return await self.write(post)
        return None

    async def close(self) -> None:
        """Finish what is under way, then close the connections."""
        await self._lanes.close()

    def _failed(self, batch: list[Item], error: Exception) -> None:
        log.error("a batch of posts failed", exc_info=error)
        for item in batch:
            self._fail(item, error)

    async def _write_batch(self, batch: list[Item]) -> None:
        try:
            await self._land(batch)
        except Locked as error:
            self._put_back(batch, error)
        except Unavailable as error:
            for item in batch:
                self._fail(item, error)
        except DatabaseError as error:
            if len(batch) == 1:
                self._fail(batch[0], error)
                return
            for place, item in enumerate(batch):
                try:
                    await self._land([item])
                except Locked as locked:  # those behind it stay behind it
                    self._put_back(batch[place:], locked)
                    return
                except DatabaseError as its_own:
                    self._fail(item, its_own)

    def _put_back(self, batch: list[Item], error: Locked) -> None:
        """What others hold is waited for until each post's time is over."""
        now = self._loop.time()
        for item in batch:
            if now >= item.deadline:
                self._fail(item, error)
        self._queue.put_back([item for item in batch if now < item.deadline])
        self._lanes.kick()

    async def _land(self, batch: list[Item]) -> None:
        """Write, and answer when the other nodes have been told."""
        landed = await self._write_until(batch, batch[0].deadline)
        self._queue.landed(batch)
        if landed.told is None and self._answering is None:
            self._answer(batch, landed.results)
        else:
            self._answering = self._lanes.tasks.start(self._answer_when_told(batch, landed, self._answering))

    async def _answer_when_told(self, batch: list[Item], landed: Landed, before: asyncio.Task[None] | None) -> None:
        """Answers keep the order of the commits, so that the events of a channel are published in its order."""
        over = False
        try:
            if landed.told is not None:
                await landed.told
        except Unavailable:  # its master is none any more: the one of now says whether it has the posts
            over = True
        except Exception:  # it is committed, and the outbox tells of it
            log.exception("the other nodes could not be told of a batch of posts")
        if before is not None and not before.done():
            await asyncio.wait([before])
        if self._answering is asyncio.current_task():
            self._answering = None
        if over:
            await self._write_batch(batch)
        else:
            self._answer(batch, landed.results)

    def _answer(self, batch: list[Item], results: list[Written | None]) -> None:
        for item, written in zip(batch, results, strict=True):
            self._resolve(item, written)

    async def _write_until(self, batch: list[Item], deadline: float) -> Landed:
        """Write, on new connections if need be, until it succeeds, is refused or the time is over."""
        rows = [item.post for item in batch]
        conflicts = 0
        while True:
            try:
                connection = self._lanes.idle() or await self._lanes.connect()
                try:
                    return await connection.write(rows)
                finally:
                    self._lanes.check_in(connection)
            except Unavailable:
                if self._loop.time() + _RECONNECT_DELAY_S >= deadline:
                    raise
                await asyncio.sleep(_RECONNECT_DELAY_S)
            except Locked:
                raise
            except (Deadlock, Duplicate):  # a Duplicate: another worker was faster; the next try finds its post
                conflicts += 1
                if conflicts == _CONFLICT_ATTEMPTS:
                    raise

    def _resolve(self, item: Item, written: Written | None) -> None:
        self._queue.answered(item)
        if written is not None and written.created:
            channel_id = item.post.channel_id
            newest = max(written.seq, self.acknowledged.pop(channel_id, 0))
            self.acknowledged[channel_id] = newest  # last in the order of the dictionary
            if len(self.acknowledged) > MAX_REMEMBERED:
                del self.acknowledged[next(iter(self.acknowledged))]
        for waiter in item.waiters:
            if not waiter.done():
                waiter.set_result(written)

    def _fail(self, item: Item, error: Exception) -> None:
        self._queue.answered(item)
        for waiter in item.waiters:
            if not waiter.done():
                waiter.set_exception(error)
