"""Leases: what one node at a time may do. SQL of the table `leases`; time is the database's.

A lease ends by itself, and its holder may not notice in time: it was frozen, or its clock stood still. So each
acquisition has a token higher than all before, and work under a lease ends its transactions by looking whether the
token is still the last one: `guarded`. The row is locked from there to the COMMIT, so nobody acquires the lease in
between; a process that is frozen just there, or anywhere in the transaction, is cut off by the server after 2 s, so
that nobody waits for it (MySQL 8 cannot do that: there the lease is free when the process or its connection ends).
"""

from dataclasses import dataclass
from typing import TypeVar

from db.model.errors import Fenced
from db.model.settings import Dialect
from db.order.clock import NOW_MS
from db.pool.queryable import Queryable, Transaction, Work

T = TypeVar("T")

_CREATE: dict[Dialect, str] = {
    "postgres": "INSERT INTO leases (name) VALUES (%s) ON CONFLICT (name) DO NOTHING",
    "mysql": "INSERT IGNORE INTO leases (name) VALUES (%s)",
}


@dataclass(frozen=True)
class Fence:
    """A lease as its holder knows it: what `guarded` wants to see."""

    name: str
    token: int


@dataclass(frozen=True)
class Held:
    """A lease as the database knows it. remaining_ms: 0 or less when nobody has it."""

    holder: str
    token: int
    remaining_ms: int


async def find(db: Queryable, name: str) -> Held | None:
    """Who has the lease, or had it last; None when nobody ever had."""
    row = await db.fetch_one(
        f"SELECT holder, token, expires_at - {NOW_MS[db.dialect]} FROM leases WHERE name = %s",  # noqa: S608
        (name,),
    )
    return None if row is None else Held(*row)


async def acquire(db: Queryable, name: str, holder: str, ttl_ms: int) -> Fence | None:
    """Take the lease for `ttl_ms` when nobody has it, or when `holder` itself does (its last answer got lost).

    holder: names one start of one process; two that run at once must not share it.
    """
    held = await find(db, name)
    if held is None:
        await db.execute(_CREATE[db.dialect], (name,))
    elif held.remaining_ms > 0 and held.holder != holder:
        return None  # what most calls find, without a lock

    async def take(tx: Transaction) -> Fence | None:
        now_ms = NOW_MS[tx.dialect]
        row = await tx.fetch_one(
            f"SELECT holder, token, expires_at > {now_ms} FROM leases WHERE name = %s FOR UPDATE",  # noqa: S608
            (name,),
        )
        if row is None or (row[2] and row[0] != holder):
            return None
        token = row[1] + 1
        await tx.execute(
            f"UPDATE leases SET holder = %s, token = %s, expires_at = {now_ms} + %s WHERE name = %s",  # noqa: S608
            (holder, token, ttl_ms, name),
        )
        return Fence(name, token)

    return await db.transact(take)


async def renew(db: Queryable, fence: Fence, ttl_ms: int) -> bool:
    """Keep the lease for another `ttl_ms` from now; False when it has ended, even if nobody took it since."""
    now_ms = NOW_MS[db.dialect]
    changed = await db.execute(
        f"UPDATE leases SET expires_at = {now_ms} + %s WHERE name = %s AND token = %s AND expires_at > {now_ms}",  # noqa: S608
        (ttl_ms, fence.name, fence.token),
    )
    return changed == 1


async def release(db: Queryable, fence: Fence) -> None:
    """Give the lease back, if it is still one's own."""
    await db.execute("UPDATE leases SET expires_at = 0 WHERE name = %s AND token = %s", (fence.name, fence.token))


async def guarded(db: Queryable, fence: Fence, work: Work[T]) -> T:
    """A transaction that commits only if nobody acquired the lease since. Raises Fenced, having changed nothing."""

    async def guard(tx: Transaction) -> T:
        result = await work(tx)
        row = await tx.fetch_one("SELECT token FROM leases WHERE name = %s FOR UPDATE", (fence.name,))
        if row is None or row[0] != fence.token:
            raise Fenced(f"another node has the lease {fence.name!r}")
        return result

    return await db.transact(guard)
