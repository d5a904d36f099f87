"""Channels and memberships, for tests that are not about who may what."""

from app.events.kinds import UserAdded, UserRemoved
from db.model.entities import Channel, ChannelMember, Team, TeamMember
from db.model.ids import ChannelId, TeamId, UserId
from db.order import changes
from db.order.changes import Place
from db.order.locks import Accounts, TeamAlone
from db.pool.pool import Database
from db.pool.queryable import Transaction
from db.sql import channels, members, teams


async def insert(tx: Transaction, channel: Channel) -> None:
    """A channel without members."""
    await channels.insert(tx, TeamAlone(channel.team_id), channel)


async def place(tx: Transaction, channel_id: ChannelId) -> Place:
    """The channel's next number."""
    found = await changes.begin(tx, channel_id)
    assert found is not None
    return found


async def join(tx: Transaction, channel_id: ChannelId, user_id: UserId, *, admin: bool = False) -> ChannelMember | None:
    """A member more; None where they were one."""
    at = await place(tx, channel_id)
    return await channels.add_member(tx, Accounts(frozenset()), at, UserAdded(user_id), notify_props="{}", admin=admin)


async def leave(tx: Transaction, channel_id: ChannelId, user_id: UserId) -> int | None:
    """A member less; the number of that, None where they were none."""
    at = await place(tx, channel_id)
    return at.seq if await members.remove(tx, at, UserRemoved(user_id, user_id)) else None


def team(team_id: str, name: str = "") -> Team:
    """An open team that is not in the database yet; its name is its id, unless it has another."""
    return Team(TeamId(team_id), 1, 1, 0, "Team", name or team_id, "", "", "O", "", "", team_id, True, 0)


async def insert_team(db: Database, new: Team, *user_ids: UserId, admin: bool = False) -> None:
    """A team with these members."""
    async with db.transaction() as tx:
        lock = await teams.insert(tx, Accounts(frozenset()), new)
        for user_id in user_ids:
            await teams.add_member(tx, lock, TeamMember(new.id, user_id, 1, 0, "", True, admin, False))
