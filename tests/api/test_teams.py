"""Teams: creating, joining, what each may see of them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from db.model.ids import is_id, new_id
from tests.api.conftest import Add, Configure
from tests.api.expect import is_time_ms, refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_team, sign_up, town_square
from tests.rig.rest import Rest, unique
from tests.rig.socket import Socket

pytestmark = drivers("all")

TEAM = {
    "id": str,
    "create_at": int,
    "update_at": int,
    "delete_at": int,
    "display_name": str,
    "name": str,
    "description": str,
    "email": str,
    "type": str,
    "company_name": str,
    "allowed_domains": str,
    "invite_id": str,
    "allow_open_invite": bool,
    "last_team_icon_update": int,
    "scheme_id": type(None),
    "group_constrained": type(None),
    "policy_id": type(None),
}
MEMBER = {
    "team_id": str,
    "user_id": str,
    "roles": str,
    "delete_at": int,
    "scheme_guest": bool,
    "scheme_user": bool,
    "scheme_admin": bool,
    "explicit_roles": str,
}


def _types(value: dict[str, Any]) -> dict[str, type]:
    return {name: type(one) for name, one in value.items()}


def _create(who: Rest, **fields: Any) -> requests.Response:
    name = unique("team")
    return who.call("POST", "/teams", {"name": name, "display_name": name, "type": "O", **fields})


def _join(who: Rest, team: dict[str, Any], user_id: str = "") -> requests.Response:
    body = {"team_id": team["id"], "user_id": user_id or who.id}
    return who.call("POST", f"/teams/{team['id']}/members", body)


# Creating


def test_a_new_team_is_given_whole(ann: Rest) -> None:
    response = _create(ann, display_name="  A Team ", description="What", company_name="Inc", type="I")
    assert response.status_code == 201
    team = response.json()
    assert _types(team) == TEAM
    assert is_id(team["id"])
    assert is_id(team["invite_id"])
    assert team["id"] != team["invite_id"]
    assert is_time_ms(team["create_at"])
    assert (team["update_at"], team["delete_at"]) == (team["create_at"], 0)
    assert (team["display_name"], team["type"]) == ("A Team", "I")
    assert (team["description"], team["company_name"]) == ("What", "Inc")
    assert team["allow_open_invite"] is False


def test_a_teams_address_is_that_of_its_creator(ann: Rest) -> None:
    assert _create(ann, email="somebody@example.net").json()["email"] == ann.user["email"]


def test_what_the_creator_may_not_choose_is_ignored(ann: Rest) -> None:
    chosen = {"id": "a" * 26, "invite_id": "b" * 26, "create_at": 5, "delete_at": 5, "scheme_id": "c" * 26}
    team = _create(ann, **chosen).json()
    assert not {name for name, value in chosen.items() if team[name] == value}


def test_the_creator_administers_the_team(ann: Rest) -> None:
    team = new_team(ann, allow_open_invite=True)
    member = _join(ann, team).json()
    assert member["roles"] == "team_user team_admin"
    assert member["scheme_admin"] is True


def test_a_new_team_has_its_two_channels_with_the_creator_in_them(ann: Rest) -> None:
    team = new_team(ann)
    channels = ann.get(f"/users/me/teams/{team['id']}/channels")
    assert {(channel["name"], channel["display_name"], channel["type"]) for channel in channels} == {
        ("town-square", "Town Square", "O"),
        ("off-topic", "Off-Topic", "O"),
    }


def test_a_new_team_is_told_to_its_creator(ann: Rest, bob: Rest) -> None:
    anns, bobs = Socket.open(ann), Socket.open(bob)
    team = new_team(ann)
    anns.expect("added_to_team", team_id=team["id"], user_id=ann.id)
    assert not bobs.named("added_to_team")
    anns.close()
    bobs.close()


BAD_NAMES = ["", "a", "-ab", "ab-", "a b", "a_b", "a.b", "ä" * 3, "a/b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused(ann: Rest, name: str) -> None:
    refused(_create(ann, name=name), 400, "model.team.is_valid.characters.app_error")


def test_a_name_that_is_too_long_is_refused(ann: Rest) -> None:
    refused(_create(ann, name="a" * 65), 400, "model.team.is_valid.url.app_error")


@pytest.mark.parametrize("name", ["admin", "api", "api-team", "channels", "signup", "login", "plugins", "posters"])
def test_a_name_that_reads_like_a_path_of_the_web_client_is_refused(ann: Rest, name: str) -> None:
    refused(_create(ann, name=name), 400, "model.team.is_valid.reserved.app_error")


@pytest.mark.parametrize("kind", ["", "P", "o", "OO"])
def test_a_bad_type_is_refused(ann: Rest, kind: str) -> None:
    refused(_create(ann, type=kind), 400, "model.team.is_valid.type.app_error")


@pytest.mark.parametrize(
    ("field", "limit", "error_id"),
    [
        ("display_name", 64, "name"),
        ("description", 255, "description"),
        ("company_name", 64, "company"),
        ("allowed_domains", 1000, "domains"),
    ],
)
def test_a_text_may_be_as_long_as_its_limit_in_characters(ann: Rest, field: str, limit: int, error_id: str) -> None:
    refused(_create(ann, **{field: "ä" * (limit + 1)}), 400, f"model.team.is_valid.{error_id}.app_error")
    if field != "allowed_domains":
        assert _create(ann, **{field: "ä" * limit}).json()[field] == "ä" * limit


@pytest.mark.parametrize("name", ["", "   "])
def test_a_team_needs_a_display_name(ann: Rest, name: str) -> None:
    refused(_create(ann, display_name=name), 400, "model.team.is_valid.name.app_error")


@pytest.mark.parametrize("change", [str, str.upper])
def test_a_name_is_given_once(ann: Rest, bob: Rest, change: Any) -> None:
    name = new_team(ann)["name"]
    refused(_create(bob, name=change(name)), 400, "store.sql_team.save_team.existing.app_error")


def test_of_many_teams_at_once_with_one_name_one_is_made_whole(node: Node, ann: Rest) -> None:
    name = unique("team")
    together = threading.Barrier(8)
    people = [Rest(node.url).log_in(ann.user["username"]) for _ in range(8)]

    def create(who: Rest) -> int:
        together.wait()
        return _create(who, name=name).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, people)) == [201] + [400] * 7
    counts = node.sql(
        "SELECT (SELECT count(*) FROM channels c WHERE c.team_id = t.id),"
        " (SELECT count(*) FROM team_members m WHERE m.team_id = t.id) FROM teams t WHERE t.name = %s",
        name,
    )
    assert counts == [(2, 1)]
    for rest in people:
        rest.close()


# Reading


def test_members_find_the_team_by_its_name_in_any_case(world: World) -> None:
    for name in (world.team["name"], world.team["name"].upper()):
        assert world.member.get(f"/teams/name/{name}")["id"] == world.team["id"]


def test_an_unknown_name_is_404(world: World) -> None:
    refused(world.member.call("GET", "/teams/name/no-such-team"), 404, "app.team.get_by_name.missing.app_error")


def test_an_archived_team_is_404(node: Node, ann: Rest) -> None:
    team = new_team(ann)
    node.sql("UPDATE teams SET delete_at = 1 WHERE id = %s", team["id"])
    refused(ann.call("GET", f"/teams/name/{team['name']}"), 404)
    assert ann.get("/users/me/teams") == []


def test_strangers_see_a_team_only_if_everybody_may_join(ann: Rest, bob: Rest) -> None:
    open_team = new_team(ann, allow_open_invite=True)
    assert bob.get(f"/teams/name/{open_team['name']}")["id"] == open_team["id"]
    for closed in (new_team(ann), new_team(ann, type="I"), new_team(ann, type="I", allow_open_invite=True)):
        refused(bob.call("GET", f"/teams/name/{closed['name']}"), 403, "permissions")


def test_only_who_manages_the_team_sees_its_address(world: World) -> None:
    """It is somebody's own."""
    path = f"/teams/name/{world.team['name']}"
    for who in (world.team_admin, world.system_admin):
        assert who.get(path)["email"] == world.team_admin.user["email"]
    assert world.member.get(path)["email"] == ""


def test_who_may_invite_sees_the_invitation(world: World) -> None:
    path = f"/teams/name/{world.team['name']}"
    for who in (world.team_admin, world.system_admin, world.member):
        assert who.get(path)["invite_id"] == world.team["invite_id"]


def test_strangers_see_neither_address_nor_invitation(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, allow_open_invite=True)
    seen = bob.get(f"/teams/name/{team['name']}")
    assert _types(seen) == TEAM
    assert (seen["email"], seen["invite_id"]) == ("", "")
    assert {**seen, "email": team["email"], "invite_id": team["invite_id"]} == team


def test_the_teams_of_a_user_as_each_may_be_seen(ann: Rest, bob: Rest) -> None:
    own, others = new_team(ann, display_name="B"), new_team(bob, ann, display_name="A")
    listed = ann.get("/users/me/teams")
    assert listed == [{**others, "email": ""}, own]
    assert listed == ann.get(f"/users/{ann.id}/teams")


def test_a_user_without_teams_has_an_empty_list(ann: Rest) -> None:
    assert ann.get("/users/me/teams") == []


def test_a_team_that_was_left_is_not_listed(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    node.sql("UPDATE team_members SET delete_at = 1 WHERE team_id = %s AND user_id = %s", team["id"], bob.id)
    assert bob.get("/users/me/teams") == []


def test_the_teams_of_others_are_for_administrators(world: World) -> None:
    path = f"/users/{world.member.id}/teams"
    refused(world.team_admin.call("GET", path), 403, "permissions")
    own = world.member.get("/users/me/teams")
    assert [team["id"] for team in world.system_admin.get(path)] == [team["id"] for team in own]
    refused(world.system_admin.call("GET", f"/users/{new_id()}/teams"), 404)


# Members


def test_a_member_adds_another_user(ann: Rest, bob: Rest) -> None:
    team = new_team(ann)
    response = _join(ann, team, bob.id)
    assert response.status_code == 201
    member = response.json()
    assert _types(member) == MEMBER
    assert (member["team_id"], member["user_id"]) == (team["id"], bob.id)
    assert (member["roles"], member["explicit_roles"], member["delete_at"]) == ("team_user", "", 0)
    assert (member["scheme_user"], member["scheme_admin"], member["scheme_guest"]) == (True, False, False)


def test_a_new_member_is_in_the_default_channels(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    names = {channel["name"] for channel in bob.get(f"/users/me/teams/{team['id']}/channels")}
    assert names == {"town-square", "off-topic"}


def test_adding_is_told_to_the_new_member_and_to_the_channels(ann: Rest, bob: Rest) -> None:
    team = new_team(ann)
    square = town_square(ann, team)
    anns, bobs = Socket.open(ann), Socket.open(bob)
    _join(ann, team, bob.id)
    bobs.expect("added_to_team", team_id=team["id"], user_id=bob.id)
    anns.expect("user_added", user_id=bob.id, team_id=team["id"])
    text = f"{bob.user['username']} added to the team by {ann.user['username']}."
    post = anns.expect_post(text)
    assert (post["type"], post["channel_id"]) == ("system_add_to_team", square["id"])
    assert post["props"]["addedUserId"] == bob.id
    anns.close()
    bobs.close()


def test_a_user_joins_an_open_team_alone(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, allow_open_invite=True)
    assert _join(bob, team).status_code == 201
    newest = bob.get(f"/channels/{town_square(bob, team)['id']}/posts")
    assert newest["posts"][newest["order"][0]]["message"] == f"{bob.user['username']} joined the team."


def test_a_closed_team_is_not_joined_alone(ann: Rest, bob: Rest) -> None:
    refused(_join(bob, new_team(ann)), 403, "permissions")
    assert bob.get("/users/me/teams") == []


def test_a_stranger_adds_nobody(world: World, bob: Rest) -> None:
    refused(_join(world.stranger, world.team, bob.id), 403, "permissions")


def test_joining_twice_changes_nothing(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    square = town_square(bob, team)
    before = ann.get(f"/channels/{square['id']}/posts")
    assert _join(ann, team, bob.id).json() == _join(ann, team, bob.id).json()
    assert ann.get(f"/channels/{square['id']}/posts") == before


def test_many_joins_at_once_make_one_member(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, allow_open_invite=True)
    together = threading.Barrier(8)
    people = [Rest(node.url).log_in(bob.user["username"]) for _ in range(8)]

    def join(who: Rest) -> int:
        together.wait()
        return _join(who, team).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(join, people)) == {201}
    square = town_square(bob, team)
    posts = ann.get(f"/channels/{square['id']}/posts")["posts"].values()
    assert [post["message"] for post in posts if post["user_id"] == bob.id] == [
        f"{bob.user['username']} joined the team."
    ]
    for rest in people:
        rest.close()


def test_who_left_may_come_back_as_an_ordinary_member(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    node.sql("UPDATE team_members SET delete_at = 1, scheme_admin = TRUE WHERE user_id = %s", bob.id)
    member = _join(ann, team, bob.id).json()
    assert (member["delete_at"], member["roles"]) == (0, "team_user")
    assert [one["id"] for one in bob.get("/users/me/teams")] == [team["id"]]


def test_who_left_has_no_rights_any_more(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    node.sql("UPDATE team_members SET delete_at = 1, scheme_admin = TRUE WHERE user_id = %s", bob.id)
    refused(bob.call("GET", f"/teams/name/{team['name']}"), 403)
    refused(_join(bob, team), 403)
    refused(
        bob.call("POST", "/channels", {"team_id": team["id"], "name": "abc", "display_name": "x", "type": "O"}), 403
    )


def test_addresses_of_other_domains_are_not_taken(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, allowed_domains="example.org, example.net")
    refused(_join(ann, team, bob.id), 400, "api.team.join_user_to_team.allowed_domains.app_error")
    assert _join(ann, new_team(ann, allowed_domains="@example.org example.com"), bob.id).status_code == 201


def test_the_team_in_path_and_body_is_the_same(world: World) -> None:
    path = f"/teams/{world.team['id']}/members"
    for body in ({"user_id": world.teammate.id}, {"team_id": new_id(), "user_id": world.teammate.id}):
        refused(world.member.call("POST", path, body), 400, "body")


@pytest.mark.parametrize("user_id", ["", "me", "x"])
def test_a_member_is_named_by_id(world: World, user_id: str) -> None:
    body = {"team_id": world.team["id"], "user_id": user_id}
    refused(world.member.call("POST", f"/teams/{world.team['id']}/members", body), 400, "body")


def test_an_unknown_user_is_404(world: World) -> None:
    refused(_join(world.member, world.team, new_id()), 404, "app.user.missing_account.const")


def test_an_unknown_or_archived_team_is_404(node: Node, ann: Rest) -> None:
    refused(_join(ann, {"id": new_id()}), 404, "app.team.get.find.app_error")
    team = new_team(ann)
    node.sql("UPDATE teams SET delete_at = 1 WHERE id = %s", team["id"])
    refused(_join(ann, team, sign_up(node.url)["id"]), 404, "app.team.get.find.app_error")


def test_a_full_team_takes_nobody(own_admin: Rest, add: Add, configure: Configure) -> None:
    ann, bob, third = add(), add(), add()
    team = new_team(ann)
    configure({"TeamSettings": {"MaxUsersPerTeam": 2}})
    assert _join(ann, team, bob.id).status_code == 201
    refused(_join(ann, team, third.id), 400, "app.team.join_user_to_team.max_accounts.app_error")
    assert _join(ann, team, bob.id).status_code == 201, "who is in it already"


def test_more_default_channels_may_be_set(own_admin: Rest, add: Add, configure: Configure) -> None:
    ann, bob = add(), add()
    team = new_team(ann)
    body = {"team_id": team["id"], "name": "news", "display_name": "News", "type": "O"}
    news = ann.post("/channels", body)
    configure({"TeamSettings": {"ExperimentalDefaultChannels": ["news", "no-such-channel"]}})
    _join(ann, team, bob.id)
    assert news["id"] in {channel["id"] for channel in bob.get(f"/users/me/teams/{team['id']}/channels")}


def test_a_team_is_read_by_its_id(ann: Rest, bob: Rest) -> None:
    """As by its name: by its members, without what only those who may invite see; open ones by everybody."""
    closed, opened = new_team(ann), new_team(ann, allow_open_invite=True)
    assert ann.get(f"/teams/{closed['id']}") == ann.get(f"/teams/name/{closed['name']}") == closed
    refused(bob.call("GET", f"/teams/{closed['id']}"), 403, "permissions")
    seen = bob.get(f"/teams/{opened['id']}")
    assert seen == opened | {"email": "", "invite_id": ""}


def test_an_archived_team_is_still_read_by_its_id(node: Node, ann: Rest) -> None:
    team = new_team(ann)
    node.sql("UPDATE teams SET delete_at = 5 WHERE id = %s", team["id"])
    node.polled()
    assert ann.get(f"/teams/{team['id']}")["delete_at"] == 5
    refused(ann.call("GET", f"/teams/{new_id()}"), 404, "app.team.get.find.app_error")
