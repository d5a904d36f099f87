"""What people change of their own accounts, and administrators of others': profile, settings, address, password."""

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from app import customstatus, errors, logins, sessions, users, validate
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import wire
from app.mentions import without_name
from app.permissions import Actor, can, is_self_or_can, require
from app.roles import ADMINISTRATOR
from db.model.entities import User
from db.model.errors import Duplicate
from db.model.ids import SessionId, UserId
from db.order import clock, locks
from db.pool.queryable import Queryable, Transaction
from db.sql import attempts
from db.sql import sessions as sessions_db
from db.sql import users as users_db

Texts = dict[str, str]


class Patch(msgspec.Struct, kw_only=True):
    """PUT /users/{user_id}/patch: what is given is changed. password: the present one, for another address."""

    username: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    first_name: str | UnsetType = UNSET
    last_name: str | UnsetType = UNSET
    position: str | UnsetType = UNSET
    locale: str | UnsetType = UNSET
    props: Texts | UnsetType = UNSET
    notify_props: Texts | UnsetType = UNSET
    timezone: Texts | UnsetType = UNSET
    password: str | UnsetType = UNSET


class Whole(msgspec.Struct, kw_only=True):
    """PUT /users/{user_id}: a user. Texts that are not given are '', settings then stay; the server's are ignored."""

    id: str = ""
    username: str = ""
    email: str = ""
    nickname: str = ""
    first_name: str = ""
    last_name: str = ""
    position: str = ""
    locale: str = ""
    props: Texts | UnsetType = UNSET
    notify_props: Texts | UnsetType = UNSET
    timezone: Texts | UnsetType = UNSET
    password: str = ""


class NewPassword(msgspec.Struct, kw_only=True):
    """PUT /users/{user_id}/password. current_password: of one's own."""

    current_password: str = ""
    new_password: str = ""


async def update(ctx: Context, actor: Actor, user_id: UserId, whole: Whole) -> wire.Json:
    """Replace a profile; the user as the actor sees them then. Raises 400, 401 for a wrong password, 403, 404."""
    if whole.id != user_id:
        raise errors.invalid_body("user_id")
    fields = {name: getattr(whole, name) for name in Patch.__struct_fields__}
    return await patch(ctx, actor, user_id, Patch(**fields))


async def patch(ctx: Context, actor: Actor, user_id: UserId, wanted: Patch) -> wire.Json:
    """Change what is given; the user as the actor sees them then. What changes nothing writes nothing.

    Raises 400, 401 for a wrong password, 403, 404.
    """
    if actor.user_id == user_id:
        before = await _find(ctx.db, user_id)
        after = patched(before, wanted)
        if after == before:
            return users.seen_by(ctx, actor, before)
        if after.email != before.email:
            _check(ctx, before, after)
            if not wanted.password:
                raise errors.invalid_body("password")
            await logins.confirm(ctx, actor, before, str(wanted.password))
    return await _patch(ctx, actor, user_id, wanted)


async def _find(db: Queryable, user_id: UserId) -> User:
    return users.found(await users_db.find(db, user_id))


def _check(ctx: Context, before: User, after: User) -> None:
    """Raises 400 for what nobody may say of themselves."""
    users.check_profile(after)
    if (after.props, after.notify_props, after.timezone) != (before.props, before.notify_props, before.timezone):
        users.check_settings(after)
    domains = ctx.config.team_settings.restrict_creation_to_domains
    if after.email != before.email and not validate.is_in_domains(after.email, domains):
        raise AppError("api.user.update_user.accepted_domain.app_error", 400)


def require_over(actor: Actor, user: User) -> None:
    """Raises 403 for an administrator, unless the actor is one."""
    require(ADMINISTRATOR not in user.roles.split() or can(actor, "manage_system"))


def patched(user: User, wanted: Patch) -> User:
    """The user with what is given. What equals what is there, in another order of its keys, is no change."""
    changes: dict[str, object] = {}
    for name in Patch.__struct_fields__:
        value = getattr(wanted, name)
        if value is UNSET or name == "password":
            continue
        if name in ("username", "email"):
            value = value.strip().lower()
        elif isinstance(value, dict):
            if msgspec.json.decode(getattr(user, name)) == value:
                continue
            value = wire.encode(value).decode()
        changes[name] = value
    return replace(user, **changes)


@audited("patchUser", "user_id")
async def _patch(ctx: Context, actor: Actor, user_id: UserId, wanted: Patch) -> wire.Json:
    require(is_self_or_can(actor, user_id, "edit_other_users"))
    before = await _find(ctx.db, user_id)
    require_over(actor, before)
    _check(ctx, before, patched(before, wanted))

    async def change(tx: Transaction) -> tuple[User, bool]:
        lock = await locks.account(tx, user_id)
        now = await _find(tx, user_id)
        require_over(actor, now)
        user = patched(now, wanted)
        if user == now:
            return now, False
        if user.email != now.email:
            if actor.user_id == user_id and now.email != before.email:  # what the password was asked for is gone
                raise errors.invalid_body("email")
            user = replace(user, email_verified=False)
        at = max(await clock.now_ms(tx), now.update_at + 1)
        if user.username != now.username:
            user = _renamed(user, now.username, at)
        user = replace(user, update_at=at)
        await users_db.change(tx, lock, user, status_ends_at=customstatus.ends_at_ms(user.props))
        return user, True

    try:
        user, changed = await ctx.db.transact(change)
    except Duplicate as error:
        raise users.taken(error) from error
    if changed:
        users.tell_updated(ctx, user)
    return users.seen_by(ctx, actor, user)


def _renamed(user: User, old: str, at: int) -> User:
    """Under another name. The old one is no keyword any more, and the picture of initials is another one."""
    settings = msgspec.json.decode(user.notify_props, type=Texts)
    if "mention_keys" in settings:
        settings["mention_keys"] = without_name(settings["mention_keys"], old)
        user = replace(user, notify_props=wire.encode(settings).decode())
    return user if user.last_picture_update > 0 else replace(user, last_picture_update=-at)


# Passwords ------------------------------------------------------------------------------------------------------------


async def set_password(ctx: Context, actor: Actor, user_id: UserId, new: NewPassword) -> None:
    """Give a user another password. It ends their other sessions: who changes their own keeps the one that asks.

    Raises 400 for a wrong present or a bad new one, 403, 404, 429.
    """
    before: User | None = None
    if actor.user_id == user_id:
        if not new.current_password:
            raise errors.invalid_body("current_password")
        before = await _find(ctx.db, user_id)
        try:
            await logins.confirm(ctx, actor, before, new.current_password)
        except AppError as error:
            if error.status != 401:
                raise
            raise AppError("api.user.update_password.incorrect.app_error", 400) from error
    await _set_password(ctx, actor, user_id, before, new.new_password)


@audited("updatePassword", "user_id")
async def _set_password(ctx: Context, actor: Actor, user_id: UserId, confirmed: User | None, password: str) -> None:
    """confirmed: of one's own account as it was when the present password was looked at; None for somebody else's."""
    own = confirmed is not None
    require(own or can(actor, "sysconsole_write_user_management_users"))
    before = confirmed or await _find(ctx.db, user_id)
    if not own:
        require_over(actor, before)
    stored = await users.hash_new(ctx, before, password, actor.origin())

    async def change(tx: Transaction) -> tuple[User, list[SessionId]]:
        if not own:
            await attempts.forget(tx, user_id)
        lock = await locks.account(tx, user_id)
        now = await _find(tx, user_id)
        if own and now.last_password_update != before.last_password_update:  # the one that was confirmed is gone
            raise AppError("api.user.update_password.incorrect.app_error", 400)
        if not own:
            require_over(actor, now)
        await users_db.replace_password(tx, lock, user_id, stored, await clock.now_ms(tx))
        ended = await sessions_db.delete_of_user(tx, user_id, actor.session.id if own else None)
        return await _find(tx, user_id), ended

    user, ended = await ctx.db.transact(change)
    sessions.tell_ended(ctx, ended)
    users.tell_updated(ctx, user)


# Devices --------------------------------------------------------------------------------------------------------------


async def attach_device(ctx: Context, actor: Actor, device_id: str) -> None:
    """Say on which phone the session that asks is: other sessions of the user there end. Raises 400.

    Phones say so at each start: what is known, and good for long enough, is not written again.
    """
    if not 0 < len(device_id) <= logins.MAX_DEVICE_ID:
        raise errors.invalid_body("device_id")
    days = ctx.config.service_settings.session_length_mobile_in_days
    long_enough = actor.session.expires_at > ctx.now_ms() + (days - 1) * sessions.DAY_MS
    if actor.session.device_id != device_id or not long_enough:
        await _attach_device(ctx, actor, device_id, days)


@audited("attachDeviceId")
async def _attach_device(ctx: Context, actor: Actor, device_id: str, days: int) -> None:

    async def attach(tx: Transaction) -> list[SessionId]:
        ended = await sessions_db.delete_of_device(tx, actor.user_id, device_id, actor.session.id)
        expires_at = await clock.now_ms(tx) + days * sessions.DAY_MS
        await sessions_db.set_device(tx, actor.session.id, device_id, expires_at)
        return ended

    sessions.tell_ended(ctx, await ctx.db.transact(attach))


# Leaving --------------------------------------------------------------------------------------------------------------


async def delete(ctx: Context, actor: Actor, user_id: UserId, *, permanent: bool) -> None:
    """Deactivate a user; never permanently. Raises 400 for the last administrator, 401, 403, 404."""
    manages, own = can(actor, "manage_system"), actor.user_id == user_id
    if own and not (ctx.config.team_settings.enable_user_deactivation or manages):
        raise AppError("api.user.update_active.not_enable.app_error", 401)
    if permanent and (own or manages):
        raise AppError("api.user.delete_user.not_enabled.app_error", 401)
    await users.set_active(ctx, actor, user_id, active=False)
