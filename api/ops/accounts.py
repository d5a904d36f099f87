"""What people change of their accounts, and administrators of others'."""

import msgspec

from api import shapes
from api.call import Call, Visit
from api.example import Example
from api.operation import Login, operation
from api.params import Flag
from app import accounts, guests, may
from app.events.wire import Json
from db.model.ids import UserId

_OTHERS = {"stranger": 400, "teammate": 400, "team_admin": 400, "system_admin": 400}
_OF_PROFILES = ("app.user.missing_account.const", "app.user.save.*", "model.user.is_valid.*")
_OF_CONFIRMED = (
    "api.user.check_user_login_attempts.too_many.app_error",
    "api.user.login.busy.app_error",
)


class Device(msgspec.Struct, kw_only=True):
    """PUT /users/sessions/device."""

    device_id: str


class LoginType(msgspec.Struct, kw_only=True):
    """POST /users/login/type: who wants to log in."""

    id: str = ""
    login_id: str = ""
    device_id: str = ""


@operation(
    "PUT",
    "/users/{user_id}",
    verb_asks=(may.SelfOr("edit_other_users"),),
    answers=shapes.User,
    body_name="user",
    errors=(
        *_OF_PROFILES,
        *_OF_CONFIRMED,
        "api.user.check_user_password.invalid.app_error",
        "api.user.update_user.accepted_domain.app_error",
    ),
    example=Example({"id": "<self.id>", "username": "<self.username>", "email": "<self.email>"}, for_others=_OTHERS),
    notes="`user_updated`; one's own address changes with `password` only",
)
async def update_user(call: Call, user_id: UserId, body: accounts.Whole) -> Json:
    """Replace a profile."""
    return await accounts.update(call.ctx, call.actor, user_id, body)


@operation(
    "PUT",
    "/users/{user_id}/patch",
    verb_asks=(may.SelfOr("edit_other_users"),),
    answers=shapes.User,
    body_name="user",
    errors=(
        *_OF_PROFILES,
        *_OF_CONFIRMED,
        "api.user.check_user_password.invalid.app_error",
        "api.user.update_user.accepted_domain.app_error",
    ),
    example=Example({"timezone": {"useAutomaticTimezone": "true"}}),
    notes="`user_updated`, unless nothing changes",
)
async def patch_user(call: Call, user_id: UserId, body: accounts.Patch) -> Json:
    """Change a part of a profile."""
    return await accounts.patch(call.ctx, call.actor, user_id, body)


@operation(
    "PUT",
    "/users/{user_id}/password",
    verb_asks=(may.SelfOr("sysconsole_write_user_management_users"),),
    body_name="password",
    errors=(
        *_OF_CONFIRMED,
        "api.user.update_password.incorrect.app_error",
        "app.user.missing_account.const",
        "model.user.is_valid.*",
    ),
    example=Example({"current_password": "<password>", "new_password": "<password>-2"}, takes_away=True),
    notes="ends all other sessions of the user; one's own with the present one only, of which wrong ones count as"
    " those of log-ins",
)
async def set_password(call: Call, user_id: UserId, body: accounts.NewPassword) -> None:
    """Give a user another password."""
    await accounts.set_password(call.ctx, call.actor, user_id, body)


@operation(
    "DELETE",
    "/users/{user_id}",
    verb_asks=(may.SelfOr("edit_other_users"),),
    errors=(
        "api.user.delete_user.not_enabled.app_error",
        "api.user.update_active.not_enable.app_error",
        "app.user.last_administrator.app_error",
        "app.user.missing_account.const",
    ),
    example=Example(takes_away=True),
    notes="as `active` with false; oneself where `TeamSettings.EnableUserDeactivation` is on; never `permanent` (401)",
)
async def delete_user(call: Call, user_id: UserId, permanent: Flag = False) -> None:
    """Deactivate a user."""
    await accounts.delete(call.ctx, call.actor, user_id, permanent=permanent)


@operation(
    "POST",
    "/users/{user_id}/promote",
    verb_asks=(may.System("promote_guest"),),
    errors=("api.user.promote_guest_to_user.no_guest.app_error", "app.user.missing_account.const"),
    example=Example(takes_away=True),
    notes="`user_updated`, `user_role_updated`, `memberrole_updated`, `channel_member_updated`; 501 for no guest",
)
async def promote_guest(call: Call, user_id: UserId) -> None:
    """Make a guest a user."""
    await guests.promote(call.ctx, call.actor, user_id)


@operation(
    "POST",
    "/users/{user_id}/demote",
    verb_asks=(may.System("demote_to_guest"),),
    errors=(
        "api.team.demote_user_to_guest.disabled.error",
        "api.user.demote_user_to_guest.already_guest.app_error",
        "app.user.last_administrator.app_error",
        "app.user.missing_account.const",
    ),
    example=Example(takes_away=True),
    notes="likewise; 501 unless `GuestAccountsSettings.Enable`",
)
async def demote_user(call: Call, user_id: UserId) -> None:
    """Make a user a guest."""
    await guests.demote(call.ctx, call.actor, user_id)


@operation(
    "PUT",
    "/users/sessions/device",
    body_name="device_id",
    example=Example({"device_id": "android:<new>"}),
    notes="other sessions of the user on that device end",
)
async def attach_device(call: Call, body: Device) -> None:
    """Say on which phone the session is."""
    await accounts.attach_device(call.ctx, call.actor, body.device_id)


@operation(
    "POST",
    "/users/login/type",
    login=Login.OPTIONAL,
    answers=shapes.LoginType,
    body_name="login_type",
    example=Example({"login_id": "<stranger.username>"}),
    notes='always `""`: by password, whoever it is',
)
async def get_login_type(_visit: Visit, body: LoginType) -> Json:
    """By which service somebody logs in."""
    del body
    return {"auth_service": ""}
