"""Sessions: who is asking, and how sessions end. They begin in `app/logins.py`."""

from collections.abc import Iterable

from app import errors
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can, require
from app.roles import ADMINISTRATOR
from db.model.entities import Session, User
from db.model.errors import Busy, Unavailable
from db.model.ids import SessionId, UserId, new_id, new_token, token_hash
from db.order import clock
from db.pool.queryable import Transaction
from db.sql import sessions

DAY_MS = 86_400_000


async def create(
    tx: Transaction, ctx: Context, user_id: UserId, device_id: str
) -> tuple[Session, str, list[SessionId]]:
    """A new session, its token, which exists nowhere else, and the user's sessions beyond limits.SESSIONS.

    Those and the expired ones are removed; their sockets are to be closed after the commit.
    """
    service = ctx.config.service_settings
    days = service.session_length_mobile_in_days if device_id else service.session_length_web_in_days
    now_ms = await clock.now_ms(tx)
    token = new_token()
    session = Session(
        id=SessionId(new_id()),
        token_hash=token_hash(token),
        user_id=user_id,
        create_at=now_ms,
        expires_at=now_ms + days * DAY_MS,
        last_activity_at=now_ms,
        device_id=device_id,
        csrf_token=new_token(),
    )
    await sessions.insert(tx, session)
    await sessions.delete_expired(tx, user_id, now_ms)
    return session, token, await sessions.delete_oldest(tx, user_id, session.id)


async def authenticate(ctx: Context, token: str) -> Actor:
    """Who bears this token. Raises 401 when nobody does (any more)."""
    return await _live(ctx, await ctx.caches.sessions_by_token.get(token_hash(token)))


async def authenticate_operator(ctx: Context, token: str) -> Actor:
    """As `authenticate`, for what operates the node: administrators do so for 10 minutes without a master, too."""
    hashed = token_hash(token)
    known = ctx.administrators.find(hashed, ctx.now_ms())
    if known is not None:
        return known
    try:
        return await authenticate(ctx, token)
    except (Unavailable, Busy):  # whoever asks now may be earlier than what finds out that the master is lost
        known = await ctx.administrators.find_when_lost(hashed, ctx.now_ms)
        if known is None:
            raise
        return known


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
    if ctx.touched.is_due(session.id, session.last_activity_at, now_ms):
        await sessions.touch(ctx.db, session.id)
    if ADMINISTRATOR in user.roles:
        ctx.administrators.note(session, user)
    return Actor(session, user)


@audited("logout")
async def log_out(ctx: Context, actor: Actor) -> None:
    """End the session that asks, and close its sockets."""
    await _end(ctx, actor.session.id)


async def _end(ctx: Context, session_id: SessionId) -> None:
    if await sessions.delete(ctx.db, session_id):
        tell_ended(ctx, [session_id])


async def of_user(ctx: Context, actor: Actor, user_id: UserId) -> list[wire.Json]:
    """A user's sessions. Raises 403, 404."""
    await _require_over(ctx, actor, user_id)
    user = actor.user if user_id == actor.user_id else await ctx.caches.users.get(user_id)
    found = await sessions.find_of_user(ctx.db, user_id)
    return [wire.session(session, user.roles if user is not None else "") for session in found]


async def revoke(ctx: Context, actor: Actor, user_id: UserId, named: str) -> None:
    """End one session of a user. named: its id or, as clients log out by it, its token.

    Raises 403, and 400 when no session of theirs is meant.
    """
    if not named:
        raise errors.invalid_body("session_id")
    hashed = token_hash(named)
    found = await sessions.find_of_user(ctx.db, user_id)
    meant = [one.id for one in found if one.id == named or one.token_hash == hashed]
    await _revoke(ctx, actor, user_id, meant[0] if meant else SessionId(""))


@audited("revokeSession", "user_id", "session_id")
async def _revoke(ctx: Context, actor: Actor, user_id: UserId, session_id: SessionId) -> None:
    """session_id: '' when none of theirs is meant."""
    await _require_over(ctx, actor, user_id)
    if not session_id:
        raise errors.invalid_url("user_id")
    await _end(ctx, session_id)


@audited("revokeAllSessionsForUser", "user_id")
async def revoke_all(ctx: Context, actor: Actor, user_id: UserId) -> None:
    """End all sessions of a user. Raises 403, 404."""
    await _require_over(ctx, actor, user_id)
    await end_all(ctx, user_id)


@audited("revokeAllSessionsAllUsers")
async def revoke_everybodys(ctx: Context, actor: Actor) -> None:
    """End all sessions there are. Raises 403."""
    require(can(actor, "manage_system"))
    await sessions.delete_everybodys(ctx.db)
    ctx.bus.publish(events.EverySessionClosed())


async def end_all(ctx: Context, user_id: UserId, keep: SessionId | None = None) -> None:
    """End a user's sessions, but `keep`, and close their sockets."""
    tell_ended(ctx, await sessions.delete_of_user(ctx.db, user_id, keep))


def tell_ended(ctx: Context, session_ids: Iterable[SessionId]) -> None:
    """Close the sockets of sessions that were deleted; after the commit."""
    for session_id in session_ids:
        ctx.bus.publish(events.session_closed(session_id))


async def _require_over(ctx: Context, actor: Actor, user_id: UserId) -> None:
    if actor.user_id == user_id:
        return
    require(can(actor, "edit_other_users"))
    if await ctx.caches.users.get(user_id) is None:
        raise AppError("app.user.missing_account.const", 404)
