"""Teams as they are listed, looked for, counted, and known by an invitation."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.teamlists import rounded
from db.model.ids import new_id
from tests.api.expect import refused
from tests.api.test_teams import TEAM, _types
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_team, new_user, town_square
from tests.rig.rest import Rest, unique
from tests.rig.wait import until

pytestmark = drivers("all")


@pytest.fixture
def guest(node: Node) -> Iterator[Rest]:
    """Who has an account as a guest."""
    rest = new_user(node.url, "guest")
    node.sql("UPDATE users SET roles = 'system_guest' WHERE id = %s", rest.id)
    node.polled()
    yield rest
    rest.close()


def _teams(who: Rest, **query: Any) -> list[dict[str, Any]]:
    """All of them, page by page."""
    found: list[dict[str, Any]] = []
    for page in range(1000):
        answer = who.get("/teams?" + "&".join(f"{key}={value}" for key, value in {"page": page, **query}.items()))
        found += answer
        if len(answer) < query.get("per_page", 60):
            break
    return found


def test_who_may_not_list_private_teams_is_shown_the_open_ones(admin: Rest, ann: Rest, bob: Rest) -> None:
    opened, closed = new_team(ann, allow_open_invite=True), new_team(ann)
    invited = new_team(ann, type="I", allow_open_invite=True)
    seen = {team["id"]: team for team in _teams(bob, per_page=200)}
    assert opened["id"] in seen
    assert not {closed["id"], invited["id"]} & set(seen)
    assert _types(seen[opened["id"]]) == TEAM
    assert (seen[opened["id"]]["email"], seen[opened["id"]]["invite_id"]) == ("", "")
    assert closed["id"] not in {team["id"] for team in _teams(ann, per_page=200)}, "as in Mattermost, not even hers"
    all_of_them = {team["id"]: team for team in _teams(admin, per_page=200)}
    assert {opened["id"], closed["id"], invited["id"]} <= set(all_of_them)
    assert all_of_them[closed["id"]] == closed


def test_teams_are_listed_by_display_name_archived_ones_too(admin: Rest, ann: Rest) -> None:
    made = [new_team(ann, display_name=unique(letter), allow_open_invite=True) for letter in ("cc", "aa", "bb")]
    ann.call("DELETE", f"/teams/{made[1]['id']}")
    for who in (admin, ann):
        listed = _teams(who, per_page=7)
        assert [team["id"] for team in listed if team["id"] in {one["id"] for one in made}] == [
            made[place]["id"] for place in (1, 2, 0)
        ]
        assert len({team["id"] for team in listed}) == len(listed)
        assert next(team for team in listed if team["id"] == made[1]["id"])["delete_at"] > 0


def test_ones_own_teams_in_the_list_are_shown_whole(ann: Rest) -> None:
    team = new_team(ann, allow_open_invite=True)
    assert next(one for one in _teams(ann, per_page=200) if one["id"] == team["id"]) == team


def test_with_the_total_count_the_answer_has_another_shape(admin: Rest, ann: Rest, node: Node) -> None:
    new_team(ann)
    counted = admin.get("/teams?include_total_count=true&per_page=1&exclude_policy_constrained=true")
    assert set(counted) == {"teams", "total_count"}
    assert len(counted["teams"]) == 1
    assert counted["total_count"] == node.sql("SELECT count(*) FROM teams")[0][0]
    seen = ann.get("/teams?include_total_count=true&page=100000")
    assert seen["teams"] == []
    assert 0 < seen["total_count"] < counted["total_count"]


def test_policies_are_for_administrators(ann: Rest) -> None:
    refused(ann.call("GET", "/teams?exclude_policy_constrained=true"), 403, "permissions")
    assert ann.call("GET", "/teams?exclude_policy_constrained=false").status_code == 200
    refused(ann.call("POST", "/teams/search", {"term": "", "exclude_policy_constrained": False}), 403, "permissions")


def test_guests_list_no_teams_and_find_none(guest: Rest, ann: Rest) -> None:
    team = new_team(ann, allow_open_invite=True)
    refused(guest.call("GET", "/teams"), 403, "api.team.get_all_teams.insufficient_permissions")
    assert guest.post("/teams/search", {"term": team["name"]}) == []
    assert guest.get(f"/teams/name/{team['name']}/exists") == {"exists": False}


def test_a_search_finds_parts_of_both_names_in_any_case(admin: Rest, ann: Rest) -> None:
    mark = unique("x")
    by_name = new_team(ann, name=f"a{mark}z", display_name="One", allow_open_invite=True)
    by_display = new_team(ann, display_name=f"Ämter {mark.upper()} etc", allow_open_invite=True)
    closed = new_team(ann, display_name=f"{mark} closed")
    for term in (mark, mark.upper(), mark.title()):
        found = ann.post("/teams/search", {"term": term})
        assert {team["id"] for team in found} == {by_name["id"], by_display["id"]}
    assert ann.post("/teams/search", {"term": f"Ämter {mark}"}) == [by_display]
    found = admin.post("/teams/search", {"term": mark})
    assert {team["id"] for team in found} == {closed["id"], by_name["id"], by_display["id"]}
    for chosen, expected in ((True, {by_name["id"], by_display["id"]}), (False, {closed["id"]})):
        found = admin.post("/teams/search", {"term": mark, "allow_open_invite": chosen})
        assert {team["id"] for team in found} == expected
    assert admin.post("/teams/search", {"term": mark, "group_constrained": True}) == []
    assert len(admin.post("/teams/search", {"term": mark, "group_constrained": False})) == 3


@pytest.mark.parametrize("special", ["%", "_", "!", "\\", "'", "a%b"])
def test_what_is_special_in_patterns_is_a_letter_of_the_term(ann: Rest, special: str) -> None:
    mark = unique("x")
    team = new_team(ann, display_name=f"{mark}{special}y", allow_open_invite=True)
    new_team(ann, display_name=f"{mark}ay", allow_open_invite=True)
    assert ann.post("/teams/search", {"term": f"{mark}{special}y"}) == [team]


def test_a_search_by_pages_has_the_total_count(admin: Rest, ann: Rest) -> None:
    mark = unique("x")
    made = [new_team(ann, display_name=f"{mark} {number}")["id"] for number in range(5)]
    pages = [admin.post("/teams/search", {"term": mark, "page": page, "per_page": 2}) for page in range(4)]
    assert [one["total_count"] for one in pages] == [5] * 4
    assert [team["id"] for one in pages for team in one["teams"]] == made
    refused(
        ann.call("POST", "/teams/search", {"term": mark, "page": 0, "per_page": 2}),
        501,
        "api.team.search_teams.pagination_not_implemented.public_team_search",
    )
    refused(admin.call("POST", "/teams/search", {"term": mark, "page": -1, "per_page": 2}), 400, "body")
    assert len(admin.post("/teams/search", {"term": mark, "page": 0})) == 5, "half a page is none"


def test_a_name_exists_for_who_may_know_of_the_team(admin: Rest, ann: Rest, bob: Rest) -> None:
    opened, closed = new_team(ann, allow_open_invite=True), new_team(ann)
    known = [
        [who.get(f"/teams/name/{team['name'].upper()}/exists")["exists"] for team in (opened, closed)]
        for who in (ann, bob, admin)
    ]
    assert known == [[True, True], [True, False], [True, True]]
    ann.call("DELETE", f"/teams/{opened['id']}")
    assert bob.get(f"/teams/name/{opened['name']}/exists") == {"exists": True}, "nobody else gets its name"
    assert bob.get("/teams/name/no-such-team/exists") == {"exists": False}
    refused(bob.call("GET", "/teams/name/a/exists"), 400, "url")


def test_everybody_may_know_where_an_invitation_leads(ann: Rest, node: Node) -> None:
    team = new_team(ann, description="What it is")
    stranger = Rest(node.url)
    assert stranger.get(f"/teams/invite/{team['invite_id']}") == {
        name: team[name] for name in ("id", "name", "display_name", "description")
    }
    closed = new_team(ann, type="I")
    refused(stranger.call("GET", f"/teams/invite/{closed['invite_id']}"), 403, "api.team.get_invite_info.not_open_team")
    ann.call("DELETE", f"/teams/{team['id']}")
    refused(stranger.call("GET", "/teams/invite/x"), 400, "url")
    for invite_id in (team["invite_id"], new_id()):
        refused(stranger.call("GET", f"/teams/invite/{invite_id}"), 404, "app.team.get_by_invite_id.finding.app_error")
    stranger.close()


def test_members_are_counted_whoever_changes_them(admin: Rest, ann: Rest, bob: Rest, node: Node) -> None:
    team = new_team(ann, bob)

    def counted() -> tuple[int, int]:
        found = ann.get(f"/teams/{team['id']}/stats")
        assert found["team_id"] == team["id"]
        return found["total_member_count"], found["active_member_count"]

    assert counted() == (2, 2)
    admin.call("PUT", f"/users/{bob.id}/active", {"active": False})
    assert counted() == (2, 1)
    admin.call("PUT", f"/users/{bob.id}/active", {"active": True})
    ann.call("DELETE", f"/teams/{team['id']}/members/{bob.id}")
    assert counted() == (1, 1)
    node.sql("UPDATE team_members SET delete_at = 0 WHERE user_id = %s", bob.id)
    until(lambda: counted() == (2, 2))


def test_no_team_has_a_picture_yet(ann: Rest, bob: Rest) -> None:
    opened, closed = new_team(ann, allow_open_invite=True), new_team(ann)
    refused(bob.call("GET", f"/teams/{opened['id']}/image"), 404, "api.team.get_team_icon.read_file.app_error")
    refused(bob.call("GET", f"/teams/{closed['id']}/image"), 403, "permissions")
    refused(ann.call("GET", f"/teams/{new_id()}/image"), 404, "app.team.get.find.app_error")


# Usage


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, 0), (999, 0), (1000, 1000), (4321, 4000), (9999, 9000), (54_321, 50_000), (999_999, 900_000)],
)
def test_a_number_is_rounded_to_its_first_digit(number: int, shown: int) -> None:
    assert rounded(number) == shown


def test_posts_are_counted_about_and_teams_exactly(ann: Rest, node: Node) -> None:
    before = ann.get("/usage/posts")["count"]
    channel = town_square(ann, new_team(ann))["id"]
    head = node.sql("SELECT seq FROM channel_heads WHERE channel_id = %s", channel)[0][0]
    for first in range(0, 4000, 1000):
        rows = ",".join(
            f"('{new_id()}','{channel}',{head + first + n},1,1,'{ann.id}','x','{{}}','[]','[]')" for n in range(1, 1001)
        )
        columns = "id, channel_id, seq, create_at, update_at, user_id, message, props, file_ids, mentions"
        node.sql(f"INSERT INTO posts ({columns}) VALUES {rows}", settle=False)
    after = ann.get("/usage/posts")["count"]
    assert after >= max(4000, before)
    assert after % 1000 == 0
    living = node.sql("SELECT count(*) FROM teams WHERE delete_at = 0")[0][0]
    assert ann.get("/usage/teams") == {"active": living, "cloud_archived": 0}
    ann.call("DELETE", f"/teams/{new_team(ann)['id']}")
    assert ann.get("/usage/teams")["active"] == living


def test_a_term_that_is_longer_than_any_name_finds_nothing(ann: Rest) -> None:
    assert ann.post("/teams/search", {"term": "x" * 100_000}) == []
