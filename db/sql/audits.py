"""Who did what: SQL of the table `audits`. Rows are only added, and deleted by a job; a trigger refuses changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import astuple

from db.model.ids import UserId
from db.order import clock
from db.order.clock import NOW_MS
from db.pool.queryable import Queryable, Transaction


class Audit(msgspec.Struct, frozen=True):
    """A row. create_at: ms, by the database's clock when it is written. user_id: who did it, '' for nobody known."""

    id: str
    user_id: str
    session_id: str
    action: str
    result: str
    extra_info: str
    ip_address: str
    node_id: str
    request_id: str
    create_at: int = 0


*_GIVEN, _ = Audit.__struct_fields__  # all but create_at, which the database gives
_WRITTEN = ", ".join(_GIVEN)
_SELECT = f"SELECT {_WRITTEN}, create_at FROM audits"  # noqa: S608 (a constant)


async def insert(db: Queryable, audits: Sequence[Audit]) -> None:
    """Add rows; their time is now."""
    if not audits:
        return
    row = f"({', '.join(['%s'] * len(_GIVEN))}, {NOW_MS[db.dialect]})"
    await db.execute(
        f"INSERT INTO audits ({_WRITTEN}, create_at) VALUES {', '.join([row] * len(audits))}",  # noqa: S608 (constants)
        [value for audit in audits for value in astuple(audit)[: len(_GIVEN)]],
    )


async def find_page(db: Queryable, user_id: UserId | None, offset: int, limit: int) -> list[Audit]:
    """A page of all rows, or of those of one user, the newest first; as the master says."""
    condition, parameters = ("WHERE user_id = %s", [user_id]) if user_id is not None else ("", [])
    rows = await db.fetch(
        f"{_SELECT} {condition} ORDER BY create_at DESC, id DESC LIMIT %s OFFSET %s", [*parameters, limit, offset]
    )
    return [Audit(*row) for row in rows]


@dataclass(frozen=True)
class Bound:
    """A place in the order of the rows. create_at: ms. id: '' stands before all rows of that time."""

    create_at: int
    id: str


async def find_bound(db: Queryable, keep_ms: int, keep_rows: int) -> Bound:
    """Up to where rows are to go: those older than `keep_ms`, and those beyond the newest `keep_rows`.

    It walks over all that stay, so it is asked for once, however many rows go then.
    """
    oldest = await clock.now_ms(db) - keep_ms
    beyond = await db.fetch_one(
        "SELECT create_at, id FROM audits ORDER BY create_at DESC, id DESC LIMIT 1 OFFSET %s", (keep_rows,)
    )
    return Bound(oldest, "") if beyond is None or beyond[0] < oldest else Bound(*beyond)


async def trim(tx: Transaction, bound: Bound, limit: int) -> int:
    """Delete up to `limit` rows, the oldest first, up to the bound; how many."""
    rows = await tx.fetch(
        "SELECT id FROM audits WHERE create_at <= %s AND (create_at < %s OR id <= %s) ORDER BY create_at, id LIMIT %s",
        (bound.create_at, bound.create_at, bound.id, limit),
    )
    if rows:
        await tx.execute("DELETE FROM audits WHERE id = ANY(%s)", ([row[0] for row in rows],))
    return len(rows)
