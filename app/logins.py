"""Log in, and the delay after too many wrong passwords.

    who is it ─> a delay? ─> a place in the queue ─> charge ─> look at the password ─> right: give back, session
                  429           429: nothing is       429                             └> wrong: 401, the charge stays
                                charged

Whether somebody has the name is told neither by words nor by time: what nobody has is charged and hashed as well.
"""

import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from app import errors, sessions
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.guard import Guard, Key, State, keys
from app.journal import Entry, Journal, details
from app.metrics import FAILED_LOGINS, LOGINS
from app.origin import Origin
from app.permissions import Actor, can, require
from db.model.entities import Session, User
from db.model.ids import SessionId, UserId
from db.pool.queryable import Queryable, Transaction
from db.sql import attempts, users

MAX_DEVICE_ID = 512
_NOBODY_DIGITS = 5
"""Of the hash of a name that nobody has: what was typed stays unknown, and rows are few."""


async def log_in(
    ctx: Context, password: str, device_id: str, origin: Origin, *, user_id: UserId, login_id: str
) -> tuple[User, Session, str]:
    """The user, the new session and its token. `login_id`: a user name or an address, when `user_id` is ''.

    Raises 400, 401 for wrong credentials, 429 when too many log in or too many passwords were wrong (security S5, S6).
    """
    if len(device_id) > MAX_DEVICE_ID:
        raise errors.invalid_body("device_id")
    if not password:
        raise AppError("api.user.login.blank_pwd.app_error", 400)
    wanted = login_id.strip().lower()
    user = await (users.find(ctx.db, user_id) if user_id else _find_by_login(ctx, wanted))
    try:
        found = await _log_in(ctx, user, password, device_id, origin, account=_account(user, user_id or wanted))
    except AppError as error:
        ctx.metrics.counter(FAILED_LOGINS).inc()
        ctx.audit.note(Entry("login", error.id, user.id if user is not None else "", origin=origin))
        raise
    ctx.metrics.counter(LOGINS).inc()
    return found


async def _log_in(
    ctx: Context, user: User | None, password: str, device_id: str, origin: Origin, *, account: str
) -> tuple[User, Session, str]:
    guard = Guard(ctx.config.service_settings.maximum_login_attempts)
    rows = keys(account, origin.source)
    now_ms, states = _states(await attempts.find(ctx.db, rows))
    _refuse_early(guard.delay_ms(states, now_ms))
    async with ctx.hasher.turn(origin.source, known=bool(guard.known(states, now_ms))) as verify:
        charged = await _charge(ctx, guard, account, origin, rows)
        stored = await verify(user.password if user is not None else None, password)
    if user is None or stored is None:
        raise _bad_credentials(ctx)
    return await _succeed(ctx, guard, user, device_id, origin, charged, stored)


async def confirm(ctx: Context, actor: Actor, user: User, password: str) -> None:
    """Whether the actor, who is the user, knows the password, too: wrong ones count as those of log-ins.

    Raises 401, 429. Not within an audited verb: what it writes is not what that verb does.
    """
    origin = actor.origin()
    try:
        await _confirm(ctx, user, password, origin)
    except AppError as error:
        ctx.audit.note(Entry("confirmPassword", error.id, user.id, actor.session.id, origin=origin))
        raise


async def _confirm(ctx: Context, user: User, password: str, origin: Origin) -> None:
    guard = Guard(ctx.config.service_settings.maximum_login_attempts)
    rows = keys(user.id, origin.source)
    now_ms, states = _states(await attempts.find(ctx.db, rows))
    _refuse_early(guard.delay_ms(states, now_ms))
    async with ctx.hasher.turn(origin.source, known=bool(guard.known(states, now_ms))) as verify:
        charged = await _charge(ctx, guard, user.id, origin, rows)
        stored = await verify(user.password, password)
    if stored is None:
        raise AppError("api.user.check_user_password.invalid.app_error", 401)

    async def forgive(tx: Transaction) -> None:
        now_ms, states = _states(await attempts.lock(tx, list(charged)))
        await _save(tx, guard.forgive(states, charged, now_ms))
        await users.clear_failed_attempts(tx, user.id)

    await ctx.db.transact(forgive)


def _account(user: User | None, wanted: str) -> str:
    """What attempts count for: an account by any of its names, or a name that nobody has."""
    if user is not None:
        return user.id
    return "?" + hashlib.blake2b(wanted.encode("utf-8", "surrogatepass")).hexdigest()[:_NOBODY_DIGITS]


def _states(found: tuple[int, dict[attempts.Key, attempts.Times]]) -> tuple[int, dict[Key, State]]:
    now_ms, times = found
    return now_ms, {Key(*key): State(*one) for key, one in times.items()}


def _refuse_early(delay_ms: int) -> None:
    if delay_ms > 0:
        error = "api.user.check_user_login_attempts.too_many.app_error"
        raise AppError(error, 429, retry_after_s=-(-delay_ms // 1000))


async def _charge(ctx: Context, guard: Guard, account: str, origin: Origin, rows: Sequence[Key]) -> dict[Key, State]:
    """Count the attempt before its password is looked at, on all nodes as one; what the rows are then. Raises 429."""

    async def charge(tx: Transaction) -> tuple[dict[Key, State], bool]:
        now_ms, states = _states(await attempts.lock(tx, rows))
        _refuse_early(guard.delay_ms(states, now_ms))
        after = guard.charge(states, now_ms)
        await _save(tx, after)
        await users.count_failed_attempt(tx, account)
        return after, guard.begins_delay(after, now_ms)

    charged, delayed = await ctx.db.transact(charge)
    if delayed:
        ctx.audit.note(Entry("loginDelayed", "too_many", "" if account[0] == "?" else account, origin=origin))
    return charged


async def _succeed(
    ctx: Context, guard: Guard, user: User, device_id: str, origin: Origin, charged: dict[Key, State], stored: str
) -> tuple[User, Session, str]:
    """The password was right. Raises 401 when the account is deactivated."""

    async def succeed(tx: Transaction) -> tuple[Session, str, list[SessionId], Entry] | None:
        now_ms, states = _states(await attempts.lock(tx, list(charged)))
        await _save(tx, guard.forgive(states, charged, now_ms))
        await users.clear_failed_attempts(tx, user.id)  # locks the account: it is as it is now until the commit
        now = await users.find(tx, user.id)
        if now is None or now.delete_at:
            return None
        if stored != user.password == now.password:
            await users.set_password(tx, user.id, stored)
        session, token, ended = await sessions.create(tx, ctx, user.id, device_id)
        entry = Entry("login", user_id=user.id, session_id=session.id, origin=origin)
        await ctx.audit.write(tx, entry)
        return session, token, ended, entry

    done = await ctx.db.transact(succeed)
    if done is None:
        raise AppError("api.user.login.inactive.app_error", 401)
    session, token, ended, entry = done
    ctx.audit.tell(entry)
    sessions.tell_ended(ctx, ended)
    return replace(user, failed_attempts=0), session, token


async def _save(tx: Transaction, states: dict[Key, State]) -> None:
    times: dict[attempts.Key, attempts.Times] = {key: state[:3] for key, state in states.items()}
    await attempts.save(tx, times, {key: state.keep_until for key, state in states.items()})


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


# Unlocking ------------------------------------------------------------------------------------------------------------


@audited("resetPasswordFailedAttempts", "user_id")
async def unlock(ctx: Context, actor: Actor, user_id: UserId) -> None:
    """Forget the wrong passwords of a user, from wherever they came. Raises 403, 404."""
    require(can(actor, "sysconsole_write_user_management_users"))
    if await users.find(ctx.db, user_id) is None:
        raise AppError("app.user.missing_account.const", 404)
    await _forget(ctx.db, user_id)


async def unlock_by_name(db: Queryable, journal: Journal, name: str) -> bool:
    """The same by user name or address, for the command line; whether there is such a user."""
    wanted = name.strip().lower()
    user = await users.find_by_username(db, wanted) or await users.find_by_email(db, wanted)
    if user is None:
        return False
    entry = Entry("resetPasswordFailedAttempts", details=details(user_id=user.id, by="command line"))

    async def forget(tx: Transaction) -> None:
        await _forget(tx, user.id)
        await journal.write(tx, entry)

    await db.transact(forget)
    journal.tell(entry)
    return True


async def _forget(db: Queryable, user_id: UserId) -> None:
    async def forget(tx: Transaction) -> None:
        await attempts.forget(tx, user_id)
        await users.clear_failed_attempts(tx, user_id)

    await db.transact(forget)
