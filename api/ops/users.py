"""Accounts."""

import msgspec

from api import shapes
from api.call import Call, Visit
from api.example import Example
from api.operation import Login, operation
from api.params import Text, Time, Username
from app import logins, may, roles, users
from app.events.wire import Json
from db.model.ids import UserId


class Active(msgspec.Struct, kw_only=True):
    """PUT /users/{user_id}/active."""

    active: bool


@operation(
    "POST",
    "/users",
    login=Login.OPTIONAL,
    status=201,
    answers=shapes.User,
    body_name="user",
    errors=(
        "api.user.create_user.accepted_domain.app_error",
        "api.user.create_user.disabled.app_error",
        "api.user.create_user.no_open_server",
        "api.user.create_user.signup_email_disabled.app_error",
        "api.user.create_user.signup_link_invalid.app_error",
        "app.team.get_by_invite_id.finding.app_error",
        "app.user.save.email_exists.app_error",
        "app.user.save.username_exists.app_error",
        "model.user.is_valid.*",
    ),
    example=Example(
        {
            "username": "new<new>",
            "email": "new<new>@example.com",
            "password": "<password>",
            "nickname": "nick",
            "first_name": "First",
            "last_name": "Last",
            "position": "Dean",
            "locale": "en",
            "props": {"key": "value"},
            "notify_props": {"email": "true"},
            "timezone": {"manualTimezone": "Europe/Berlin"},
            "allow_marketing": False,
        }
    ),
    notes="`?iid=` joins the invitation's team; `?t=` tokens are not issued yet, so none is valid",
)
async def create_user(visit: Visit, body: users.NewUser, iid: Text = "", t: Text = "") -> Json:
    """Sign up."""
    user = await users.create(visit.ctx, visit.actor, body, invite_id=iid, token=t, origin=visit.origin)
    return users.seen_by_self(visit.ctx, user)


@operation("POST", "/users/ids", answers=list[shapes.User], body_name="user_ids", example=Example(["<member.id>"]))
async def get_users_by_ids(call: Call, body: list[str], since: Time = 0) -> list[Json]:
    """Users by id; what is unknown, or no id, is left out."""
    return await users.find_many_for(call.ctx, call.actor, body, since)


@operation("GET", "/users/stats", answers=shapes.UsersStats)
async def get_users_stats(call: Call) -> Json:
    """How many accounts there are, deactivated ones left out."""
    return await users.stats(call.ctx)


@operation(
    "GET",
    "/users/{user_id}",
    answers=shapes.User,
    tagged=True,
    errors=("app.user.missing_account.const",),
    notes="`me` wherever a user id goes",
)
async def get_user(call: Call, user_id: UserId) -> Json:
    """A user."""
    return await users.get_for(call.ctx, call.actor, user_id, call.tag)


@operation("GET", "/users/username/{username}", answers=shapes.User, errors=("app.user.missing_account.const",))
async def get_user_by_name(call: Call, username: Username) -> Json:
    """A user by name."""
    return await users.get_by_username_for(call.ctx, call.actor, username)


@operation(
    "PUT",
    "/users/{user_id}/active",
    verb_asks=(may.System("manage_system"),),
    body_name="active",
    errors=("app.user.last_administrator.app_error", "app.user.missing_account.const"),
    example=Example({"active": True}, takes_away=True),
    notes="administrators; `user_updated`; the last active administrator stays one (400); who is deactivated is offline"
    " at once, not counted, and added to nothing (403)",
)
async def set_user_active(call: Call, user_id: UserId, body: Active) -> None:
    """Deactivate a user, or activate again."""
    await users.set_active(call.ctx, call.actor, user_id, active=body.active)


@operation(
    "PUT",
    "/users/{user_id}/roles",
    verb_asks=(may.System("manage_roles"),),
    body_name="roles",
    errors=("app.user.last_administrator.app_error", "app.user.missing_account.const"),
    example=Example({"roles": "system_user"}, takes_away=True),
    notes="administrators; `user_updated`, `user_role_updated`",
)
async def set_user_roles(call: Call, user_id: UserId, body: roles.Names) -> None:
    """Replace a user's system roles."""
    await users.set_roles(call.ctx, call.actor, user_id, body.roles)


@operation(
    "POST",
    "/users/{user_id}/reset_failed_attempts",
    verb_asks=(may.System("sysconsole_write_user_management_users"),),
    errors=("app.user.missing_account.const",),
    notes="administrators; no delay after wrong passwords any more",
)
async def reset_failed_attempts(call: Call, user_id: UserId) -> None:
    """Forget the wrong passwords of a user."""
    await logins.unlock(call.ctx, call.actor, user_id)
