"""Teams that change, are archived and come back; what their members hear of it."""

import json
from typing import Any

import pytest

from db.model.ids import is_id, new_id
from tests.api.conftest import Add, Configure
from tests.api.expect import refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, town_square
from tests.rig.rest import Rest
from tests.rig.socket import Socket

pytestmark = drivers("all")


def _told(socket: Socket, name: str) -> dict[str, Any]:
    """The team of an event, which is for the members of the team."""
    event = socket.expect(name)
    team: dict[str, Any] = json.loads(event["data"]["team"])
    assert event["broadcast"]["team_id"] == team["id"]
    assert (team["email"], team["invite_id"]) == ("", "")
    return team


def test_an_update_replaces_what_the_team_says_and_nothing_else(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob, description="before", company_name="Inc", allow_open_invite=True)
    his = Socket.open(bob)
    body = {**team, "display_name": "After", "description": "what", "name": "other", "type": "I", "invite_id": "x"}
    after = ann.call("PUT", f"/teams/{team['id']}", body).json()
    assert after["update_at"] > team["update_at"]
    assert after == {**team, "display_name": "After", "description": "what", "update_at": after["update_at"]}
    assert _told(his, "update_team") == {**after, "email": "", "invite_id": ""}
    assert bob.get(f"/teams/{team['id']}")["display_name"] == "After"
    short = ann.call("PUT", f"/teams/{team['id']}", {"id": team["id"], "display_name": "Short"}).json()
    assert (short["description"], short["company_name"], short["allow_open_invite"]) == ("", "", False)
    his.close()


def test_an_update_is_of_the_team_in_its_path(ann: Rest) -> None:
    team = new_team(ann)
    for body in ({"display_name": "x"}, {"id": new_id(), "display_name": "x"}):
        refused(ann.call("PUT", f"/teams/{team['id']}", body), 400, "body")


def test_a_patch_leaves_what_it_does_not_name(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob, description="before", allow_open_invite=True)
    his = Socket.open(bob)
    after = ann.call("PUT", f"/teams/{team['id']}/patch", {"company_name": "Inc", "description": None}).json()
    assert after == {**team, "company_name": "Inc", "update_at": after["update_at"]}
    assert _told(his, "update_team")["company_name"] == "Inc"
    his.close()


def test_what_changes_nothing_is_not_told(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    his = Socket.open(bob)
    for path, body in (("/patch", {"display_name": team["display_name"]}), ("", team)):
        assert ann.call("PUT", f"/teams/{team['id']}{path}", body).json() == team
    assert ann.post(f"/teams/{team['id']}/restore", {}) == team
    ann.call("PUT", f"/teams/{team['id']}/patch", {"display_name": "Other"})
    assert _told(his, "update_team")["display_name"] == "Other"
    assert len(his.named("update_team")) == 1
    assert not his.named("restore_team")
    his.close()


def test_who_closes_a_team_by_a_patch_makes_another_invitation(ann: Rest) -> None:
    team = new_team(ann, allow_open_invite=True)
    after = ann.call("PUT", f"/teams/{team['id']}/patch", {"allow_open_invite": False}).json()
    assert after["invite_id"] != team["invite_id"]
    again = ann.call("PUT", f"/teams/{team['id']}/patch", {"allow_open_invite": False}).json()
    assert again["invite_id"] == after["invite_id"]


@pytest.mark.parametrize(
    ("field", "limit", "error_id"),
    [("display_name", 64, "name"), ("description", 255, "description"), ("company_name", 64, "company")],
)
def test_texts_are_as_long_as_those_of_a_new_team(ann: Rest, field: str, limit: int, error_id: str) -> None:
    team = new_team(ann)
    for path in ("", "/patch"):
        body = {"id": team["id"], "display_name": "x", field: "ä" * (limit + 1)}
        refused(ann.call("PUT", f"/teams/{team['id']}{path}", body), 400, f"model.team.is_valid.{error_id}.app_error")
    refused(
        ann.call("PUT", f"/teams/{team['id']}/patch", {"display_name": ""}), 400, "model.team.is_valid.name.app_error"
    )
    assert ann.get(f"/teams/{team['id']}") == team


def test_a_team_takes_only_domains_that_the_system_does(own_admin: Rest, add: Add, configure: Configure) -> None:
    ann = add()
    team = new_team(ann)
    configure({"TeamSettings": {"RestrictCreationToDomains": "example.com, example.org"}})
    path = f"/teams/{team['id']}/patch"
    refused(
        ann.call("PUT", path, {"allowed_domains": "example.com example.net"}),
        400,
        "api.team.update_restricted_domains.mismatch.app_error",
    )
    assert ann.call("PUT", path, {"allowed_domains": "@example.org"}).json()["allowed_domains"] == "@example.org"


def test_the_privacy_of_a_team_is_its_type_and_who_may_join(ann: Rest, bob: Rest) -> None:
    team = new_team(ann)
    hers = Socket.open(ann)
    path = f"/teams/{team['id']}/privacy"
    opened = ann.call("PUT", path, {"privacy": "O"}).json()
    assert (opened["type"], opened["allow_open_invite"], opened["invite_id"]) == ("O", True, team["invite_id"])
    assert _told(hers, "update_team")["allow_open_invite"] is True
    assert bob.get(f"/teams/{team['id']}")["id"] == team["id"]
    closed = ann.call("PUT", path, {"privacy": "I"}).json()
    assert (closed["type"], closed["allow_open_invite"]) == ("I", False)
    assert closed["invite_id"] != team["invite_id"]
    refused(bob.call("GET", f"/teams/{team['id']}"), 403)
    for bad in ("", "o", "P"):
        refused(ann.call("PUT", path, {"privacy": bad}), 400, "body")
    hers.close()


def test_an_invitation_that_was_made_anew_leads_nowhere_before(ann: Rest, bob: Rest) -> None:
    team = new_team(ann)
    after = ann.post(f"/teams/{team['id']}/regenerate_invite_id", {})
    assert is_id(after["invite_id"])
    assert after == {**team, "invite_id": after["invite_id"], "update_at": after["update_at"]}
    refused(
        bob.call("POST", f"/teams/members/invite?invite_id={team['invite_id']}"),
        404,
        "app.team.get_by_invite_id.finding.app_error",
    )
    assert bob.call("POST", f"/teams/members/invite?invite_id={after['invite_id']}").status_code == 201


def test_an_archived_team_is_told_shown_to_nobody_and_comes_back(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob, allow_open_invite=True)
    his = Socket.open(bob)
    refused(bob.call("DELETE", f"/teams/{team['id']}"), 403, "permissions")
    assert ann.call("DELETE", f"/teams/{team['id']}").json() == {"status": "OK"}
    told = _told(his, "delete_team")
    assert told["delete_at"] == told["update_at"] > team["update_at"]
    for who in (ann, bob):
        assert who.get("/users/me/teams") == []
        assert who.get(f"/teams/{team['id']}")["delete_at"] == told["delete_at"]
        refused(who.call("GET", f"/teams/name/{team['name']}"), 404)
    assert ann.call("DELETE", f"/teams/{team['id']}").status_code == 200, "as a retry is"
    back = ann.post(f"/teams/{team['id']}/restore", {})
    assert back == {**team, "update_at": back["update_at"]}
    assert _told(his, "restore_team")["delete_at"] == 0
    assert len(his.named("delete_team")) == len(his.named("restore_team")) == 1
    assert [one["id"] for one in bob.get("/users/me/teams")] == [team["id"]]
    his.close()


def test_the_channels_of_an_archived_team_stay_for_who_is_in_them(ann: Rest, bob: Rest, admin: Rest) -> None:
    """As in Mattermost: they are read and written to; but nobody joins, and no channel is made."""
    team = new_team(ann, bob, allow_open_invite=True)
    square, other = town_square(ann, team)["id"], new_channel(ann, team)["id"]
    ann.call("DELETE", f"/teams/{team['id']}")
    his = Socket.open(bob)
    post = ann.write(square, "still here")
    assert his.expect_post("still here")["id"] == post["id"]
    assert bob.get(f"/channels/{square}/posts")["order"][0] == post["id"]
    refused(bob.call("POST", f"/channels/{other}/members", {"user_id": bob.id}), 404, "app.team.get.find.app_error")
    body = {"team_id": team["id"], "name": "news", "display_name": "News", "type": "O"}
    refused(ann.call("POST", "/channels", body), 404, "app.team.get.find.app_error")
    join = {"team_id": team["id"], "user_id": admin.id}
    refused(admin.call("POST", f"/teams/{team['id']}/members", join), 404, "app.team.get.find.app_error")
    refused(admin.call("POST", f"/teams/members/invite?invite_id={team['invite_id']}"), 404)
    his.close()


def test_a_team_is_not_deleted_for_good(ann: Rest, bob: Rest, admin: Rest) -> None:
    team = new_team(ann, bob)
    path = f"/teams/{team['id']}?permanent=true"
    refused(bob.call("DELETE", path), 403, "permissions")
    for who in (ann, admin):
        refused(who.call("DELETE", path), 401, "api.user.delete_team.not_enabled.app_error")
    assert ann.get(f"/teams/{team['id']}") == team


def test_a_team_that_is_none_is_404_for_administrators_only(ann: Rest, admin: Rest) -> None:
    for method, path in (("PUT", "/patch"), ("DELETE", ""), ("POST", "/restore"), ("POST", "/regenerate_invite_id")):
        refused(admin.call(method, f"/teams/{new_id()}{path}", {}), 404, "app.team.get.find.app_error")
        refused(ann.call(method, f"/teams/{new_id()}{path}", {}), 403, "permissions")


def test_who_changes_a_team_is_in_the_audit_log(ann: Rest, admin: Rest, node: Node) -> None:
    team = new_team(ann)
    ann.call("PUT", f"/teams/{team['id']}/patch", {"display_name": "Other"})
    ann.call("DELETE", f"/teams/{team['id']}")
    found = [(one["action"], one["extra_info"]) for one in admin.get(f"/users/{ann.id}/audits")]
    for action in ("patchTeam", "deleteTeam"):
        assert [text for name, text in found if name == action and f"team_id={team['id']}" in text], found
