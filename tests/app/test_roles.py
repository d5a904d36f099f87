"""Roles in their scope: a name that is valid somewhere counts, and is taken, nowhere else."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import AppError
from app.permissions import can, can_in_channel, can_in_team
from app.roles import ROLES, Chosen, Scheme, Scope, chosen, chosen_of_system, granted
from db.model.entities import ChannelMember, TeamMember
from db.model.ids import ChannelId, TeamId, UserId
from tests.app.test_permissions import access, actor

SCOPES: tuple[Scope, ...] = ("channel", "team", "system")
PERMISSIONS = sorted(frozenset().union(*ROLES.values()))
NAMES = [*ROLES, "nobody_knows", "channel_owner", "system_", "SYSTEM_ADMIN"]


def _channel_member(roles: str = "", *, guest: bool = False) -> ChannelMember:
    return ChannelMember(ChannelId("c"), UserId("me"), roles, False, False, guest, "{}", 0, 1, 1, 0, 0, 0)


def _team_member(roles: str = "", *, guest: bool = False) -> TeamMember:
    return TeamMember(TeamId("t"), UserId("me"), 0, 0, roles, False, False, guest)


@pytest.mark.parametrize("name", ROLES)
def test_a_role_carries_nothing_outside_of_its_scope(name: str) -> None:
    own = name.split("_")[0]
    for scope, permission in product(SCOPES, PERMISSIONS):
        assert granted(scope, name, permission) == (scope == own and permission in ROLES[name])


@pytest.mark.parametrize("name", ROLES)
def test_a_row_with_a_role_of_another_scope_gives_nothing(name: str) -> None:
    """Whoever wrote it there, and whenever: each row is looked at alone."""
    own = name.split("_")[0]
    nobody = actor("")
    for permission in PERMISSIONS:
        carries = permission in ROLES[name]
        assert can(actor(name), permission) == (own == "system" and carries)
        in_team = _team_member(name)
        assert can_in_team(nobody, in_team, permission) == (own == "team" and carries)
        assert can_in_channel(nobody, access("P", team_member=in_team), permission) == (own == "team" and carries)
        in_channel = access("P", member=_channel_member(name))
        assert can_in_channel(nobody, in_channel, permission) == (own == "channel" and carries)


_some_names = st.lists(st.sampled_from(NAMES), max_size=4)


@given(st.sampled_from(["channel", "team"]), _some_names, st.booleans())
def test_a_member_becomes_what_belongs_to_the_scope_and_stays_a_user(
    scope: Scope, names: list[str], guest: bool
) -> None:
    assert scope != "system"
    member = _channel_member(guest=guest) if scope == "channel" else _team_member(guest=guest)
    mine = {name for name in ROLES if name.startswith(scope)}
    kinds = {kind for kind in ("guest", "user", "admin") if f"{scope}_{kind}" in names}
    wanted = {"guest"} if guest else {"user"}
    good = set(names) <= mine and (kinds == wanted if guest else kinds - {"admin"} == wanted)
    try:
        found = chosen(scope, member, " ".join(names))
    except AppError:
        assert not good
        return
    assert good
    beside = [name for name in dict.fromkeys(names) if name.split("_", 1)[1] not in ("guest", "user", "admin")]
    assert found == Chosen("user" in kinds, "admin" in kinds, " ".join(beside))


@pytest.mark.parametrize("scope", ["channel", "team"])
@pytest.mark.parametrize(
    ("names", "guest", "why"),
    [
        ("{0}_user system_admin", False, "scheme_role"),
        ("{0}_user system_post_all", False, "scheme_role"),
        ("{0}_user {1}_user", False, "scheme_role"),
        ("{0}_user {1}_admin", False, "scheme_role"),
        ("{0}_user {1}_guest", False, "scheme_role"),
        ("", False, "unset_user_scheme"),
        ("{0}_admin", False, "unset_user_scheme"),
        ("{0}_guest {0}_user", False, "guest_and_user"),
        ("{0}_guest {0}_admin", True, "guest_and_admin"),
        ("{0}_guest", False, "changing_guest_role"),
        ("{0}_user", True, "changing_guest_role"),
    ],
)
def test_why_a_role_is_refused(scope: Scope, names: str, guest: bool, why: str) -> None:
    assert scope != "system"
    member = _channel_member(guest=guest) if scope == "channel" else _team_member(guest=guest)
    other = "team" if scope == "channel" else "channel"
    with pytest.raises(AppError) as caught:
        chosen(scope, member, names.format(scope, other))
    assert (caught.value.status, caught.value.id) == (400, f"api.{scope}.update_{scope}_member_roles.{why}.app_error")


def test_a_name_that_is_no_role_is_refused() -> None:
    with pytest.raises(AppError, match=r"app\.role\.get_by_name") as caught:
        chosen("team", _team_member(), "team_user nobody_knows")
    assert caught.value.status == 400


@pytest.mark.parametrize("user", [True, False])
@pytest.mark.parametrize("admin", [True, False])
@pytest.mark.parametrize("as_guest", [True, False])
@pytest.mark.parametrize("guest", [True, False])
def test_of_all_flags_only_the_administrators_may_be_chosen(
    user: bool, admin: bool, as_guest: bool, guest: bool
) -> None:
    wanted = Scheme(scheme_user=user, scheme_admin=admin, scheme_guest=as_guest)
    member = _team_member("team_post_all", guest=guest)
    if user and not as_guest and not guest:
        assert chosen("team", member, wanted) == Chosen(True, admin, "team_post_all")
        return
    with pytest.raises(AppError, match=r"api\.team\.update_team_member_roles\.") as caught:
        chosen("team", member, wanted)
    assert caught.value.status == 400


@given(_some_names, st.booleans())
def test_an_account_keeps_the_role_that_makes_it_a_user_or_a_guest(names: list[str], guest: bool) -> None:
    own, other = ("system_guest", "system_user") if guest else ("system_user", "system_guest")
    of_system = {name for name in ROLES if name.startswith("system_")}
    good = set(names) <= of_system and own in names and other not in names
    good = good and not (guest and "system_admin" in names)
    try:
        found = chosen_of_system(" ".join(names), guest=guest)
    except AppError:
        assert not good
        return
    assert good
    assert found.split() == list(dict.fromkeys(names))
