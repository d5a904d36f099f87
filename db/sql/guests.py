"""What a user is in all their teams and channels at once, guest or not: SQL of the memberships."""

from collections.abc import Sequence

from db.model import shards
from db.model.ids import ChannelId, UserId
from db.order.locks import AccountAlone, Heads, TeamAlone
from db.pool.queryable import Queryable, Transaction


async def find_channel_ids(db: Queryable, user_id: UserId) -> list[ChannelId]:
    """The channels that the user is a member of, in the order of their ids."""
    rows = await db.fetch("SELECT channel_id FROM channel_members WHERE user_id = %s ORDER BY channel_id", (user_id,))
    return [row[0] for row in rows]


async def set_guest(
    tx: Transaction,
    account: AccountAlone,
    teams: Sequence[TeamAlone],
    heads: Heads,
    user_id: UserId,
    *,
    guest: bool,
) -> None:
    """Make all memberships a guest's, without any other role, or a user's. The locks are those of all of them."""
    del account
    of_teams = [shards.team_members(one.team_id) for one in teams]
    of_channels = [shards.channel_members(one) for one in heads.ids]
    for table, changes in (
        ("team_members", (shards.user_teams(user_id), *of_teams)),
        ("channel_members", (shards.user_channels(user_id), *of_channels)),
    ):
        others = ", scheme_admin = FALSE, roles = ''" if guest else ""
        await tx.execute(
            f"UPDATE {table} SET scheme_guest = %s, scheme_user = %s{others} WHERE user_id = %s",  # noqa: S608 (constants)
            (guest, not guest, user_id),
            changes=changes,
        )
