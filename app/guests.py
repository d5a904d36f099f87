"""Guests become users, and users guests: the account and all memberships in one transaction, then everybody is told."""

from collections.abc import Awaitable, Callable

from app import channels, users
from app.accounts import require_over
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.permissions import Actor, can, require
from app.roles import ADMINISTRATOR, GUEST, is_guest
from db.model.entities import Channel, ChannelMember, User
from db.model.ids import ChannelId, TeamId, UserId
from db.order import changes, clock, locks
from db.order.locks import Heads, TeamAlone
from db.pool.queryable import Transaction
from db.sql import channels as channels_db
from db.sql import guests, teams
from db.sql import users as users_db

Joined = list[tuple[Channel, ChannelMember]]
_LockHeads = Callable[[Transaction, dict[TeamId, TeamAlone]], Awaitable[tuple[Heads, Joined]]]


@audited("promoteGuestToUser", "user_id")
async def promote(ctx: Context, actor: Actor, user_id: UserId) -> None:
    """Make a guest a user, who then is in the default channels of their teams, too. Raises 403, 404, 501."""
    require(can(actor, "promote_guest"))

    async def lock_heads(tx: Transaction, locked: dict[TeamId, TeamAlone]) -> tuple[Heads, Joined]:
        found = [one for team_id in locked for one in await channels.defaults_of(ctx, tx, team_id)]
        defaults = {one.id: one for one in found if not one.delete_at}
        own, joined = set(await guests.find_channel_ids(tx, user_id)), Joined()
        for channel_id in sorted(own | defaults.keys()):
            if channel_id in own:
                await changes.begin(tx, channel_id)
                continue
            channel = defaults[channel_id]
            added = await channels.add(tx, locked[channel.team_id], channel_id, user_id)
            if added is not None:
                joined.append((channel, added))
        return Heads(frozenset(own)), joined

    user, joined = await _change(ctx, actor, user_id, lock_heads, guest=False)
    for channel, member in joined:
        channels.tell_added(ctx, member, channel)
    await _tell(ctx, user)
    for channel, _ in joined:
        await channels.announce_join(ctx, user, channel, actor.user)


@audited("demoteUserToGuest", "user_id")
async def demote(ctx: Context, actor: Actor, user_id: UserId) -> None:
    """Make a user a guest, without any other role. Raises 400 for the last administrator, 403, 404, 501 for a guest."""
    require(can(actor, "demote_to_guest"))
    users.found(await users_db.find(ctx.db, user_id))
    if not ctx.config.guest_accounts_settings.enable:
        raise AppError("api.team.demote_user_to_guest.disabled.error", 501)

    async def lock_heads(tx: Transaction, _: object) -> tuple[Heads, Joined]:
        return await locks.heads(tx, await guests.find_channel_ids(tx, user_id)), []

    user, _ = await _change(ctx, actor, user_id, lock_heads, guest=True)
    await _tell(ctx, user)


async def _change(
    ctx: Context, actor: Actor, user_id: UserId, lock_heads: _LockHeads, *, guest: bool
) -> tuple[User, Joined]:
    def judge(found: User | None) -> User:
        user = users.found(found)
        require_over(actor, user)
        if is_guest(user) == guest:
            what = "demote_user_to_guest.already_guest" if guest else "promote_guest_to_user.no_guest"
            raise AppError(f"api.user.{what}.app_error", 501)
        return user

    judge(await users_db.find(ctx.db, user_id))

    async def change(tx: Transaction) -> tuple[User, Joined]:
        if guest:
            await users.require_another_administrator(tx, user_id)
        account = await locks.account(tx, user_id)
        user = judge(await users_db.find(tx, user_id))
        team_ids = sorted(await teams.find_ids_of_user(tx, user_id))
        locked = {team_id: await locks.team(tx, team_id) for team_id in team_ids}
        heads, joined = await lock_heads(tx, locked)
        await guests.set_guest(tx, account, list(locked.values()), heads, user_id, guest=guest)
        beside = [one for one in user.roles.split() if one not in (GUEST, "system_user", ADMINISTRATOR)]
        roles = GUEST if guest else " ".join(["system_user", *beside])
        await users_db.set_roles(tx, user_id, roles, max(await clock.now_ms(tx), user.update_at + 1))
        return users.found(await users_db.find(tx, user_id)), joined

    return await ctx.db.transact(change)


async def _tell(ctx: Context, user: User) -> None:
    """To the user what they are now everywhere, to all others that the account has changed."""
    ctx.bus.publish(events.user_role_updated(user.id, user.roles))
    users.tell_updated(ctx, user)
    told: set[ChannelId] = set()
    for team, member in (await teams.find_of_user(ctx.db, user.id)).shown:
        ctx.bus.publish(events.memberrole_updated(member))
        for one in await channels_db.find_memberships(ctx.db, user.id, team.id):
            if one.channel_id not in told:  # direct channels come with each team
                told.add(one.channel_id)
                ctx.bus.publish(events.channel_member_updated(one, ctx.config.privacy_settings))
