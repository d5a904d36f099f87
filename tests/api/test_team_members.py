"""Members of teams: lists of them, many at once, by invitation, and what they have not read."""

from collections.abc import Iterator
from typing import Any

import pytest

from db.model import limits
from db.model.ids import new_id
from tests.api.conftest import Add, Configure
from tests.api.expect import refused
from tests.api.test_teams import MEMBER, _types
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user, sign_up, town_square
from tests.rig.rest import Rest
from tests.rig.socket import Socket

pytestmark = drivers("all")


@pytest.fixture
def guest(node: Node) -> Iterator[Rest]:
    """Who has an account as a guest."""
    rest = new_user(node.url, "guest")
    node.sql("UPDATE users SET roles = 'system_guest' WHERE id = %s", rest.id)
    node.polled()
    yield rest
    rest.close()


def _ids(members: list[dict[str, Any]]) -> list[str]:
    return [one["user_id"] for one in members]


def _batch(who: Rest, team: dict[str, Any], *user_ids: str, query: str = "") -> Any:
    body = [{"team_id": team["id"], "user_id": one} for one in user_ids]
    return who.call("POST", f"/teams/{team['id']}/members/batch{query}", body)


# Lists


def test_members_are_listed_page_by_page(ann: Rest, bob: Rest, node: Node) -> None:
    carl = sign_up(node.url)["id"]
    team = new_team(ann, bob)
    assert _batch(ann, team, carl).status_code == 201
    path = f"/teams/{team['id']}/members"
    pages = [bob.get(f"{path}?per_page=2&page={page}") for page in range(3)]
    assert [_ids(page) for page in pages] == [
        sorted([ann.id, bob.id, carl])[:2],
        sorted([ann.id, bob.id, carl])[2:],
        [],
    ]
    assert _types(pages[0][0]) == MEMBER
    ann.call("DELETE", f"{path}/{carl}")
    assert _ids(ann.get(path)) == sorted([ann.id, bob.id]), "who left is no member"


def test_members_are_sorted_by_name_and_deactivated_ones_left_out(
    node: Node, ann: Rest, bob: Rest, admin: Rest
) -> None:
    team = new_team(ann, bob)
    zoe, abe = (sign_up(node.url, prefix) for prefix in ("zoe", "abe"))
    _batch(ann, team, zoe["id"], abe["id"])
    admin.call("PUT", f"/users/{abe['id']}/active", {"active": False})
    path = f"/teams/{team['id']}/members"
    by_name = sorted([(one["username"], one["id"]) for one in (ann.user, bob.user, zoe, abe)])
    assert _ids(ann.get(f"{path}?sort=Username")) == [user_id for _, user_id in by_name]
    active = [user_id for _, user_id in by_name if user_id != abe["id"]]
    assert _ids(ann.get(f"{path}?sort=Username&exclude_deleted_users=true")) == active
    assert _ids(ann.get(f"{path}?exclude_deleted_users=true")) == sorted(active)
    assert _ids(ann.get(f"{path}?sort=Username&per_page=1&page=1")) == [by_name[1][1]]


def test_a_membership_is_shown_also_when_it_has_ended(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    path = f"/teams/{team['id']}/members"
    assert bob.get(f"{path}/me") == bob.get(f"{path}/{bob.id}")
    assert ann.get(f"{path}/{ann.id}")["roles"] == "team_user team_admin"
    refused(ann.call("GET", f"{path}/{new_id()}"), 404, "app.team.get_member.missing.app_error")
    bob.call("DELETE", f"{path}/{bob.id}")
    ended = ann.get(f"{path}/{bob.id}")
    assert ended["delete_at"] > 0
    assert [one for one in bob.get("/users/me/teams/members") if one["team_id"] == team["id"]] == [ended]


def test_members_by_ids_leaves_out_who_is_none(ann: Rest, bob: Rest, node: Node) -> None:
    team = new_team(ann, bob)
    path = f"/teams/{team['id']}/members/ids"
    found = ann.post(path, [ann.id, bob.id, new_id(), "x", sign_up(node.url)["id"], bob.id])
    assert sorted(_ids(found)) == sorted([ann.id, bob.id])
    for bad in ([], [new_id()] * (limits.USER_IDS + 1)):
        refused(ann.call("POST", path, bad), 400, "body")
    assert ann.post(path, ["x"]) == []
    bob.call("DELETE", f"/teams/{team['id']}/members/{bob.id}")
    assert _ids(ann.post(path, [ann.id, bob.id])) == [ann.id]


def test_memberships_of_all_teams(ann: Rest, bob: Rest, admin: Rest) -> None:
    teams = [new_team(ann)["id"], new_team(bob, ann)["id"]]
    found = ann.get("/users/me/teams/members")
    assert {one["team_id"]: one["roles"] for one in found} == {teams[0]: "team_user team_admin", teams[1]: "team_user"}
    assert all(_types(one) == MEMBER for one in found)
    assert ann.get("/users/me/teams/members?page=1") == []
    assert admin.get(f"/users/{ann.id}/teams/members") == found
    refused(bob.call("GET", f"/users/{ann.id}/teams/members"), 403, "permissions")


def test_guests_know_of_whom_they_share_a_channel_with(guest: Rest, ann: Rest, bob: Rest, admin: Rest) -> None:
    team = new_team(ann, bob)
    assert _batch(ann, team, guest.id).json()[0]["roles"] == "team_guest"
    path = f"/teams/{team['id']}"
    assert _ids(guest.get(f"{path}/members")) == [guest.id], "guests are in no channel by joining"
    assert guest.get(f"{path}/stats")["total_member_count"] == 1
    refused(guest.call("GET", f"{path}/members/{ann.id}"), 403, "permissions")
    channel = new_channel(ann, team, kind="P")
    ann.post(f"/channels/{channel['id']}/members", {"user_id": guest.id})
    assert _ids(guest.get(f"{path}/members")) == sorted([guest.id, ann.id])
    assert _ids(guest.get(f"{path}/members?sort=Username&exclude_deleted_users=true")) != []
    assert _ids(guest.post(f"{path}/members/ids", [ann.id, bob.id])) == [ann.id]
    assert guest.get(f"{path}/members/{ann.id}")["user_id"] == ann.id
    assert guest.get(f"{path}/stats") == {
        "team_id": team["id"], "total_member_count": 2, "active_member_count": 2
    }  # fmt: skip
    assert admin.get(f"{path}/stats")["total_member_count"] == 3


# Joining


def test_many_join_at_once_each_as_if_alone(ann: Rest, bob: Rest, node: Node) -> None:
    team = new_team(ann)
    others = [sign_up(node.url)["id"] for _ in range(limits.JOINING)]  # with bob more than one transaction
    hers, his = Socket.open(ann), Socket.open(bob)
    answer = _batch(ann, team, *others, bob.id, bob.id)
    assert answer.status_code == 201
    members = answer.json()
    assert sorted(_ids(members)) == sorted([*others, bob.id])
    assert {one["roles"] for one in members} == {"team_user"}
    assert his.expect("added_to_team", team_id=team["id"])["data"]["user_id"] == bob.id
    for user_id in (*others, bob.id):
        hers.expect_post(f"{ann.get(f'/users/{user_id}')['username']} added to the team by {ann.user['username']}.")
    added = [one for one in hers.named("user_added") if one["data"]["user_id"] == bob.id]
    assert len(added) == 2, "one for each default channel"
    assert len(his.named("added_to_team")) == 1
    square = town_square(ann, team)["id"]
    assert node.sql("SELECT count(*) FROM channel_members WHERE channel_id = %s", square)[0][0] == len(others) + 2
    assert sorted(_ids(_batch(ann, team, *others[:2]).json())) == sorted(others[:2]), "who is in it already"
    hers.close()
    his.close()


def test_who_cannot_be_added_is_an_error_of_the_answer_or_the_answer(
    ann: Rest, bob: Rest, admin: Rest, node: Node
) -> None:
    team = new_team(ann)
    gone, nobody = sign_up(node.url)["id"], new_id()
    admin.call("PUT", f"/users/{gone}/active", {"active": False})
    refused(_batch(ann, team, bob.id, gone), 403, "app.team.add_member.deleted_user.app_error")
    answer = _batch(ann, team, nobody, bob.id, gone, query="?graceful=true")
    assert answer.status_code == 201
    found = {one["user_id"]: one for one in answer.json()}
    assert set(found) == {nobody, bob.id, gone}
    assert found[bob.id]["member"]["user_id"] == bob.id
    assert found[bob.id]["error"] is None
    assert [found[one]["member"] for one in (nobody, gone)] == [None, None]
    errors = {one: (found[one]["error"]["id"], found[one]["error"]["status_code"]) for one in (nobody, gone)}
    assert errors == {
        nobody: ("app.user.missing_account.const", 404),
        gone: ("app.team.add_member.deleted_user.app_error", 403),
    }


def test_a_batch_that_is_none_is_refused(ann: Rest, bob: Rest) -> None:
    team = new_team(ann)
    refused(_batch(ann, team), 400, "body")
    refused(_batch(ann, team, *[new_id()] * (limits.NEW_MEMBERS + 1)), 400, "body")
    refused(_batch(ann, team, bob.id, "me"), 400, "body")
    body = [{"team_id": team["id"], "user_id": bob.id}, {"team_id": new_id(), "user_id": bob.id}]
    refused(ann.call("POST", f"/teams/{team['id']}/members/batch", body), 400, "body")
    refused(_batch(bob, team, bob.id), 403, "permissions")
    assert len(ann.get(f"/teams/{team['id']}/members")) == 1


def test_a_batch_fills_a_team_and_no_more(own_admin: Rest, add: Add, configure: Configure) -> None:
    ann, others = add(), [add() for _ in range(3)]
    team = new_team(ann)
    configure({"TeamSettings": {"MaxUsersPerTeam": 3}})
    answer = _batch(ann, team, *(one.id for one in others), query="?graceful=1").json()
    assert [one["error"] and one["error"]["id"] for one in answer] == [
        None, None, "app.team.join_user_to_team.max_accounts.app_error"
    ]  # fmt: skip
    assert len(ann.get(f"/teams/{team['id']}/members")) == 3


def test_who_has_an_invitation_joins_a_closed_team(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, type="I")
    his = Socket.open(bob)
    answer = bob.call("POST", f"/teams/members/invite?invite_id={team['invite_id']}")
    assert answer.status_code == 201
    assert _types(answer.json()) == MEMBER
    assert (answer.json()["team_id"], answer.json()["user_id"]) == (team["id"], bob.id)
    his.expect("added_to_team", team_id=team["id"])
    again = bob.call("POST", f"/teams/members/invite?invite_id={team['invite_id']}")
    assert again.json() == answer.json()
    his.close()


def test_an_invitation_that_is_none_is_refused(guest: Rest, ann: Rest, bob: Rest) -> None:
    team = new_team(ann)
    path = "/teams/members/invite"
    refused(bob.call("POST", path), 400, "api.team.add_user_to_team.missing_parameter.app_error")
    refused(bob.call("POST", f"{path}?token=abc"), 400, "api.user.create_user.signup_link_invalid.app_error")
    refused(bob.call("POST", f"{path}?invite_id={new_id()}"), 404, "app.team.get_by_invite_id.finding.app_error")
    refused(
        guest.call("POST", f"{path}?invite_id={team['invite_id']}"),
        403,
        "api.team.add_user_to_team_from_invite.guest.app_error",
    )


def test_there_is_no_e_mail_yet(ann: Rest, bob: Rest) -> None:
    path = f"/teams/{new_team(ann)['id']}/invite/email"
    refused(ann.call("POST", path, ["x@example.com"]), 501, "api.team.invite_members.disabled.app_error")
    refused(bob.call("POST", path, ["x@example.com"]), 403, "permissions")


# What is not read


def _unread(who: Rest, team: dict[str, Any]) -> tuple[int, int, int, int]:
    """msg_count, msg_count_root, mention_count, mention_count_root; alike in both operations."""
    names = ("msg_count", "msg_count_root", "mention_count", "mention_count_root")
    one = who.get(f"/users/me/teams/{team['id']}/unread")
    assert [listed for listed in who.get("/users/me/teams/unread") if listed["team_id"] == team["id"]] == [one]
    assert set(one) == {"team_id", *names, "thread_count", "thread_mention_count", "thread_urgent_mention_count"}
    a, b, c, d = (one[name] for name in names)
    return a, b, c, d


def test_what_is_not_read_is_counted_by_team(ann: Rest, bob: Rest) -> None:
    team, other = new_team(ann, bob), new_team(ann, bob)
    square, news = town_square(ann, team)["id"], new_channel(ann, team, bob)["id"]
    for one in (team, other):
        bob.call("PUT", f"/users/me/teams/{one['id']}/read")
    assert _unread(bob, team) == (0, 0, 0, 0)
    root = ann.write(square, "one")
    ann.post("/posts", {"channel_id": square, "message": f"@{bob.user['username']} two", "root_id": root["id"]})
    ann.write(news, f"three @{bob.user['username']}")
    ann.write(town_square(ann, other)["id"], "elsewhere")
    assert _unread(bob, team) == (3, 2, 2, 1)
    assert _unread(bob, other) == (1, 1, 0, 0)
    assert _unread(ann, team) == (0, 0, 0, 0), "one's own are read"
    without = bob.get(f"/users/me/teams/unread?exclude_team={team['id']}&include_collapsed_threads=true")
    assert [one["team_id"] for one in without] == [other["id"]]
    bob.post("/channels/members/me/view", {"channel_id": square})
    assert _unread(bob, team) == (1, 1, 1, 1)


def test_messages_of_muted_channels_do_not_count_but_mentions_do(ann: Rest, bob: Rest, node: Node) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)["id"]
    bob.call("PUT", f"/users/me/teams/{team['id']}/read")
    muted = '{"desktop":"all", "mark_unread": "mention"}'
    node.sql(
        "UPDATE channel_members SET notify_props = %s WHERE channel_id = %s AND user_id = %s", muted, channel, bob.id
    )
    ann.write(channel, f"@{bob.user['username']}")
    assert _unread(bob, team) == (0, 0, 1, 1)
    ann.write(town_square(ann, team)["id"], "loud")
    assert _unread(bob, team) == (1, 1, 1, 1)


def test_archived_channels_and_direct_ones_are_of_no_team(ann: Rest, bob: Rest, node: Node) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)["id"]
    bob.call("PUT", f"/users/me/teams/{team['id']}/read")
    ann.write(channel, "x")
    ann.write(ann.post("/channels/direct", [ann.id, bob.id])["id"], "x")
    assert _unread(bob, team) == (1, 1, 0, 0)
    node.sql("UPDATE channels SET delete_at = 5 WHERE id = %s", channel)
    assert _unread(bob, team) == (0, 0, 0, 0)
    assert {one["team_id"] for one in bob.get("/users/me/teams/unread")} == {team["id"]}


def test_a_whole_team_is_marked_as_read(ann: Rest, bob: Rest) -> None:
    team, other = new_team(ann, bob), new_team(ann, bob)
    channels = [new_channel(ann, team, bob)["id"] for _ in range(3)]
    for one in (team, other):
        bob.call("PUT", f"/users/me/teams/{one['id']}/read")
    posts = [ann.write(channel, f"@{bob.user['username']}") for channel in channels[:2]]
    ann.write(town_square(ann, other)["id"], "elsewhere")
    his = Socket.open(bob)
    answer = bob.call("PUT", f"/users/me/teams/{team['id']}/read").json()
    assert answer == {
        "status": "OK",
        "last_viewed_at_times": {post["channel_id"]: post["create_at"] for post in posts},
    }
    his.expect("multiple_channels_viewed", channel_times=answer["last_viewed_at_times"])
    assert _unread(bob, team) == (0, 0, 0, 0)
    assert _unread(bob, other) == (1, 1, 0, 0)
    assert bob.call("PUT", f"/users/me/teams/{team['id']}/read").json()["last_viewed_at_times"] == {}
    refused(ann.call("PUT", f"/users/{bob.id}/teams/{team['id']}/read"), 403, "permissions")
    his.close()
