"""Permissions: the narrowest membership first, then the team, then the system."""

import msgspec
import pytest

from app import roles
from app.config.settings import PrivacySettings
from app.errors import AppError
from app.permissions import (
    Actor,
    Viewer,
    can,
    can_in_channel,
    can_in_team,
    can_read_channel,
    channel_roles,
    is_self_or_can,
    require,
    team_roles,
    viewer,
)
from db.model.entities import Channel, ChannelMember, Session, TeamMember, User
from db.model.ids import ChannelId, SessionId, TeamId, UserId
from db.sql.channels import Access


def actor(system_roles: str = "system_user") -> Actor:
    empty = dict.fromkeys(User.__struct_fields__, "")
    user = User(**{**empty, "id": UserId("me"), "roles": system_roles})  # type: ignore[arg-type]
    session = Session(SessionId("s"), "h", UserId("me"), 0, 0, 0, "", "c")
    return Actor(session, user)


def _team_member(*, admin: bool = False, guest: bool = False, roles: str = "", left: bool = False) -> TeamMember:
    return TeamMember(TeamId("t"), UserId("me"), 0, int(left), roles, not guest, admin, guest)


def _member(*, admin: bool = False, guest: bool = False, roles: str = "") -> ChannelMember:
    return ChannelMember(ChannelId("c"), UserId("me"), roles, not guest, admin, guest, "{}", 0, 1, 1, 0, 0, 0)


def access(kind: str = "O", member: ChannelMember | None = None, team_member: TeamMember | None = None) -> Access:
    channel = Channel(ChannelId("c"), 0, 0, 0, TeamId("t"), kind, "C", "c", "", "", "", 0)
    return Access(channel, member, team_member)


def test_a_user_without_memberships_has_only_system_permissions() -> None:
    someone = actor()
    assert can(someone, "create_team")
    assert not can(someone, "manage_system")
    assert not can_in_team(someone, None, "create_public_channel")
    assert not can_in_channel(someone, access(), "create_post")


def test_a_channel_member_may_post_and_one_who_left_the_team_may_not_create_channels() -> None:
    someone = actor()
    assert can_in_channel(someone, access(member=_member()), "create_post")
    assert can_in_team(someone, _team_member(), "create_public_channel")
    assert not can_in_team(someone, _team_member(left=True), "create_public_channel")


def test_guests_have_fewer_permissions() -> None:
    someone = actor("system_guest")
    assert can_in_channel(someone, access(member=_member(guest=True)), "create_post")
    assert not can_in_channel(someone, access(member=_member(guest=True)), "manage_public_channel_members")
    assert not can(someone, "create_team")
    assert not can_in_team(someone, _team_member(guest=True), "create_public_channel")


def test_the_administrator_may_do_all_that_anybody_may() -> None:
    someone = actor("system_admin system_user")
    everything = frozenset().union(*roles.ROLES.values())
    assert {permission for permission in everything if not can(someone, permission)} == set()


def test_public_channels_are_read_by_the_team_private_ones_by_members_only() -> None:
    someone = actor()
    assert can_read_channel(someone, access("O", team_member=_team_member()))
    assert not can_read_channel(someone, access("O"))
    assert not can_read_channel(someone, access("P", team_member=_team_member()))
    assert can_read_channel(someone, access("P", member=_member()))
    assert not can_read_channel(someone, access("D", team_member=_team_member()))


def test_roles_of_a_membership_are_those_of_its_scheme_then_its_own() -> None:
    assert team_roles(_team_member(admin=True, roles="custom")) == "team_user team_admin custom"
    assert channel_roles(_member(admin=True)) == "channel_user channel_admin"
    assert channel_roles(_member(guest=True)) == "channel_guest"


def test_an_unknown_role_carries_nothing() -> None:
    assert not can(actor("no_such_role"), "create_team")
    assert can_in_channel(
        actor(""), access(member=msgspec.structs.replace(_member(), roles="channel_admin")), "create_post"
    )


def test_the_user_of_a_channel_whom_a_teams_row_names_reads_no_private_channel() -> None:
    """As `PUT /teams/…/roles` once took it: a row may still hold it."""
    in_team = _team_member(admin=True, roles="channel_user")
    assert not can_read_channel(actor(), access("P", team_member=in_team))
    assert not can_in_channel(actor(), access("P", team_member=in_team), "create_post")


def test_nobody_but_they_and_administrators_see_all_of_an_account() -> None:
    privacy = PrivacySettings()
    assert viewer(actor(), privacy) == Viewer(privacy, "me")
    assert viewer(actor("system_user system_admin"), privacy) == Viewer(privacy, "me", administrator=True)
    assert [Viewer(privacy, who, administrator=admin).sees_all_of(UserId("me")) for who, admin in (
        ("me", False), ("me", True), ("other", False), ("other", True), ("", False)
    )] == [True, True, False, True, False]  # fmt: skip


def test_users_act_for_themselves_others_need_the_permission() -> None:
    assert is_self_or_can(actor(), UserId("me"), "edit_other_users")
    assert not is_self_or_can(actor(), UserId("other"), "edit_other_users")
    assert is_self_or_can(actor("system_admin"), UserId("other"), "edit_other_users")


def test_what_is_not_allowed_is_403() -> None:
    require(True)
    with pytest.raises(AppError) as caught:
        require(False)
    assert (caught.value.status, caught.value.id) == (403, "api.context.permissions.app_error")
