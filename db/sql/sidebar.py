"""The categories of users' sidebars: SQL of `sidebar_categories`. Written under the lock of the account."""

from collections.abc import Collection, Sequence

from db.model import limits, shards
from db.model.entities import SidebarCategory
from db.model.ids import ChannelId, TeamId, UserId
from db.model.settings import Dialect
from db.model.tables import SIDEBAR_CATEGORIES
from db.order.locks import AccountAlone
from db.pool.queryable import Queryable, Transaction

_SELECT = f"SELECT {SIDEBAR_CATEGORIES.names()} FROM sidebar_categories WHERE user_id = %s"  # noqa: S608 (constants)
_INSERT = f"INSERT INTO sidebar_categories ({SIDEBAR_CATEGORIES.names()}) VALUES "  # noqa: S608 (constants)
_KEY = ("user_id", "team_id", "id")
_VARIABLE = [one for one in SIDEBAR_CATEGORIES.columns if one not in _KEY]
_REPLACE: dict[Dialect, str] = {
    "postgres": f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    + ", ".join(f"{one} = excluded.{one}" for one in _VARIABLE),
    "mysql": " ON DUPLICATE KEY UPDATE " + ", ".join(f"{one} = VALUES({one})" for one in _VARIABLE),
}


async def find(db: Queryable, user_id: UserId, team_id: TeamId) -> list[SidebarCategory]:
    """Those of a team, in their order; none at all until the user has changed something of them."""
    rows = await db.fetch(
        f"{_SELECT} AND team_id = %s ORDER BY sort_order, id LIMIT %s",
        (user_id, team_id, limits.CATEGORIES),
        on=(shards.sidebar(user_id),),
    )
    return [SidebarCategory(*row) for row in rows]


async def find_favorites_and_holders(
    db: Queryable, user_id: UserId, channel_ids: Sequence[ChannelId]
) -> list[SidebarCategory]:
    """The favorites of all teams, and what else holds one of these channels."""
    holding = " OR ".join(["channel_ids LIKE %s"] * len(channel_ids))
    rows = await db.fetch(
        f"{_SELECT} AND (type = 'favorites' OR {holding}) ORDER BY team_id, sort_order, id",
        (user_id, *(f'%"{one}"%' for one in channel_ids)),
        on=(shards.sidebar(user_id),),
    )
    return [SidebarCategory(*row) for row in rows]


async def save(tx: Transaction, lock: AccountAlone, categories: Sequence[SidebarCategory]) -> None:
    """Insert or replace."""
    if not categories:
        return
    row = f"({', '.join(['%s'] * SIDEBAR_CATEGORIES.width)})"
    await tx.execute(
        _INSERT + ", ".join([row] * len(categories)) + _REPLACE[tx.dialect],
        [value for one in categories for value in SIDEBAR_CATEGORIES.values(one)],
        changes=(shards.sidebar(lock.id),),
    )


async def delete(tx: Transaction, lock: AccountAlone, team_id: TeamId, ids: Collection[str]) -> None:
    """Delete these."""
    if not ids:
        return
    await tx.execute(
        "DELETE FROM sidebar_categories WHERE user_id = %s AND team_id = %s AND id = ANY(%s)",
        (lock.id, team_id, list(ids)),
        changes=(shards.sidebar(lock.id),),
    )


async def forget_team(tx: Transaction, user_id: UserId, team_id: TeamId) -> None:
    """Delete those of a team that the user leaves."""
    await tx.execute(
        "DELETE FROM sidebar_categories WHERE user_id = %s AND team_id = %s",
        (user_id, team_id),
        changes=(shards.sidebar(user_id),),
    )
