"""Entities as Mattermost's JSON: the one way by which anything of them leaves, in answers, events and what is replayed.

Each function gives a dict in Mattermost's field names; JSON that the database keeps as text is put in unparsed
(`msgspec.Raw`). `encode` makes the bytes. What depends on who looks asks for a `Viewer`; what nobody is to see is in
none of them, so that no caller can forget to leave it out.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from app import customstatus, props
from app.errors import AppError
from app.permissions import Viewer, channel_roles, team_roles
from db.model.entities import (
    Channel,
    ChannelMember,
    Post,
    Preference,
    Reaction,
    Session,
    SidebarCategory,
    Status,
    Team,
    TeamMember,
    User,
)
from db.model.ids import UserId
from db.sql.audits import Audit

Json = dict[str, Any]
encode = msgspec.json.encode
HIDDEN = -1
"""A number of a membership that is not the viewer's."""


def user(who: User, viewer: Viewer) -> Json:
    """A user. Others than they and administrators see no settings, and not what privacy settings hide."""
    whole = viewer.sees_all_of(who.id)
    show_name = whole or viewer.privacy.show_full_name
    result: Json = {
        "id": who.id,
        "create_at": who.create_at,
        "update_at": who.update_at,
        "delete_at": who.delete_at,
        "username": who.username,
        "auth_data": "",
        "auth_service": "",
        "email": who.email if whole or viewer.privacy.show_email_address else "",
        "nickname": who.nickname,
        "first_name": who.first_name if show_name else "",
        "last_name": who.last_name if show_name else "",
        "position": who.position,
        "roles": who.roles,
        "props": msgspec.Raw(customstatus.shown(who.props).encode()),
        "locale": who.locale,
        "timezone": msgspec.Raw(who.timezone.encode()),
        "disable_welcome_email": False,
    }
    if who.last_picture_update:
        result["last_picture_update"] = who.last_picture_update
    if whole:
        result["email_verified"] = who.email_verified
        result["notify_props"] = msgspec.Raw(who.notify_props.encode())
        result["last_password_update"] = who.last_password_update
        if who.failed_attempts:
            result["failed_attempts"] = who.failed_attempts
        if who.allow_marketing:
            result["allow_marketing"] = True
    return result


def audit(one: Audit) -> Json:
    """A row of the audit log; what Mattermost has no field for stands in `extra_info`."""
    more = {"node_id": one.node_id, "request_id": one.request_id}
    told = [one.result, one.extra_info, *(f"{name}={value}" for name, value in more.items() if value)]
    return {
        "id": one.id,
        "create_at": one.create_at,
        "user_id": one.user_id,
        "action": one.action,
        "extra_info": " ".join(text for text in told if text),
        "ip_address": one.ip_address,
        "session_id": one.session_id,
    }


def team(which: Team, *, show_email: bool, show_invitation: bool) -> Json:
    """A team. The address is its creator's; who knows the invitation gets in."""
    return {
        "id": which.id,
        "create_at": which.create_at,
        "update_at": which.update_at,
        "delete_at": which.delete_at,
        "display_name": which.display_name,
        "name": which.name,
        "description": which.description,
        "email": which.email if show_email else "",
        "type": which.type,
        "company_name": which.company_name,
        "allowed_domains": which.allowed_domains,
        "invite_id": which.invite_id if show_invitation else "",
        "allow_open_invite": which.allow_open_invite,
        "last_team_icon_update": which.last_team_icon_update,
        "scheme_id": None,
        "group_constrained": None,
        "policy_id": None,
    }


def team_member(member: TeamMember) -> Json:
    """A membership of a team; `roles` are all its roles, `explicit_roles` those not from its scheme."""
    return {
        "team_id": member.team_id,
        "user_id": member.user_id,
        "roles": team_roles(member),
        "delete_at": member.delete_at,
        "scheme_guest": member.scheme_guest,
        "scheme_user": member.scheme_user,
        "scheme_admin": member.scheme_admin,
        "explicit_roles": member.roles,
    }


def app_error(error: AppError) -> Json:
    """A refusal within an answer."""
    return {"id": error.id, "message": error.message, "detailed_error": "", "status_code": error.status}


def channel(which: Channel) -> Json:
    """A channel with its counters."""
    return {
        "id": which.id,
        "create_at": which.create_at,
        "update_at": which.update_at,
        "delete_at": which.delete_at,
        "team_id": which.team_id,
        "type": which.type,
        "display_name": which.display_name,
        "name": which.name,
        "header": which.header,
        "purpose": which.purpose,
        "last_post_at": which.last_post_at,
        "total_msg_count": which.total_msg_count,
        "extra_update_at": which.extra_update_at,
        "creator_id": which.creator_id,
        "scheme_id": None,
        "props": None,
        "group_constrained": None,
        "shared": None,
        "total_msg_count_root": which.total_msg_count_root,
        "policy_id": None,
    }


def channel_member(member: ChannelMember, viewer: Viewer) -> Json:
    """A membership of a channel. When others read, and what they want to be told, is theirs: as in Mattermost since 10.

    Not even administrators see it: numbers are then -1, and settings are empty.
    """
    own = viewer.is_self(member.user_id)
    return {
        "channel_id": member.channel_id,
        "user_id": member.user_id,
        "roles": channel_roles(member),
        "last_viewed_at": member.last_viewed_at if own else HIDDEN,
        "msg_count": member.msg_count if own else HIDDEN,
        "mention_count": member.mention_count if own else HIDDEN,
        "mention_count_root": member.mention_count_root if own else HIDDEN,
        "msg_count_root": member.msg_count_root if own else HIDDEN,
        "notify_props": msgspec.Raw(member.notify_props.encode()) if own else {},
        "last_update_at": member.last_update_at if own else HIDDEN,
        "scheme_guest": member.scheme_guest,
        "scheme_user": member.scheme_user,
        "scheme_admin": member.scheme_admin,
        "explicit_roles": member.roles,
    }


def post(
    which: Post,
    participants: Iterable[UserId] | None = None,
    reactions: Sequence[Reaction] = (),
    *,
    with_deleted: bool = False,
) -> Json:
    """A post, the same to all who may read it. `participants`: authors of its replies, for collapsed threads.

    Of one that is deleted only this much is left, as in Mattermost: its content is empty. with_deleted: the content all
    the same, for administrators who ask for it.
    """
    if which.delete_at and not with_deleted:
        which = msgspec.structs.replace(which, message="", hashtags="", props="{}", file_ids="[]")
        reactions = ()
    content = which.props
    if props.NAMES_ATTACHMENTS in content:  # nearly none: the text is passed on as it is
        content = props.shown(content)
    result: Json = {
        "id": which.id,
        "create_at": which.create_at,
        "update_at": which.update_at,
        "edit_at": which.edit_at,
        "delete_at": which.delete_at,
        "is_pinned": which.is_pinned,
        "user_id": which.user_id,
        "channel_id": which.channel_id,
        "root_id": which.root_id,
        "parent_id": which.root_id,
        "original_id": which.original_id,
        "message": which.message,
        "type": which.type,
        "props": msgspec.Raw(content.encode()),
        "hashtags": which.hashtags,
        "pending_post_id": which.pending_post_id or "",
        "reply_count": which.reply_count,
        "last_reply_at": which.last_reply_at,
        "participants": [{"id": user_id} for user_id in participants] if participants is not None else None,
        "metadata": {"reactions": [reaction(one) for one in reactions]} if reactions else {},
    }
    if reactions:
        result["has_reactions"] = True
    if which.file_ids != "[]":
        result["file_ids"] = msgspec.Raw(which.file_ids.encode())
    return result


def reaction(which: Reaction) -> Json:
    """A reaction to a post."""
    return {
        "user_id": which.user_id,
        "post_id": which.post_id,
        "emoji_name": which.emoji_name,
        "create_at": which.create_at,
        "update_at": which.create_at,
        "delete_at": 0,
        "remote_id": None,
    }


def preference(which: Preference) -> Json:
    """A preference."""
    return msgspec.structs.asdict(which)


def sidebar_category(which: SidebarCategory, channel_ids: Sequence[str]) -> Json:
    """A category of a sidebar with the channels that are seen in it."""
    return {
        "id": which.id,
        "user_id": which.user_id,
        "team_id": which.team_id,
        "sort_order": which.sort_order,
        "sorting": which.sorting,
        "type": which.type,
        "display_name": which.display_name,
        "muted": which.muted,
        "collapsed": which.collapsed,
        "channel_ids": channel_ids,
    }


def status(which: Status) -> Json:
    """The presence of a user."""
    return {
        "user_id": which.user_id,
        "status": which.status,
        "manual": which.manual,
        "last_activity_at": which.last_activity_at,
        "dnd_end_time": which.dnd_end_time,
    }


def session(which: Session, roles: str) -> Json:
    """A session without its token."""
    return {
        "id": which.id,
        "token": "",
        "create_at": which.create_at,
        "expires_at": which.expires_at,
        "last_activity_at": which.last_activity_at,
        "user_id": which.user_id,
        "device_id": which.device_id,
        "roles": roles,
        "is_oauth": False,
        "expired_notify": False,
        "props": {},
        "team_members": [],
        "local": False,
    }


OK: Json = {"status": "OK"}
