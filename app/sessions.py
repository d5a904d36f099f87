"""Log in, log out, and who is asking."""

from msgspec.structs import replace

from app import errors, events
from app.context import Context
from app.errors import AppError
from app.permissions import Actor, can, require
from db import sessions, users
from db.entities import Session, User
from db.ids import SessionId, UserId, new_id, new_token, token_hash

_DAY_MS = 86_400_000
_ACTIVITY_EVERY_MS = 300_000


async def log_in(
    ctx: Context, password: str, device_id: str, *, user_id: UserId, login_id: str
) -> tuple[User, Session, str]:
    """The user, the new session and its token. `login_id`: a user name or an address, when `user_id` is ''.

    Raises 401 for wrong or locked credentials, 429 when too many log in. An attempt is counted before the password
    is looked at, and an unknown user takes the same time as a wrong password (security S5, S6).
    """
    if not password:
        raise AppError("api.user.login.blank_pwd.app_error", 400)
    user = await (users.find(ctx.db, user_id) if user_id else _find_by_login(ctx, login_id.strip().lower()))
    if user is None:
        await ctx.hasher.verify(None, password)
        raise _bad_credentials(ctx)
    if not await users.count_login_attempt(ctx.db, user.id, ctx.config.service_settings.maximum_login_attempts):
        raise AppError("api.user.check_user_login_attempts.too_many.app_error", 401)
    stored = await ctx.hasher.verify(user.password, password)
    if stored is None:
        raise _bad_credentials(ctx)
    if user.delete_at:
        raise AppError("api.user.login.inactive.app_error", 401)
    await users.clear_login_attempts(ctx.db, user.id)
    user = replace(user, failed_attempts=0)
    if stored != user.password:
        await users.set_password(ctx.db, user.id, stored)
    session, token = await create(ctx, user.id, device_id)
    return user, session, token


async def _find_by_login(ctx: Context, login_id: str) -> User | None:
    email = ctx.config.email_settings
    user = None
    if email.enable_sign_in_with_username:
        user = await users.find_by_username(ctx.db, login_id)
    if user is None and email.enable_sign_in_with_email and "@" in login_id:
        user = await users.find_by_email(ctx.db, login_id)
    return user


def _bad_credentials(ctx: Context) -> AppError:
    email = ctx.config.email_settings
    if email.enable_sign_in_with_username and email.enable_sign_in_with_email:
        return AppError("api.user.login.invalid_credentials_email_username", 401)
    if email.enable_sign_in_with_username:
        return AppError("api.user.login.invalid_credentials_username", 401)
    return AppError("api.user.login.invalid_credentials_email", 401)


async def create(ctx: Context, user_id: UserId, device_id: str) -> tuple[Session, str]:
    """A new session and its token, which exists nowhere else. Expired ones of the user are removed,
    and those beyond limits.SESSIONS.
    """
    service = ctx.config.service_settings
    days = service.session_length_mobile_in_days if device_id else service.session_length_web_in_days
    now_ms = ctx.now_ms()
    token = new_token()
    session = Session(
        id=SessionId(new_id()),
        token_hash=token_hash(token),
        user_id=user_id,
        create_at=now_ms,
        expires_at=now_ms + days * _DAY_MS,
        last_activity_at=now_ms,
        device_id=device_id,
        csrf_token=new_token(),
    )
    await sessions.insert(ctx.db, session)
    await sessions.delete_expired(ctx.db, user_id, now_ms)
    for ended in await sessions.delete_oldest(ctx.db, user_id, session.id):
        ctx.bus.publish(events.session_closed(ended))
    return session, token


async def authenticate(ctx: Context, token: str) -> Actor:
    """Who bears this token. Raises 401 when nobody does (any more)."""
    return await _live(ctx, await ctx.caches.sessions_by_token.get(token_hash(token)))


async def current(ctx: Context, session_id: SessionId) -> Actor:
    """Who is behind a session. Raises 401 when it has ended."""
    return await _live(ctx, await ctx.caches.sessions.get(session_id))


async def recheck(ctx: Context, session_id: SessionId) -> Actor:
    """The session as it is in the database now: for who may have missed that it ended. Raises 401 when it has."""
    return await _live(ctx, await sessions.find(ctx.db, session_id))


async def _live(ctx: Context, found: tuple[Session, User] | None) -> Actor:
    now_ms = ctx.now_ms()
    if found is None or found[1].delete_at or found[0].expires_at <= now_ms:
        raise errors.session_expired()
    session, user = found
    if now_ms - session.last_activity_at > _ACTIVITY_EVERY_MS:
        await sessions.touch(ctx.db, session.id, now_ms)
    return Actor(session, user)


async def log_out(ctx: Context, session_id: SessionId) -> None:
    """End a session and close its sockets."""
    if await sessions.delete(ctx.db, session_id):
        ctx.bus.publish(events.session_closed(session_id))


async def of_user(ctx: Context, actor: Actor, user_id: UserId) -> list[Session]:
    """A user's sessions. Raises 403, 404."""
    await _require_over(ctx, actor, user_id)
    return await sessions.find_of_user(ctx.db, user_id)


async def revoke(ctx: Context, actor: Actor, user_id: UserId, session_id: SessionId) -> None:
    """End one session of a user. Raises 403, and 400 when the session is not theirs."""
    await _require_over(ctx, actor, user_id)
    if session_id not in {session.id for session in await sessions.find_of_user(ctx.db, user_id)}:
        raise errors.invalid_url("user_id")
    await log_out(ctx, session_id)


async def revoke_all(ctx: Context, actor: Actor, user_id: UserId) -> None:
    """End all sessions of a user. Raises 403, 404."""
    await _require_over(ctx, actor, user_id)
    await end_all(ctx, user_id)


async def revoke_everybodys(ctx: Context, actor: Actor) -> None:
    """End all sessions there are. Raises 403."""
    require(can(actor, "manage_system"))
    await sessions.delete_everybodys(ctx.db)
    ctx.bus.publish(events.EverySessionClosed())


async def end_all(ctx: Context, user_id: UserId, keep: SessionId | None = None) -> None:
    """End a user's sessions, but `keep`, and close their sockets."""
    for session_id in await sessions.delete_of_user(ctx.db, user_id, keep):
        ctx.bus.publish(events.session_closed(session_id))


async def _require_over(ctx: Context, actor: Actor, user_id: UserId) -> None:
    if actor.user_id == user_id:
        return
    require(can(actor, "edit_other_users"))
    if await ctx.caches.users.get(user_id) is None:
        raise AppError("app.user.missing_account.const", 404)
