"""Accounts: sign-up and reading users."""

import msgspec
from msgspec.structs import replace

from app import events, sessions, teams, validate, wire
from app.context import Context
from app.errors import AppError
from app.permissions import Actor, can, require
from app.roles import ROLES
from db import clock, preferences, systems, users
from db import teams as teams_db
from db.entities import Preference, Team, User
from db.errors import Duplicate
from db.ids import UserId, new_id

_NOTIFY_PROPS = (
    '{"channel":"true","comments":"never","desktop":"mention","desktop_sound":"true","desktop_threads":"all",'
    '"email":"true","email_threads":"all","first_name":"false","mention_keys":"","push":"mention",'
    '"push_status":"away","push_threads":"all"}'
)
_TIMEZONE = '{"automaticTimezone":"","manualTimezone":"","useAutomaticTimezone":"true"}'
_FIRST_ADMIN = "first_administrator"
MAX_PASSWORD_BYTES = 512


class NewUser(msgspec.Struct, kw_only=True):
    """What a sign-up gives; what clients may not choose is not here."""

    username: str = ""
    email: str = ""
    password: str = ""
    nickname: str = ""
    first_name: str = ""
    last_name: str = ""
    position: str = ""
    locale: str = ""
    props: dict[str, str] = {}
    notify_props: dict[str, str] = {}
    timezone: dict[str, str] = {}
    allow_marketing: bool = False


async def create(ctx: Context, actor: Actor | None, new: NewUser, *, invite_id: str, token: str) -> User:
    """Create an account; the very first becomes system administrator.

    actor: who asks (None: nobody is logged in). invite_id: a team's invitation, which the user then joins.
    Raises 403 when sign-up is closed, 400 for a bad or taken name or address, 429 when too many sign up.
    """
    if token:  # this server hands out no sign-up tokens, so none is valid
        raise AppError("api.user.create_user.signup_link_invalid.app_error", 400)
    team = await _invitation(ctx, invite_id)
    is_admin = actor is not None and can(actor, "manage_system")
    if not is_admin:
        await _require_open(ctx, invited=team is not None)
    user = _checked(ctx, new)
    user = replace(user, password=await ctx.hasher.hash(new.password))
    try:
        async with ctx.db.transaction() as tx:
            now_ms = await clock.now_ms(tx)
            user = replace(user, create_at=now_ms, update_at=now_ms, last_password_update=now_ms)
            if await systems.claim(tx, _FIRST_ADMIN, user.id):
                user = replace(user, roles="system_admin system_user")
            await users.insert(tx, user)
            await preferences.save(tx, [Preference(user.id, "tutorial_step", user.id, "0")])
    except Duplicate as error:
        taken = "username" if error.constraint == "users_username_key" else "email"
        raise AppError(f"app.user.save.{taken}_exists.app_error", 400) from error
    ctx.bus.publish(events.new_user(user.id))
    if team is not None:
        await teams.join(ctx, team, user, requestor=user)
    return user


async def _invitation(ctx: Context, invite_id: str) -> Team | None:
    if not invite_id:
        return None
    team = await teams_db.find_by_invite_id(ctx.db, invite_id)
    if team is None:
        raise AppError("app.team.get_by_invite_id.finding.app_error", 404)
    return team


async def _require_open(ctx: Context, *, invited: bool) -> None:
    settings = ctx.config.team_settings
    if not ctx.config.email_settings.enable_sign_up_with_email:
        raise AppError("api.user.create_user.signup_email_disabled.app_error", 501)
    if not settings.enable_user_creation:
        raise AppError("api.user.create_user.disabled.app_error", 501)
    if not (invited or settings.enable_open_server) and await systems.find(ctx.db, _FIRST_ADMIN) is not None:
        raise AppError("api.user.create_user.no_open_server", 403)


def _checked(ctx: Context, new: NewUser) -> User:
    """The account, without its times."""
    username, email = new.username.strip().lower(), new.email.strip().lower()
    _refuse_unless(validate.is_username(username), "username")
    _refuse_unless(validate.is_email(email), "email")
    _refuse_unless(len(new.nickname) <= 64, "nickname")
    _refuse_unless(len(new.first_name) <= 64, "first_name")
    _refuse_unless(len(new.last_name) <= 64, "last_name")
    _refuse_unless(len(new.position) <= 128, "position")
    _refuse_unless(validate.is_locale(new.locale), "locale")
    settings_text = wire.encode([new.props, new.notify_props, new.timezone])
    _refuse_unless(len(settings_text) <= validate.MAX_PROPS_BYTES, "props")
    if not validate.is_in_domains(email, ctx.config.team_settings.restrict_creation_to_domains):
        raise AppError("api.user.create_user.accepted_domain.app_error", 400)
    check_password(ctx, new.password)
    return User(
        id=UserId(new_id()),
        create_at=0,
        update_at=0,
        delete_at=0,
        username=username,
        password="",
        email=email,
        email_verified=False,
        nickname=new.nickname,
        first_name=new.first_name,
        last_name=new.last_name,
        position=new.position,
        roles="system_user",
        locale=new.locale or ctx.config.localization_settings.default_client_locale,
        props=wire.encode(new.props).decode(),
        notify_props=wire.encode(new.notify_props).decode() if new.notify_props else _NOTIFY_PROPS,
        timezone=wire.encode(new.timezone).decode() if new.timezone else _TIMEZONE,
        last_password_update=0,
        last_picture_update=0,
        failed_attempts=0,
        allow_marketing=new.allow_marketing,
    )


def _refuse_unless(good: bool, field: str) -> None:
    if not good:
        raise AppError(f"model.user.is_valid.{field}.app_error", 400)


def check_password(ctx: Context, password: str) -> None:
    """Raises 400, naming the rules, for a password that the settings do not allow."""
    rules = ctx.config.password_settings
    wanted = [f"at least {rules.minimum_length} characters"]
    good = rules.minimum_length <= len(password) and len(password.encode()) <= MAX_PASSWORD_BYTES
    for on, what, test in (
        (rules.lowercase, "a lowercase letter", str.islower),
        (rules.uppercase, "an uppercase letter", str.isupper),
        (rules.number, "a number", str.isdigit),
        (rules.symbol, "a symbol", lambda c: not c.isalnum() and not c.isspace()),
    ):
        if on:
            wanted.append(what)
            good = good and any(map(test, password))
    if not good:
        raise AppError("model.user.is_valid.pwd.app_error", 400, Rules=", ".join(wanted))


async def get(ctx: Context, user_id: UserId) -> User:
    """The user. Raises 404."""
    return _found(await ctx.caches.users.get(user_id))


async def get_by_username(ctx: Context, username: str) -> User:
    """The user of this name. Raises 404."""
    return _found(await users.find_by_username(ctx.db, username.lower()))


def _found(user: User | None) -> User:
    if user is None:
        raise AppError("app.user.missing_account.const", 404)
    return user


async def find_many(ctx: Context, user_ids: list[UserId], since_ms: int) -> list[User]:
    """Users by id that changed after `since_ms`; unknown ids are left out."""
    return await users.find_many(ctx.db, user_ids, since_ms)


def sees_all(actor: Actor, user: User) -> bool:
    """Whether nothing of the user is hidden from the actor: it is they, or an administrator."""
    return actor.user_id == user.id or can(actor, "manage_system")


def seen_by(ctx: Context, actor: Actor, user: User) -> wire.Json:
    """The user's JSON as the actor may see it."""
    privacy = ctx.config.privacy_settings
    return wire.user(
        user,
        sanitised=not sees_all(actor, user),
        show_email=privacy.show_email_address,
        show_full_name=privacy.show_full_name,
    )


async def require_self_or(ctx: Context, actor: Actor, user_id: UserId, permission: str) -> None:
    """Raises 403 unless the actor is the user or has the permission; 404 when there is no such user."""
    if actor.user_id != user_id:
        require(can(actor, permission))
        await get(ctx, user_id)


async def set_active(ctx: Context, actor: Actor, user_id: UserId, *, active: bool) -> None:
    """Deactivate a user, which ends all their sessions, or activate again. Raises 403, 404."""
    ends_own = not active and actor.user_id == user_id and ctx.config.team_settings.enable_user_deactivation
    require(ends_own or can(actor, "manage_system"))
    user = _found(await users.find(ctx.db, user_id))
    if bool(user.delete_at) != active:
        return
    now_ms = await clock.now_ms(ctx.db)
    await users.set_delete_at(ctx.db, user_id, 0 if active else now_ms, now_ms)
    if not active:
        await sessions.end_all(ctx, user_id)
    ctx.bus.publish(events.user_activation_status_change())
    _tell_updated(ctx, _found(await users.find(ctx.db, user_id)))


async def set_roles(ctx: Context, actor: Actor, user_id: UserId, roles: str) -> None:
    """Replace a user's system roles. Raises 400 for a role that is none of the system's, 403, 404."""
    require(can(actor, "manage_roles"))
    names = roles.split()
    if not names or any(name not in ROLES or not name.startswith("system_") for name in names):
        raise AppError("api.context.invalid_body_param.app_error", 400, Name="roles")
    _found(await users.find(ctx.db, user_id))
    await users.set_roles(ctx.db, user_id, " ".join(names), await clock.now_ms(ctx.db))
    ctx.bus.publish(events.user_role_updated(user_id, " ".join(names)))
    _tell_updated(ctx, _found(await users.find(ctx.db, user_id)))


def _tell_updated(ctx: Context, user: User) -> None:
    for event in events.user_updated(user):
        ctx.bus.publish(event)
