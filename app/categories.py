"""The categories of sidebars: reading and changing them (`app/sidebar.py` is what the changes are)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from app import errors, sidebar
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can
from app.sidebar import Categories, Kind, Shown
from db.model import limits
from db.model.entities import ChannelInfo, Preference, SidebarCategory
from db.model.ids import ChannelId, TeamId, UserId, is_id, new_id
from db.order import locks
from db.order.locks import AccountAlone
from db.pool.queryable import Transaction
from db.sql import channels as channels_db
from db.sql import members, preferences, teams
from db.sql import sidebar as sidebar_db

FAVORITE = "favorite_channel"
"""The category of preferences that says the same as the favorites here, by the channel's id."""
_NAME_CHARACTERS = 64


class Draft(msgspec.Struct, kw_only=True):
    """A category as a client sends it. Its place and its type (`sort_order`, `type`) are not the client's to say."""

    id: str = ""
    user_id: str = ""
    team_id: str = ""
    sorting: str = ""
    display_name: str = ""
    muted: bool = False
    collapsed: bool = False
    channel_ids: list[str] = []


@dataclass(frozen=True)
class Sidebar:
    """What there is. stored: the rows, none before the first change. channels: all that the user is in."""

    stored: Categories
    categories: Categories
    channels: Sequence[ChannelInfo]

    @property
    def shown(self) -> Shown:
        """As it is seen."""
        return sidebar.shown(self.categories, self.channels)


@dataclass(frozen=True)
class Changed:
    """What a change made. favored: channels that became favorites (True), or that are none any more."""

    before: Sidebar
    after: Sidebar
    favored: Mapping[ChannelId, bool]
    muted: Mapping[ChannelId, bool]

    def one(self, category_id: str) -> wire.Json:
        """A category as it is now."""
        return next(wire.sidebar_category(one, ids) for one, ids in self.after.shown if one.id == category_id)


Change = Callable[[Sidebar], Categories]
"""What becomes of the categories. Raises AppError."""


# Reading -------------------------------------------------------------------------------------------------------------


async def of_user(ctx: Context, user_id: UserId, team_id: TeamId) -> wire.Json:
    """All categories of a user in a team, with their order; none for who is not in it."""
    shown = await _shown(ctx, user_id, team_id)
    return {
        "categories": [wire.sidebar_category(one, ids) for one, ids in shown],
        "order": [one.id for one, _ in shown],
    }


async def order(ctx: Context, user_id: UserId, team_id: TeamId) -> list[str]:
    """The ids of the categories, in their order."""
    return [one.id for one, _ in await _shown(ctx, user_id, team_id)]


async def get(ctx: Context, actor: Actor, user_id: UserId, team_id: TeamId, category_id: str) -> wire.Json:
    """A category. Raises 403, and 404 for administrators, when there is none."""
    for one, ids in await _shown(ctx, user_id, team_id):
        if one.id == category_id:
            return wire.sidebar_category(one, ids)
    raise _missing(actor)


async def _shown(ctx: Context, user_id: UserId, team_id: TeamId) -> Shown:
    member = await ctx.caches.team_members.get((team_id, user_id))
    if member is None or member.delete_at:
        return []
    stored = await ctx.caches.sidebars.get((user_id, team_id)) or ()
    channels = await ctx.caches.user_channels.get((user_id, team_id)) or ()
    kept = () if stored else await ctx.caches.preferences.get(user_id) or ()
    return _sidebar(user_id, team_id, stored, channels, kept).shown


def _sidebar(
    user_id: UserId,
    team_id: TeamId,
    stored: Categories,
    channels: Sequence[ChannelInfo],
    kept: Iterable[Preference],
) -> Sidebar:
    """kept: preferences, of which those of favorites count while nothing is stored."""
    if stored:
        return Sidebar(stored, stored, channels)
    favorites = {one.name for one in kept if one.category == FAVORITE and one.value != "false"}
    ids = (one.id for one in channels if one.id in favorites)
    return Sidebar((), sidebar.defaults(user_id, team_id, ids), channels)


def _missing(actor: Actor) -> AppError:
    """That a category is not there is for administrators to know."""
    if can(actor, "edit_other_users"):
        return AppError("app.channel.sidebar_categories.app_error", 404)
    return errors.forbidden()


# Changing ------------------------------------------------------------------------------------------------------------


async def create(ctx: Context, user_id: UserId, team_id: TeamId, draft: Draft) -> wire.Json:
    """A category more, in which these channels are from now on. Raises 400, 404."""
    _check(draft)
    _require_names(draft, user_id, team_id)
    category_id = new_id()

    def change(now: Sidebar) -> Categories:
        if len(now.categories) >= limits.CATEGORIES:
            raise AppError("app.channel.sidebar_categories.app_error", 400)
        mine = {one.id for one in now.channels}
        bare = SidebarCategory(
            user_id=user_id,
            team_id=team_id,
            id=category_id,
            sort_order=0,
            type=Kind.CUSTOM,
            sorting=draft.sorting,
            display_name=draft.display_name,
            muted=draft.muted,
            collapsed=draft.collapsed,
            channel_ids="[]",
        )
        return sidebar.with_new(now.categories, sidebar.holding(bare, (c for c in draft.channel_ids if c in mine)))

    changed = await _change(ctx, user_id, team_id, change)
    ctx.bus.publish(events.sidebar_category_created(user_id, team_id, category_id))
    await _tell_beside(ctx, user_id, team_id, changed)
    return changed.one(category_id)


async def update_one(
    ctx: Context, actor: Actor, user_id: UserId, team_id: TeamId, category_id: str, draft: Draft
) -> wire.Json:
    """Other values for a category. Raises 400, 403, 404."""
    _require_names(draft, user_id, team_id)
    draft.id = category_id
    return (await _update(ctx, user_id, team_id, [draft], _missing(actor)))[0]


async def update(ctx: Context, user_id: UserId, team_id: TeamId, drafts: Sequence[Draft]) -> list[wire.Json]:
    """Other values for some categories; what they hold is in no other one then. Raises 400, 404."""
    if len(drafts) > limits.CATEGORIES or len({one.id for one in drafts}) < len(drafts):
        raise errors.invalid_body("category")
    return await _update(ctx, user_id, team_id, drafts, errors.invalid_body("category"))


async def _update(
    ctx: Context, user_id: UserId, team_id: TeamId, drafts: Sequence[Draft], missing: AppError
) -> list[wire.Json]:
    for draft in drafts:
        _check(draft)

    def change(now: Sidebar) -> Categories:
        by_id = {one.id: one for one in now.categories}
        if not all(one.id in by_id for one in drafts):
            raise missing
        return sidebar.updated(now.categories, {one.id: _with(by_id[one.id], one) for one in drafts}, now.channels)

    changed = await _change(ctx, user_id, team_id, change, mutes=True)
    now = [changed.one(one.id) for one in drafts]
    ctx.bus.publish(events.sidebar_category_updated(user_id, team_id, now))
    await _tell_beside(ctx, user_id, team_id, changed)
    return now


def _with(category: SidebarCategory, draft: Draft) -> SidebarCategory:
    """Direct messages are never muted together, and only what the user made has a name of the user's."""
    custom, direct = category.type == Kind.CUSTOM, category.type == Kind.DIRECT_MESSAGES
    changed = replace(
        category,
        sorting=draft.sorting,
        display_name=draft.display_name if custom else category.display_name,
        muted=category.muted if direct else draft.muted,
        collapsed=draft.collapsed,
    )
    return sidebar.holding(changed, draft.channel_ids)


async def set_order(ctx: Context, user_id: UserId, team_id: TeamId, ids: Sequence[str]) -> list[str]:
    """Put the categories into this order; those that it does not name come last. The whole order. Raises 400, 404."""

    def change(now: Sidebar) -> Categories:
        if not ids or not {one.id for one in now.categories}.issuperset(ids):
            raise errors.invalid_body("category")
        ordered = sidebar.in_order(now.categories, ids)
        if ordered is None:
            raise AppError("app.channel.sidebar_categories.app_error", 400)
        return ordered

    changed = await _change(ctx, user_id, team_id, change)
    order = [one.id for one in changed.after.categories]
    ctx.bus.publish(events.sidebar_category_order_updated(user_id, team_id, order))
    return order


async def delete(ctx: Context, actor: Actor, user_id: UserId, team_id: TeamId, category_id: str) -> None:
    """A category of the user's own less. Raises 400 for another one, 403, 404."""

    def change(now: Sidebar) -> Categories:
        kind = next((one.type for one in now.categories if one.id == category_id), None)
        if kind is None:
            raise _missing(actor)
        if kind != Kind.CUSTOM:
            raise AppError("app.channel.sidebar_categories.app_error", 400)
        return sidebar.without(now.categories, category_id)

    changed = await _change(ctx, user_id, team_id, change)
    ctx.bus.publish(events.sidebar_category_deleted(user_id, team_id, category_id))
    await _tell_beside(ctx, user_id, team_id, changed)


def _check(draft: Draft) -> None:
    if draft.sorting not in sidebar.SORTINGS:
        raise errors.invalid_body("sorting")
    if len(draft.display_name) > _NAME_CHARACTERS:
        raise errors.invalid_body("display_name")
    if len(draft.channel_ids) > limits.CHANNELS or not all(map(is_id, draft.channel_ids)):
        raise errors.invalid_body("channel_ids")


def _require_names(draft: Draft, user_id: UserId, team_id: TeamId) -> None:
    if (draft.user_id, draft.team_id) != (user_id, team_id):
        raise errors.invalid_body("category")


async def _change(ctx: Context, user_id: UserId, team_id: TeamId, change: Change, *, mutes: bool = False) -> Changed:
    """Do it under the lock of the account, with what follows: preferences of favorites and muted channels.

    mutes: as in Mattermost, categories mute channels when they are updated only.
    """

    async def write(tx: Transaction) -> Changed:
        lock = await locks.account(tx, user_id)
        member = await teams.find_member(tx, team_id, user_id)
        if member is None or member.delete_at:
            raise AppError("app.channel.sidebar_categories.app_error", 404)
        stored = await sidebar_db.find(tx, user_id, team_id)
        channels = await channels_db.find_of_user(tx, user_id, team_id)
        kept = [] if stored else await preferences.find_category(tx, user_id, FAVORITE)
        before = _sidebar(user_id, team_id, stored, channels, kept)
        after = Sidebar((), change(before), channels)
        await _store(tx, lock, team_id, stored, after.categories)
        was, now = sidebar.favorites_of(before.categories), sidebar.favorites_of(after.categories)
        favored = {one: one in now for one in sorted(was ^ now)}
        await preferences.save(tx, _as_preferences(user_id, now - was))
        await preferences.delete(tx, lock, [(FAVORITE, one) for one in sorted(was - now)])
        muted = sidebar.muted(before.shown, after.shown) if mutes else {}
        for mute in (True, False):
            await members.set_muted(tx, user_id, [one for one in sorted(muted) if muted[one] is mute], muted=mute)
        return Changed(before, after, favored, muted)

    return await ctx.db.transact(write)


async def _store(tx: Transaction, lock: AccountAlone, team_id: TeamId, stored: Categories, wanted: Categories) -> None:
    rows = {one.id: one for one in stored}
    await sidebar_db.delete(tx, lock, team_id, sorted(rows.keys() - {one.id for one in wanted}))
    await sidebar_db.save(tx, lock, [one for one in wanted if rows.get(one.id) != one])


def _as_preferences(user_id: UserId, channel_ids: Iterable[ChannelId]) -> list[Preference]:
    return [Preference(user_id, FAVORITE, one, "true") for one in sorted(channel_ids)]


async def _tell_beside(ctx: Context, user_id: UserId, team_id: TeamId, changed: Changed) -> None:
    """What a change of categories changed besides."""
    for yes, tell in ((True, events.preferences_changed), (False, events.preferences_deleted)):
        ids = [one for one, is_so in changed.favored.items() if is_so is yes]
        for event in tell(user_id, _as_preferences(user_id, ids)):
            ctx.bus.publish(event)
    if changed.muted:
        for member in await channels_db.find_memberships(ctx.db, user_id, team_id):
            if member.channel_id in changed.muted:
                ctx.bus.publish(events.channel_member_updated(member, ctx.config.privacy_settings))


async def follow(tx: Transaction, lock: AccountAlone, wanted: Mapping[ChannelId, bool]) -> set[TeamId]:
    """Categories keep step with preferences of favorites. wanted: whether each of these channels is one.

    The teams whose sidebars look different then; '' among them: all of the user's, by a direct channel.
    """
    teams_of = await channels_db.find_team_ids(tx, list(wanted))
    rows = await sidebar_db.find_favorites_and_holders(tx, lock.id, list(teams_of)) if teams_of else []
    by_team: dict[TeamId, list[SidebarCategory]] = {}
    for row in rows:
        by_team.setdefault(row.team_id, []).append(row)
    for team_id, before in by_team.items():
        after: Categories = before
        for channel_id, yes in wanted.items():
            if teams_of.get(channel_id) in ("", team_id):
                after = sidebar.favored(after, channel_id, yes=yes)
        await _store(tx, lock, team_id, before, after)
    return set(teams_of.values())
