"""Preferences: what clients keep of a user's settings. Those of posts and channels mean something here, too."""

import re
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from app import categories, errors
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can_read_channel, require
from db.model import limits
from db.model.entities import Preference
from db.model.ids import ChannelId, PostId, TeamId, UserId, is_id
from db.order import locks
from db.pool.queryable import Transaction
from db.sql import posts, preferences, teams

_MAX_KEY, _MAX_VALUE = 32, 20_000
"""Characters, as in Mattermost."""
_MAX_VISIBLE = 40
_COLOUR = re.compile("#[0-9a-fA-F]{3}([0-9a-fA-F]{3})?")
_NO_COLOURS = ("image", "type", "codeTheme")


class Given(msgspec.Struct, kw_only=True):
    """A preference as a client sends it. value: is ignored where it is to be deleted."""

    user_id: str
    category: str
    name: str
    value: str = ""


async def of_user(ctx: Context, user_id: UserId) -> list[wire.Json]:
    """All of them, by category and name."""
    return [wire.preference(one) for one in await ctx.caches.preferences.get(user_id) or ()]


async def of_category(ctx: Context, user_id: UserId, category: str) -> list[wire.Json]:
    """Those of a category. Raises 404 when there are none."""
    found = [one for one in await of_user(ctx, user_id) if one["category"] == category]
    if not found:
        raise AppError("api.preference.preferences_category.get.app_error", 404)
    return found


async def get(ctx: Context, user_id: UserId, category: str, name: str) -> wire.Json:
    """One of them. Raises 400 when it is not there, as Mattermost does."""
    for one in await of_user(ctx, user_id):
        if (one["category"], one["name"]) == (category, name):
            return one
    raise AppError("app.preference.get.app_error", 400)


async def save(ctx: Context, actor: Actor, user_id: UserId, given: Sequence[Given]) -> None:
    """Keep these. Raises 400, and 403 for another user's or of posts that the actor may not read."""
    _require_own(user_id, given, "update_preferences.set")
    await _require_posts(ctx, actor, [one.name for one in given if one.category == "flagged_post"])
    new = {(one.category, one.name): _checked(user_id, one) for one in given}

    async def write(tx: Transaction) -> set[TeamId]:
        lock = await locks.account(tx, user_id)
        await preferences.save(tx, [new[key] for key in sorted(new)])
        number, characters = await preferences.measure(tx, user_id)
        if number > limits.PREFERENCES or characters > limits.PREFERENCE_CHARACTERS:
            raise AppError("app.preference.save.updating.app_error", 400)
        favorites = {key: one.value != "false" for key, one in new.items() if key[0] == categories.FAVORITE}
        return await _follow(tx, lock, favorites)

    in_teams = await ctx.db.transact(write)
    await _tell_sidebars(ctx, user_id, in_teams)
    for event in events.preferences_changed(user_id, list(new.values())):
        ctx.bus.publish(event)


async def delete(ctx: Context, user_id: UserId, given: Sequence[Given]) -> None:
    """Forget these, as far as they are there. Raises 400, and 403 for another user's."""
    _require_own(user_id, given, "delete_preferences.delete")
    gone = {(one.category, one.name): Preference(user_id, one.category, one.name, one.value) for one in given}

    async def write(tx: Transaction) -> set[TeamId]:
        lock = await locks.account(tx, user_id)
        await preferences.delete(tx, lock, sorted(gone))
        return await _follow(tx, lock, {key: False for key in gone if key[0] == categories.FAVORITE})

    in_teams = await ctx.db.transact(write)
    await _tell_sidebars(ctx, user_id, in_teams)
    for event in events.preferences_deleted(user_id, list(gone.values())):
        ctx.bus.publish(event)


async def _follow(tx: Transaction, lock: locks.AccountAlone, favorites: dict[tuple[str, str], bool]) -> set[TeamId]:
    wanted = {ChannelId(name): yes for (_, name), yes in favorites.items() if is_id(name)}
    return await categories.follow(tx, lock, wanted) if wanted else set()


async def _tell_sidebars(ctx: Context, user_id: UserId, in_teams: set[TeamId]) -> None:
    if "" in in_teams:
        in_teams = {*in_teams, *await teams.find_ids_of_user(ctx.db, user_id)} - {TeamId("")}
    for team_id in sorted(in_teams):
        ctx.bus.publish(events.sidebar_category_updated(user_id, team_id))


def _require_own(user_id: UserId, given: Sequence[Given], what: str) -> None:
    if not 1 <= len(given) <= limits.PREFERENCES_AT_ONCE:
        raise errors.invalid_body("preferences")
    if not all(one.user_id == user_id for one in given):
        raise AppError(f"api.preference.{what}.app_error", 403)


async def _require_posts(ctx: Context, actor: Actor, post_ids: list[str]) -> None:
    """Who keeps a post must be able to read it. Raises 400, 403."""
    wanted = list(dict.fromkeys(PostId(one) for one in post_ids))
    found = [one for one in await posts.find_many(ctx.db, wanted) if not one.delete_at] if wanted else []
    if len(found) < len(wanted):
        raise errors.invalid_body("preference.name")
    for channel_id in dict.fromkeys(post.channel_id for post in found):
        access = await ctx.caches.access.get((channel_id, actor.user_id))
        require(access is not None and can_read_channel(actor, access))


def _checked(user_id: UserId, given: Given) -> Preference:
    def refuse_unless(good: bool, field: str) -> None:
        if not good:
            raise AppError(f"model.preference.is_valid.{field}.app_error", 400)

    refuse_unless(1 <= len(given.category) <= _MAX_KEY, "category")
    refuse_unless(len(given.name) <= _MAX_KEY, "name")
    refuse_unless(len(given.value) <= _MAX_VALUE, "value")
    value = given.value
    if given.category == "theme":
        theme = _theme(value)
        refuse_unless(theme is not None, "theme")
        value = theme or value
        refuse_unless(len(value) <= _MAX_VALUE, "value")
    if (given.category, given.name) == ("sidebar_settings", "limit_visible_dms_gms"):
        good = value.isascii() and value.isdecimal() and len(value) < _MAX_KEY and 1 <= int(value) <= _MAX_VISIBLE
        refuse_unless(good, "limit_visible_dms_gms")
    return Preference(user_id, given.category, given.name, value)


def _theme(value: str) -> str | None:
    """A theme whose colours are colours, as Mattermost keeps it: what is none is white. None: it is no theme."""
    with suppress(msgspec.MsgspecError, RecursionError):
        theme = msgspec.json.decode(value, type=dict[str, str])
        return wire.encode(
            {key: one if key in _NO_COLOURS or _COLOUR.fullmatch(one) else "#ffffff" for key, one in theme.items()}
        ).decode()
    return None
