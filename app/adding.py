"""Who may become a member, and of what. Everything in app/ that stores a membership asks here.

With a transaction it is asked again under the locks of `db/order/locks.py`.
"""

from typing import Literal

from app.errors import AppError
from db.model.entities import Team, User
from db.model.ids import TeamId, UserId
from db.pool.queryable import Queryable
from db.sql import teams, users


async def require_addable(db: Queryable, user_id: UserId, to: Literal["channel", "team"]) -> User:
    """The user. Raises 404, and 403 for an account that is deactivated."""
    user = addable(await users.find(db, user_id), to)
    if isinstance(user, AppError):
        raise user
    return user


def addable(user: User | None, to: Literal["channel", "team"]) -> User | AppError:
    """The same of a user who was read already: they, or why not."""
    if user is None:
        return AppError("app.user.missing_account.const", 404)
    if not user.delete_at:
        return user
    if to == "channel":
        return AppError("app.channel.add_member.deleted_user.app_error", 403)
    return AppError("app.team.add_member.deleted_user.app_error", 403)


async def living_team(db: Queryable, team_id: TeamId) -> Team:
    """The team. Raises 404, also for an archived one."""
    team = await teams.find(db, team_id)
    if team is None or team.delete_at:
        raise AppError("app.team.get.find.app_error", 404)
    return team
