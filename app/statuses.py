"""What users say of themselves, and who is there."""

from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from app import customstatus, errors, users
from app.context import Context
from app.customstatus import CustomStatus, Texts
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.permissions import Actor
from db.model import limits
from db.model.entities import Preference, Status, User
from db.model.ids import UserId, is_id
from db.order import clock, locks
from db.pool.queryable import Transaction
from db.sql import preferences, statuses
from db.sql import users as users_db

CHOICES = frozenset({"online", "away", "dnd", "offline"})


class NewStatus(msgspec.Struct, kw_only=True):
    """PUT /users/{user_id}/status. user_id: the same. dnd_end_time: seconds since 1970; 0: none."""

    user_id: str = ""
    status: str = ""
    dnd_end_time: int = 0


async def get(ctx: Context, user_id: UserId) -> wire.Json:
    """The presence of a user. Raises 404."""
    await users.get(ctx, user_id)
    return wire.status((await find_many(ctx, [user_id]))[0])


async def get_many(ctx: Context, ids: Sequence[str]) -> list[wire.Json]:
    """The presence of up to limits.USER_IDS users. Raises 400 for none, for more, and for what is no id."""
    if not ids or len(ids) > limits.USER_IDS or not all(is_id(one) for one in ids):
        raise errors.invalid_body("user_ids")
    return [wire.status(one) for one in await find_many(ctx, [UserId(one) for one in ids])]


async def choose(ctx: Context, actor: Actor, user_id: UserId, new: NewStatus) -> wire.Json:
    """Take over what the user, or an administrator for them, chose; how they are then. Raises 400, 403, 404."""
    if new.user_id != user_id:
        raise errors.invalid_body("user_id")
    if new.status not in CHOICES:
        raise errors.invalid_body("status")
    if not 0 <= new.dnd_end_time < 1 << 63:
        raise errors.invalid_body("dnd_end_time")
    await users.require_self_or(ctx, actor, user_id, "edit_other_users")
    await set_own(ctx, user_id, new.status, manual=True, dnd_end_time=new.dnd_end_time if new.status == "dnd" else 0)
    return wire.status((await find_many(ctx, [user_id]))[0])


async def find_many(ctx: Context, user_ids: Sequence[UserId]) -> list[Status]:
    """The presence of these users; those never seen are offline."""
    found = await ctx.caches.statuses_of(list(user_ids))
    nobody = {
        "status": "offline",
        "manual": False,
        "last_activity_at": 0,
        "dnd_end_time": 0,
        "prev_status": "",
    }
    return [found.get(user_id) or Status(user_id=user_id, **nobody) for user_id in dict.fromkeys(user_ids)]  # type: ignore[arg-type]


async def find_present(ctx: Context) -> list[Status]:
    """Everybody who is not offline, up to 10,000."""
    return await statuses.find_present(ctx.db, limits.PRESENT)


async def set_own(ctx: Context, user_id: UserId, status: str, *, manual: bool, dnd_end_time: int = 0) -> None:
    """Take over what the user chose. "online" means: automatic again, so that nobody stays online for ever.

    dnd_end_time: seconds since 1970 when `dnd` ends by itself; 0: it does not.

    Who is deactivated, be it meanwhile, is offline and stays so.
    """
    manual = manual and status != "online"
    if status == "online":
        ctx.bus.publish(events.active(user_id))

    async def change(tx: Transaction) -> bool:
        await locks.accounts(tx, [user_id])
        user = await users_db.find(tx, user_id)
        if user is None or user.delete_at:
            return False
        return await statuses.set_by_user(
            tx, user_id, status, await clock.now_ms(tx), manual=manual, dnd_end_time=dnd_end_time
        )

    if await ctx.db.transact(change):
        ctx.bus.publish(events.status_change(user_id, status))


async def came_back(ctx: Context, user_id: UserId, *, manual: bool) -> None:
    """The client says that its user is active. `manual`: the user asked for it, which ends a chosen status."""
    ctx.bus.publish(events.active(user_id))
    if manual:
        await set_own(ctx, user_id, "online", manual=True)


async def went_away(ctx: Context, user_id: UserId, *, manual: bool) -> None:
    """The client says that its user is inactive. Only a choice counts; idleness is found by the clock."""
    if manual:
        await set_own(ctx, user_id, "away", manual=True)


# Custom statuses ------------------------------------------------------------------------------------------------------


async def set_custom(ctx: Context, actor: Actor, user_id: UserId, given: CustomStatus) -> None:
    """Say something of oneself, for a while or for ever; it is the most recent one then. Raises 400, 403, 404, 501."""
    _require_custom(ctx)
    status = customstatus.normal(given, ctx.now_ms())
    if status is None:
        raise errors.invalid_body("custom_status")
    await users.require_self_or(ctx, actor, user_id, "edit_other_users")

    async def write(tx: Transaction) -> tuple[User | None, Preference | None]:
        user = await store_props(tx, user_id, lambda props: customstatus.with_current(props, status))
        return user, await _store_recent(tx, user_id, lambda stored: customstatus.with_recent(stored, status))

    _tell_custom(ctx, *await ctx.db.transact(write))


async def clear_custom(ctx: Context, actor: Actor, user_id: UserId) -> None:
    """Say it no more. Raises 403, 404, 501."""
    _require_custom(ctx)
    await users.require_self_or(ctx, actor, user_id, "edit_other_users")

    async def write(tx: Transaction) -> User | None:
        return await store_props(tx, user_id, customstatus.without_current)

    _tell_custom(ctx, await ctx.db.transact(write), None)


async def forget_recent(ctx: Context, actor: Actor, user_id: UserId, status: CustomStatus) -> None:
    """Take one of those that are offered again off the list. Raises 400 where it is not there, 403, 404, 501."""
    _require_custom(ctx)
    await users.require_self_or(ctx, actor, user_id, "edit_other_users")

    def without(stored: str) -> str:
        left = customstatus.without_recent(stored, status)
        if left is None:
            raise AppError("api.custom_status.recent_custom_statuses.delete.app_error", 400)
        return left

    async def write(tx: Transaction) -> Preference | None:
        await locks.account(tx, user_id)
        return await _store_recent(tx, user_id, without)

    _tell_custom(ctx, None, await ctx.db.transact(write))


def _require_custom(ctx: Context) -> None:
    if not ctx.config.team_settings.enable_custom_user_statuses:
        raise AppError("api.custom_status.disabled", 501)


async def store_props(tx: Transaction, user_id: UserId, change: Callable[[Texts], Texts]) -> User | None:
    """Change the props of an account; the user then, None where nothing changed. Takes its lock. Raises 404."""
    lock = await locks.account(tx, user_id)
    user = users.found(await users_db.find(tx, user_id))
    props = msgspec.json.decode(user.props)
    changed = change(props)
    if changed == props:
        return None
    at = max(await clock.now_ms(tx), user.update_at + 1)
    user = replace(user, props=wire.encode(changed).decode(), update_at=at)
    await users_db.change(tx, lock, user, status_ends_at=customstatus.ends_at_ms(user.props))
    return user


async def _store_recent(tx: Transaction, user_id: UserId, change: Callable[[str], str]) -> Preference | None:
    """Change the preference, whose user is locked; as it is then, None where nothing changed."""
    category, name = customstatus.RECENT
    before = await preferences.find_value(tx, user_id, category, name)
    after = change(before)
    if after == before:
        return None
    preference = Preference(user_id, category, name, after)
    await preferences.save(tx, [preference])
    return preference


def _tell_custom(ctx: Context, user: User | None, recent: Preference | None) -> None:
    if user is not None:
        users.tell_updated(ctx, user)
    if recent is not None:
        for event in events.preferences_changed(recent.user_id, [recent]):
            ctx.bus.publish(event)
