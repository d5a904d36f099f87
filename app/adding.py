"""Who may become a member. Everything in app/ that stores a membership asks here first."""

from typing import Literal

from app.errors import AppError
from db.entities import User


def require_addable(user: User, to: Literal["channel", "team"]) -> None:
    """Raises 403 for an account that is deactivated."""
    if not user.delete_at:
        return
    if to == "channel":
        raise AppError("app.channel.add_member.deleted_user.app_error", 403)
    raise AppError("app.team.add_member.deleted_user.app_error", 403)
