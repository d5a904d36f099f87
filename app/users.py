"""Accounts: sign-up and reading users."""

import msgspec
from msgspec.structs import replace

from app import errors, sessions, teams, validate, visible
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.origin import Origin
from app.permissions import Actor, Viewer, can, require, viewer
from app.ports import Tag
from app.roles import ADMINISTRATOR, chosen_of_system, is_guest
from db.model import limits
from db.model.entities import Preference, Team, User
from db.model.errors import Duplicate
from db.model.ids import SessionId, UserId, is_id, new_id
from db.order import clock
from db.pool import systems
from db.pool.queryable import Queryable, Transaction
from db.sql import preferences, statuses, users
from db.sql import sessions as sessions_db
from db.sql import teams as teams_db

_NOTIFY_PROPS = (
    '{"channel":"true","comments":"never","desktop":"mention","desktop_sound":"true","desktop_threads":"all",'
    '"email":"true","email_threads":"all","first_name":"false","mention_keys":"","push":"mention",'
    '"push_status":"away","push_threads":"all"}'
)
_TIMEZONE = '{"automaticTimezone":"","manualTimezone":"","useAutomaticTimezone":"true"}'
_FIRST_ADMIN = "first_administrator"
MAX_PASSWORD_BYTES = 72
_SYMBOLS = frozenset(" !\"\\#$%&'()*+,-./:;<=>?@[]^_`|~")


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


@audited("createUser", "new.username")
async def create(
    ctx: Context, actor: Actor | None, new: NewUser, *, invite_id: str, token: str, origin: Origin
) -> User:
    """Create an account; the very first becomes system administrator.

    actor: who asks (None: nobody is logged in). invite_id: a team's invitation, which the user then joins.
    Raises 403 when sign-up is closed, 400 for a bad or taken name or address, 429 when too many sign up.
    """
    if token:  # this server hands out no sign-up tokens, so none is valid
        raise AppError("api.user.create_user.signup_link_invalid.app_error", 400)
    team = await _invitation(ctx, invite_id)
    is_admin = actor is not None and can(actor, "manage_system")
    if not is_admin:
        await _require_open(ctx, ctx.db, invited=team is not None)
    user = _checked(ctx, new)
    user = replace(user, password=await hash_new(ctx, user, new.password, origin))

    async def insert(tx: Transaction) -> User:
        now_ms = await clock.now_ms(tx)
        account = replace(user, create_at=now_ms, update_at=now_ms, last_password_update=now_ms)
        if await systems.claim(tx, _FIRST_ADMIN, account.id):
            account = replace(account, roles=f"{ADMINISTRATOR} system_user")
        elif not is_admin:  # somebody else may have become the first one meanwhile
            await _require_open(ctx, tx, invited=team is not None)
        await users.insert(tx, account)
        await preferences.save(tx, [Preference(account.id, "tutorial_step", account.id, "0")])
        return account

    try:
        user = await ctx.db.transact(insert)
    except Duplicate as error:
        raise taken(error) from error
    ctx.bus.publish(events.new_user(user.id))
    if team is not None:
        await teams.join(ctx, team, user, requestor=user)
    return user


def taken(error: Duplicate) -> AppError:
    """400: somebody else has this name, or this address."""
    what = "username" if error.constraint == "users_username_key" else "email"
    return AppError(f"app.user.save.{what}_exists.app_error", 400)


async def _invitation(ctx: Context, invite_id: str) -> Team | None:
    if not invite_id:
        return None
    team = await teams_db.find_by_invite_id(ctx.db, invite_id)
    if team is None:
        raise AppError("app.team.get_by_invite_id.finding.app_error", 404)
    return team


async def _require_open(ctx: Context, db: Queryable, *, invited: bool) -> None:
    settings = ctx.config.team_settings
    if not ctx.config.email_settings.enable_sign_up_with_email:
        raise AppError("api.user.create_user.signup_email_disabled.app_error", 501)
    if not settings.enable_user_creation:
        raise AppError("api.user.create_user.disabled.app_error", 501)
    if not (invited or settings.enable_open_server) and await systems.find(db, _FIRST_ADMIN) is not None:
        raise AppError("api.user.create_user.no_open_server", 403)


def _checked(ctx: Context, new: NewUser) -> User:
    """The account, without its times."""
    email = new.email.strip().lower()
    user = User(
        id=UserId(new_id()),
        create_at=0,
        update_at=0,
        delete_at=0,
        username=new.username.strip().lower(),
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
    check_profile(user)
    check_settings(user)
    if not validate.is_in_domains(email, ctx.config.team_settings.restrict_creation_to_domains):
        raise AppError("api.user.create_user.accepted_domain.app_error", 400)
    return user


def check_profile(user: User) -> None:
    """Raises 400 for what nobody may say of themselves."""
    _refuse_unless(validate.is_username(user.username), "username")
    _refuse_unless(validate.is_email(user.email), "email")
    _refuse_unless(len(user.nickname) <= 64, "nickname")
    _refuse_unless(len(user.first_name) <= 64, "first_name")
    _refuse_unless(len(user.last_name) <= 64, "last_name")
    _refuse_unless(len(user.position) <= 128, "position")
    _refuse_unless(validate.is_locale(user.locale), "locale")


def check_settings(user: User) -> None:
    """Raises 400 where they are too large together."""
    settings = (user.props, user.notify_props, user.timezone)
    _refuse_unless(sum(len(one.encode()) for one in settings) <= validate.MAX_PROPS_BYTES, "props")


def _refuse_unless(good: bool, field: str) -> None:
    if not good:
        raise AppError(f"model.user.is_valid.{field}.app_error", 400)


async def hash_new(ctx: Context, user: User, password: str, origin: Origin) -> str:
    """The hash of a password that the user is to have: the only way to one. Raises 400, and 429 when too many wait."""
    _check_password(ctx, user, password)
    return await ctx.hasher.hash(password, origin.source)


def _check_password(ctx: Context, user: User, password: str) -> None:
    """Raises 400 for what PasswordSettings do not allow, as Mattermost 10 does: length first, then all broken rules."""
    rules = ctx.config.password_settings
    if len(password) < rules.minimum_length:
        raise AppError("model.user.is_valid.pwd_min_length.app_error", 400, Min=rules.minimum_length)
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
        raise AppError("model.user.is_valid.pwd_max_length.app_error", 400, Max=MAX_PASSWORD_BYTES)
    lowercase = rules.lowercase and not any("a" <= one <= "z" for one in password)
    uppercase = rules.uppercase and not any("A" <= one <= "Z" for one in password)
    number = rules.number and not any("0" <= one <= "9" for one in password)
    symbol = rules.symbol and _SYMBOLS.isdisjoint(password)
    if lowercase or uppercase or number or symbol:
        broken = (
            f"{'_lowercase' if lowercase else ''}{'_uppercase' if uppercase else ''}"
            f"{'_number' if number else ''}{'_symbol' if symbol else ''}"
        )
        raise AppError(f"model.user.is_valid.pwd{broken}.app_error", 400, Min=rules.minimum_length)
    if password.lower() in (user.username, user.email, user.email.partition("@")[0]):
        raise AppError("model.user.is_valid.pwd_own_name.app_error", 400)


async def get(ctx: Context, user_id: UserId) -> User:
    """The user. Raises 404."""
    return found(await ctx.caches.users.get(user_id))


async def get_for(ctx: Context, actor: Actor, user_id: UserId, tag: Tag) -> wire.Json:
    """The user as the actor may see them. Raises 403 to guests for whom they do not see, 404."""
    await visible.require_seen(ctx, actor, user_id)
    user = actor.user if user_id == actor.user_id else await get(ctx, user_id)
    privacy = ctx.config.privacy_settings
    seer = viewer(actor, privacy)
    tag(
        user.id,
        user.update_at,
        user.failed_attempts,
        privacy.show_full_name,
        privacy.show_email_address,
        seer.sees_all_of(user.id),
    )
    return wire.user(user, seer)


async def get_by_username_for(ctx: Context, actor: Actor, username: str) -> wire.Json:
    """The user of this name, as the actor may see them. Raises 404."""
    user = await users.find_by_username(ctx.db, username.lower())
    return await looked_up(ctx, actor, user)


async def looked_up(ctx: Context, actor: Actor, user: User | None) -> wire.Json:
    """Who was found by a name or an address. Raises 403 to guests who do not see them, and 404."""
    if user is None:
        require(can(actor, "view_members"))  # guests are not told who is not there
    there = found(user)
    await visible.require_seen(ctx, actor, there.id)
    return seen_by(ctx, actor, there)


def found(user: User | None) -> User:
    """The user. Raises 404 where there is none."""
    if user is None:
        raise AppError("app.user.missing_account.const", 404)
    return user


async def find_many_for(ctx: Context, actor: Actor, ids: list[str], since_ms: int) -> list[wire.Json]:
    """Users by id that changed after `since_ms`, as the actor may see them; what is unknown, or no id, is left out.

    Raises 400 for none and for more than limits.USER_IDS.
    """
    if not ids or len(ids) > limits.USER_IDS:
        raise errors.invalid_body("user_ids")
    there = await users.find_many(ctx.db, [UserId(one) for one in ids if is_id(one)], since_ms)
    return [seen_by(ctx, actor, user) for user in await visible.seen(ctx, actor, there)]


async def stats(ctx: Context) -> wire.Json:
    """How many accounts there are, deactivated ones left out."""
    return {"total_users_count": await users.count_active(ctx.db)}


def seen_by(ctx: Context, actor: Actor, user: User) -> wire.Json:
    """The user's JSON as the actor may see it."""
    return wire.user(user, viewer(actor, ctx.config.privacy_settings))


def seen_by_self(ctx: Context, user: User) -> wire.Json:
    """The user's JSON as they see it themselves: also for who signs somebody up, or logs in."""
    return wire.user(user, Viewer(ctx.config.privacy_settings, user.id))


async def require_self_or(ctx: Context, actor: Actor, user_id: UserId, permission: str) -> None:
    """Raises 403 unless the actor is the user or has the permission; 404 when there is no such user."""
    if actor.user_id != user_id:
        require(can(actor, permission))
        await get(ctx, user_id)


@audited("updateUserActive", "user_id", "active")
async def set_active(ctx: Context, actor: Actor, user_id: UserId, *, active: bool) -> None:
    """Deactivate a user, which ends all their sessions, or activate again. Raises 400 for the last admin, 403, 404."""
    ends_own = not active and actor.user_id == user_id and ctx.config.team_settings.enable_user_deactivation
    require(ends_own or can(actor, "manage_system"))
    user = found(await users.find(ctx.db, user_id))
    if bool(user.delete_at) != active:
        return

    async def change(tx: Transaction) -> tuple[list[SessionId], bool]:
        now_ms = await clock.now_ms(tx)
        if not active:
            await require_another_administrator(tx, user_id)
        await users.set_delete_at(tx, user_id, 0 if active else now_ms, now_ms)
        if active:
            return [], False
        ended = await sessions_db.delete_of_user(tx, user_id)
        return ended, await statuses.set_by_user(tx, user_id, "offline", now_ms, manual=False)

    ended, offline = await ctx.db.transact(change)
    if offline:
        ctx.bus.publish(events.status_change(user_id, "offline"))  # to their own sockets, which are closed then
    sessions.tell_ended(ctx, ended)
    if not active:
        ctx.bus.publish(events.presence_ended(user_id))
    ctx.bus.publish(events.user_activation_status_change())
    tell_updated(ctx, found(await users.find(ctx.db, user_id)))


@audited("updateUserRoles", "user_id", "roles")
async def set_roles(ctx: Context, actor: Actor, user_id: UserId, roles: str) -> None:
    """Replace a user's system roles. Raises 400 for what they cannot be, and for the last administrator; 403, 404."""
    require(can(actor, "manage_roles"))
    names = chosen_of_system(roles, guest=is_guest(found(await users.find(ctx.db, user_id))))

    async def change(tx: Transaction) -> None:
        if ADMINISTRATOR not in names.split():
            await require_another_administrator(tx, user_id)
        await users.set_roles(tx, user_id, names, await clock.now_ms(tx))

    await ctx.db.transact(change)
    ctx.bus.publish(events.user_role_updated(user_id, names))
    tell_updated(ctx, found(await users.find(ctx.db, user_id)))


async def require_another_administrator(tx: Transaction, user_id: UserId) -> None:
    """Raises 400 where the user is the last one who may administer the system: nobody could make another one."""
    if await users.lock_administrators(tx, ADMINISTRATOR, user_id) == {user_id}:
        raise AppError("app.user.last_administrator.app_error", 400)


def tell_updated(ctx: Context, user: User) -> None:
    """A user has changed: to all, as each may see them; after the commit."""
    for event in events.user_updated(user, ctx.config.privacy_settings):
        ctx.bus.publish(event)
