"""Copies that a worker keeps of what it has read, and the proof at each hit that they are still true (decision 0012).

    get(key) ── copy here, stamps as they were before it was read, fence open ──> it
        └────── otherwise one fill for all who ask meanwhile ──> database (loader.py batches them) ──> kept if unstamped

- *Token*: the stamps (`db.model.shards.Stamps`) of what a copy depends on are taken before it is read. While they show
  the same, nothing of it was changed by this node, nor by another one that this node has heard of.
- *Floors*: a fill reads by `db/pool/pool.py`, so no replica answers that lacks what was stamped before.
- *Fence*: a copy counts only if the last poll of the outbox that was applied was sent less than 2.0 s ago. While the
  fence is closed the master answers, a few fills at a time (`MAX_FILLS`).

What a copy depends on beyond its key is known only from its row: the first read of a key is not kept, only what it
depends on, and the next one is. What is not there is not kept. Copies are shared: nobody may change one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from db.model.board import Board, boottime_ns, fence_open
from db.model.errors import Busy, Unavailable
from db.model.shards import Shard, Stamps, Tokens

MAX_FILLS = 4
"""Fills at once in a worker while the fence is closed: a master that is slow must not get all reads of the caches."""
MAX_WAITING = 256
FILL_WAIT_S = 1.0

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Copy(Generic[V]):
    """value: None when only what it depends on is known."""

    __slots__ = ("shards", "size", "tokens", "value")

    def __init__(self, shards: tuple[Shard, ...], tokens: Tokens = (), value: V | None = None, size: int = 0) -> None:
        self.shards = shards
        self.tokens = tokens
        self.value = value
        self.size = size


class _Fill(Generic[V]):
    """A read under way and who waits for it. asked_ns: when it was sent; 0 before that."""

    __slots__ = ("asked_ns", "done", "error", "value")

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done
        self.asked_ns = 0
        self.value: V | None = None
        self.error: Exception | None = None


class Registry:
    """All caches of a worker. Every cache is made by `declare`, so that none is left out by a purge."""

    def __init__(self, stamps: Stamps, board: Board, now_ns: Callable[[], int] = boottime_ns) -> None:
        self.stamps = stamps
        self.now_ns = now_ns
        self._board = board
        self._caches: dict[str, Cache[Hashable, object]] = {}
        self._places = asyncio.Semaphore(MAX_FILLS)
        self._waiting = 0

    def declare(
        self,
        name: str,
        fill: Callable[[K], Awaitable[V | None]],
        *,
        on: Callable[[K], Collection[Shard]],
        of: Callable[[V], Iterable[Shard]] | None = None,
        capacity: int,
        size: Callable[[V], int] | None = None,
        max_bytes: int = 0,
    ) -> "Cache[K, V]":
        """A new cache. on, of: what a copy depends on, by its key and by itself. fill: reads it; no fill uses a cache.

        capacity: copies at most; with `size`, also `max_bytes` of them. What was used longest ago goes.
        """
        if name in self._caches:
            raise ValueError(f"there are two caches {name}")
        cache = Cache(self, fill, on, of, capacity, size, max_bytes)
        self._caches[name] = cache  # type: ignore[assignment]
        return cache

    @property
    def names(self) -> list[str]:
        """Of all caches."""
        return list(self._caches)

    def purge(self) -> None:
        """Empty all caches of this worker; no copy of any other worker of the node counts any more."""
        self.stamps.write_all()
        for cache in self._caches.values():
            cache.clear()

    def figures(self) -> dict[str, dict[str, int]]:
        """By cache: copies, bytes (where counted), hits, misses, and copies found to be stale (misses, too)."""
        return {name: cache.figures() for name, cache in self._caches.items()}

    def holds(self, shards: Sequence[Shard], tokens: Tokens) -> bool:
        """Whether a copy with these tokens counts now.

        The fence is read first and the clock last: the stamps are then those of the poll that opened the fence or of a
        later one, and a process that was frozen in between finds the fence closed.
        """
        polled_ns = self._board.polled_ns()
        return self.stamps.hold(shards, tokens) and fence_open(polled_ns, self.now_ns())

    async def admit(self) -> bool:
        """Wait for leave to read. True: it is one of few places, and `release` gives it back.

        Raises Busy, Unavailable.
        """
        if fence_open(self._board.polled_ns(), self.now_ns()):
            return False
        if self._waiting >= MAX_WAITING:
            raise Busy("too many reads wait while it is unknown what has changed")
        self._waiting += 1
        try:
            async with asyncio.timeout(FILL_WAIT_S):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable("the database answers too slowly while it is unknown what has changed") from error
        finally:
            self._waiting -= 1
        return True

    def release(self) -> None:
        """Give a place back."""
        self._places.release()


class Cache(Generic[K, V]):
    """Copies of one kind. Made by `Registry.declare`."""

    def __init__(
        self,
        registry: Registry,
        fill: Callable[[K], Awaitable[V | None]],
        on: Callable[[K], Collection[Shard]],
        of: Callable[[V], Iterable[Shard]] | None,
        capacity: int,
        size: Callable[[V], int] | None,
        max_bytes: int,
    ) -> None:
        self._registry = registry
        self._read = fill
        self._on = on
        self._of = of
        self._capacity = capacity
        self._size = size
        self._max_bytes = max_bytes
        self._copies: OrderedDict[K, _Copy[V]] = OrderedDict()
        self._fills: dict[K, _Fill[V]] = {}
        self._bytes = 0
        self._hits = self._misses = self._stale = 0

    async def get(self, key: K) -> V | None:
        """What is there under this key, or None: then the master has said so. Raises DatabaseError.

        Never older than what this node acknowledged before the question, nor by more than 2 s than what anybody did.
        """
        found = self._find(key)
        return found if found is not None else await self._miss(key)

    async def get_many(self, keys: Iterable[K], fill: Callable[[list[K]], Awaitable[dict[K, V]]]) -> dict[K, V]:
        """What is there under these keys. fill: reads what is missing, all at once. Only where there is no `of`."""
        assert self._of is None
        found: dict[K, V] = {}
        missing: list[K] = []
        for key in keys:
            value = self._find(key)
            if value is None:
                missing.append(key)
            else:
                found[key] = value
        if missing:
            stamps = self._registry.stamps
            placed = await self._registry.admit()
            try:
                taken = {key: (shards, stamps.take(shards)) for key in missing for shards in (tuple(self._on(key)),)}
                filled = await fill(missing)
            finally:
                if placed:
                    self._registry.release()
            for key, value in filled.items():
                shards, tokens = taken[key]
                if stamps.hold(shards, tokens):
                    self._keep(key, _Copy(shards, tokens, value, self._size(value) if self._size else 0))
            found |= filled
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._copies.clear()
        self._bytes = 0

    def figures(self) -> dict[str, int]:
        """See `Registry.figures`."""
        found = {"copies": len(self._copies), "hits": self._hits, "misses": self._misses, "stale": self._stale}
        return found | {"bytes": self._bytes} if self._size else found

    def _find(self, key: K) -> V | None:
        """The copy that is there and counts."""
        copy = self._copies.get(key)
        if copy is not None and copy.value is not None:
            if self._registry.holds(copy.shards, copy.tokens):
                self._copies.move_to_end(key)
                self._hits += 1
                return copy.value
            self._stale += 1
        self._misses += 1
        return None

    async def _miss(self, key: K) -> V | None:
        """Wait for a fill that is under way, or make one.

        What a fill under way finds is an answer if it was asked for after the question, or if it would be a hit now.
        """
        question_ns = self._registry.now_ns()
        while (fill := self._fills.get(key)) is not None:
            await asyncio.wait([fill.done])
            if fill.error is not None:
                raise fill.error
            if fill.asked_ns > question_ns:
                return fill.value
            copy = self._copies.get(key)
            if copy is not None and copy.value is not None and self._registry.holds(copy.shards, copy.tokens):
                return copy.value
        fill = self._fills[key] = _Fill(asyncio.get_running_loop().create_future())
        try:
            await self._run(key, fill)
        except BaseException as error:
            fill.asked_ns = 0  # it found nothing
            fill.error = error if isinstance(error, Exception) else None
            raise
        finally:
            del self._fills[key]
            fill.done.set_result(None)
        return fill.value

    async def _run(self, key: K, fill: _Fill[V]) -> None:
        stamps = self._registry.stamps
        placed = await self._registry.admit()
        try:
            fill.asked_ns = self._registry.now_ns()
            before = self._copies.get(key)
            known = before.shards if before is not None and self._of is not None else tuple(self._on(key))
            tokens = stamps.take(known)
            fill.value = value = await self._read(key)
        finally:
            if placed:
                self._registry.release()
        if value is None:
            self._drop(key)
            return
        shards = known
        if self._of is not None:
            shards = tuple(dict.fromkeys((*self._on(key), *self._of(value))))
            if shards != known:
                shown = dict(zip(known, tokens[1:], strict=True))
                if not all(one in shown for one in shards):
                    self._keep(key, _Copy(shards))
                    return
                tokens = (tokens[0], *(shown[one] for one in shards))
        if stamps.hold(shards, tokens):
            self._keep(key, _Copy(shards, tokens, value, self._size(value) if self._size is not None else 0))
        else:
            self._keep(key, _Copy(shards))

    def _keep(self, key: K, copy: _Copy[V]) -> None:
        self._drop(key)
        if self._size is not None and copy.size > self._max_bytes:
            return
        self._copies[key] = copy
        self._bytes += copy.size
        while len(self._copies) > self._capacity or self._bytes > self._max_bytes > 0:
            self._bytes -= self._copies.popitem(last=False)[1].size

    def _drop(self, key: K) -> None:
        copy = self._copies.pop(key, None)
        if copy is not None:
            self._bytes -= copy.size
