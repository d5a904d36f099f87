"""Log in, log out, sessions."""

import msgspec

from api import shapes
from api.call import Call, Visit
from api.example import Example
from api.operation import Login, operation
from app import logins, may, sessions, users
from app.events.wire import Json
from db.model.ids import UserId


class Credentials(msgspec.Struct, kw_only=True):
    """POST /users/login: `login_id` is a user name or an address; `id` goes before it."""

    id: str = ""
    login_id: str = ""
    password: str = ""
    device_id: str = ""


class Revoke(msgspec.Struct, kw_only=True):
    """POST /users/{user_id}/sessions/revoke: the id of a session, or its token."""

    session_id: str = ""


@operation(
    "POST",
    "/users/login",
    login=Login.OPTIONAL,  # no foreign page makes somebody who is logged in somebody else
    answers=shapes.User,
    body_name="login",
    errors=(
        "api.user.check_user_login_attempts.too_many.app_error",
        "api.user.login.*",
    ),
    example=Example(
        {
            "id": "<stranger.id>",
            "login_id": "<stranger.username>",
            "password": "<password>",
            "device_id": "phone",
        }
    ),
    notes="cookies only with `X-Requested-With: XMLHttpRequest`; header `Token` always",
)
async def log_in(visit: Visit, body: Credentials) -> Json:
    """Begin a session: the user."""
    user, session, token = await logins.log_in(
        visit.ctx, body.password, body.device_id, visit.origin, user_id=UserId(body.id), login_id=body.login_id
    )
    visit.begin_session(session, token)
    return users.seen_by_self(visit.ctx, user)


@operation("POST", "/users/logout", login=Login.OPTIONAL, notes="it is no error that there is none")
async def log_out(visit: Visit) -> None:
    """End the session that asks."""
    if visit.actor is not None:
        await sessions.log_out(visit.ctx, visit.actor)
    visit.end_session()


@operation(
    "GET",
    "/users/{user_id}/sessions",
    verb_asks=(may.SelfOr("edit_other_users"),),
    answers=list[shapes.Session],
    errors=("app.user.missing_account.const",),
)
async def get_sessions(call: Call, user_id: UserId) -> list[Json]:
    """A user's sessions."""
    return await sessions.of_user(call.ctx, call.actor, user_id)


@operation(
    "POST",
    "/users/{user_id}/sessions/revoke",
    verb_asks=(may.SelfOr("edit_other_users"),),
    body_name="session",
    example=Example({"session_id": "<none>"}, takes_away=True),
    notes="named by its id or its token; its sockets are closed with 4001",
)
async def revoke_session(call: Call, user_id: UserId, body: Revoke) -> None:
    """End a session of a user."""
    await sessions.revoke(call.ctx, call.actor, user_id, body.session_id)


@operation(
    "POST",
    "/users/{user_id}/sessions/revoke/all",
    verb_asks=(may.SelfOr("edit_other_users"),),
    errors=("app.user.missing_account.const",),
    example=Example(takes_away=True),
)
async def revoke_sessions(call: Call, user_id: UserId) -> None:
    """End all sessions of a user."""
    await sessions.revoke_all(call.ctx, call.actor, user_id)


@operation(
    "POST",
    "/users/sessions/revoke/all",
    verb_asks=(may.System("manage_system"),),
    example=Example(takes_away=True),
)
async def revoke_everybodys_sessions(call: Call) -> None:
    """End all sessions there are."""
    await sessions.revoke_everybodys(call.ctx, call.actor)
