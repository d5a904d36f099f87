"""Who may do what: the only place where permissions are decided.

A permission counts from the narrowest scope outwards: channel membership, then team membership, then system roles,
as in Mattermost. In each, only roles of that scope count.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app import errors
from app.config.settings import PrivacySettings
from app.origin import Origin
from app.roles import granted
from db.model.entities import Membership, Session, TeamMember, User
from db.model.ids import UserId
from db.sql.channels import Access


@dataclass(frozen=True)
class Actor:
    """Who asks: a session and its user. origin: from where, worked out when somebody wants to know."""

    session: Session
    user: User
    origin: Callable[[], Origin] = Origin

    @property
    def user_id(self) -> UserId:
        """Id of the user who asks."""
        return self.user.id


@dataclass(frozen=True)
class Viewer:
    """Whom something is shown: what `app/events/wire.py` leaves out depends on this and on nothing else.

    user_id: '' for all users who are neither the one it is about nor administrators. administrator: of the system.
    """

    privacy: PrivacySettings
    user_id: str = ""
    administrator: bool = False

    def is_self(self, user_id: UserId) -> bool:
        """Whether it is this user."""
        return self.user_id == user_id

    def sees_all_of(self, user_id: UserId) -> bool:
        """Whether nothing of this user's account is hidden: it is they, or an administrator."""
        return self.administrator or self.user_id == user_id


def viewer(actor: Actor, privacy: PrivacySettings) -> Viewer:
    """The actor as somebody whom something is shown."""
    return Viewer(privacy, actor.user_id, administrator=can(actor, "manage_system"))


def team_roles(member: TeamMember) -> str:
    """Role names of a team membership: those of its scheme, then its own."""
    return _roles("team", member.scheme_guest, member.scheme_user, member.scheme_admin, member.roles)


def channel_roles(member: Membership) -> str:
    """Role names of a channel membership: those of its scheme, then its own."""
    return _roles("channel", member.scheme_guest, member.scheme_user, member.scheme_admin, member.roles)


def _roles(scope: str, guest: bool, user: bool, admin: bool, explicit: str) -> str:
    names = [f"{scope}_guest"] * guest + [f"{scope}_user"] * user + [f"{scope}_admin"] * admin
    return " ".join(names + explicit.split())


def can(actor: Actor, permission: str) -> bool:
    """By system roles."""
    return granted("system", actor.user.roles, permission)


def can_in_team(actor: Actor, member: TeamMember | None, permission: str) -> bool:
    """By the membership of a team (None: not a member), else by system roles."""
    if member is not None and member.delete_at == 0 and granted("team", team_roles(member), permission):
        return True
    return can(actor, permission)


def can_in_channel(actor: Actor, access: Access, permission: str) -> bool:
    """By the membership of a channel, else of its team, else by system roles."""
    if access.member is not None and granted("channel", channel_roles(access.member), permission):
        return True
    return can_in_team(actor, access.team_member, permission)


def can_read_channel(actor: Actor, access: Access) -> bool:
    """Members and administrators read any channel; members of the team also read its public ones."""
    return can_in_channel_or_public(actor, access, "read_channel", "read_public_channel")


def can_in_channel_or_public(actor: Actor, access: Access, permission: str, public: str) -> bool:
    """By a permission in the channel; in a public one also by `public` in its team, where that is not ''."""
    if can_in_channel(actor, access, permission):
        return True
    return public != "" and access.channel.type == "O" and can_in_team(actor, access.team_member, public)


def is_self_or_can(actor: Actor, user_id: UserId, permission: str) -> bool:
    """Users may act for themselves; for others the permission is needed."""
    return actor.user_id == user_id or can(actor, permission)


def require(allowed: bool) -> None:
    """Raises 403 unless `allowed`."""
    if not allowed:
        raise errors.forbidden()
