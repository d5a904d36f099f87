"""Lists of users, searches and completions: whom they hold, in which order, and who may ask."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.api.conftest import Add, Configure
from tests.api.expect import NOBODYS_ID, refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest, unique

pytestmark = drivers("postgres", "mysql")


class Crew(NamedTuple):
    """ann made the team and the channel; bob is in both, cat in the team, dan in none. Their names begin alike."""

    prefix: str
    ann: Rest
    bob: Rest
    cat: Rest
    dan: Rest
    team: dict[str, Any]
    channel: dict[str, Any]

    def name(self, who: str) -> str:
        return str(getattr(self, who).user["username"])


@pytest.fixture(scope="module")
def crew(node: Node) -> Iterator[Crew]:
    prefix = unique("p")
    people = [
        new_user(
            node.url,
            f"{prefix}{name}",
            nickname=f"Nick{name.upper()} {prefix}",
            first_name=f"Ää{prefix}",
            last_name=name,
        )
        for name in ("ann", "bob", "cat", "dan")
    ]
    ann, bob, cat, dan = people
    team = new_team(ann, bob, cat)
    yield Crew(prefix, ann, bob, cat, dan, team, new_channel(ann, team, bob, kind="P"))
    for rest in people:
        rest.close()


def _names(crew: Crew, users: list[dict[str, Any]]) -> str:
    """The letters of those of the crew, in their order."""
    return "".join(
        one["username"].removeprefix(crew.prefix)[0] for one in users if one["username"].startswith(crew.prefix)
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("in_team={team}", "abc"),
        ("in_team={team}&active=true", "abc"),
        ("in_team={team}&inactive=true", ""),
        ("in_team={team}&per_page=2&page=0", "ab"),
        ("in_team={team}&per_page=2&page=1", "c"),
        ("in_team={team}&sort=create_at", "cba"),
        ("in_team={team}&team_roles=team_admin", "a"),
        ("in_team={team}&team_roles=team_user,team_guest", "bc"),
        ("in_team={team}&roles=system_user", "abc"),
        ("in_team={team}&role=system_user", "abc"),
        ("in_team={team}&role=system_admin", ""),
        ("in_channel={channel}", "ab"),
        ("in_channel={channel}&sort=admin", "ab"),
        ("in_channel={channel}&sort=admin&per_page=1&page=1", "b"),
        ("in_channel={channel}&sort=status", "ab"),
        ("in_channel={channel}&channel_roles=channel_user", "b"),
        ("not_in_channel={channel}&in_team={team}", "c"),
    ],
)
def test_who_is_where(crew: Crew, query: str, expected: str) -> None:
    found = crew.ann.get("/users?" + query.format(team=crew.team["id"], channel=crew.channel["id"]))
    assert _names(crew, found) == expected


def test_administrators_of_a_channel_come_first(crew: Crew) -> None:
    channel = new_channel(crew.ann, crew.team, crew.bob, crew.cat)
    path = f"/channels/{channel['id']}/members/{crew.cat.id}/schemeRoles"
    assert crew.ann.call("PUT", path, {"scheme_user": True, "scheme_admin": True}).status_code == 200
    query = f"/users?in_channel={channel['id']}&sort=admin"
    assert _names(crew, crew.ann.get(query)) == "acb"
    pages = [crew.ann.get(f"{query}&per_page=1&page={page}") for page in range(4)]
    assert [_names(crew, page) for page in pages] == ["a", "c", "b", ""]


def test_who_is_in_no_team_or_not_in_one(crew: Crew, admin: Rest) -> None:
    outside = admin.get(f"/users?not_in_team={crew.team['id']}&per_page=200")
    assert crew.bob.id not in [one["id"] for one in outside]
    refused(crew.dan.call("GET", "/users?without_team=true"), 403, "permissions")
    count, page, found = 1, 0, set()
    while count:
        users = admin.get(f"/users?without_team=true&per_page=200&page={page}")
        found |= {one["id"] for one in users}
        count, page = len(users), page + 1
    assert crew.dan.id in found
    assert crew.cat.id not in found


def test_all_users_are_walked_by_name(admin: Rest, crew: Crew) -> None:
    walked: list[str] = []
    while users := admin.get(f"/users?per_page=200&page={len(walked) // 200}"):
        walked += [one["username"] for one in users]
        if len(users) < 200:
            break
    assert walked == sorted(walked)
    assert {crew.name(one) for one in ("ann", "bob", "cat", "dan")} <= set(walked)


def test_deactivated_ones_are_listed_unless_only_active_ones_are_wanted(node: Node, crew: Crew, admin: Rest) -> None:
    gone = new_user(node.url, crew.prefix + "zed")
    crew.ann.post(f"/teams/{crew.team['id']}/members", {"team_id": crew.team["id"], "user_id": gone.id})
    try:
        assert admin.call("PUT", f"/users/{gone.id}/active", {"active": False}).status_code == 200
        query = f"/users?in_team={crew.team['id']}"
        assert _names(crew, crew.ann.get(query)) == "abcz"
        assert _names(crew, crew.ann.get(query + "&active=true")) == "abc"
        assert _names(crew, crew.ann.get(query + "&inactive=true")) == "z"
        body = {"term": crew.prefix, "team_id": crew.team["id"]}
        assert _names(crew, crew.ann.post("/users/search", body)) == "abc"
        assert _names(crew, crew.ann.post("/users/search", {**body, "allow_inactive": True})) == "abcz"
        complete = crew.ann.get(f"/users/autocomplete?in_team={crew.team['id']}&name={crew.prefix}")
        assert _names(crew, complete["users"]) == "abc"
    finally:
        crew.ann.call("DELETE", f"/teams/{crew.team['id']}/members/{gone.id}")
        gone.close()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("not_in_channel={channel}", "team_id"),
        ("sort=name", "sort"),
        ("sort=create_at", "sort"),
        ("sort=last_activity_at&in_team={team}&in_channel={channel}", "sort"),
        ("sort=status&in_team={team}", "sort"),
        ("sort=admin", "sort"),
        ("sort=display_name", "sort"),
        ("active=1&inactive=1", "inactive"),
        ("role=nobody", "role"),
        ("roles=system_user,nobody", "roles"),
        ("in_team={team}&team_roles=x", "teamRoles"),
        ("in_channel={channel}&channel_roles=x", "channelRoles"),
    ],
)
def test_what_does_not_go_together_is_refused(crew: Crew, query: str, field: str) -> None:
    path = "/users?" + query.format(team=crew.team["id"], channel=crew.channel["id"])
    assert field in refused(crew.ann.call("GET", path), 400, "url")["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/users?in_team={team}",
        "/users?not_in_team={team}",
        "/users?in_channel={channel}",
        "/users?in_team={team}&not_in_channel={channel}",
        "/users/autocomplete?in_team={team}&name=a",
        "/users/autocomplete?in_team={team}&in_channel={channel}&name=a",
        f"/users?in_channel={NOBODYS_ID}",
        f"/users?in_team={NOBODYS_ID}",
        "/users?in_team=%F0%9F%98%80",
    ],
)
def test_strangers_see_no_members(crew: Crew, path: str) -> None:
    refused(crew.dan.call("GET", path.format(team=crew.team["id"], channel=crew.channel["id"])), 403, "permissions")


@pytest.mark.parametrize("field", ["team_id", "not_in_team_id", "in_channel_id"])
def test_strangers_search_no_members(crew: Crew, field: str) -> None:
    value = crew.channel["id"] if "channel" in field else crew.team["id"]
    refused(crew.dan.call("POST", "/users/search", {"term": "a", field: value}), 403, "permissions")


def test_groups_are_not_offered(crew: Crew) -> None:
    assert crew.ann.call("GET", "/users?in_group=x").status_code == 501
    assert crew.ann.call("POST", "/users/search", {"term": "a", "in_group_id": "x"}).status_code == 501


# Searching


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("{p}", "abcd"),
        ("{p}a", "a"),
        ("@{p}b", "b"),
        ("{P}B", "b"),
        ("nickcat {p}", "c"),
        ("Ää{P}", "abcd"),
        ("Ää{p} bo", "b"),
        ("bob Ää{p}", "b"),
        ("{p} nothing", ""),
        ("%{p}", ""),
        ("*", ""),
        ("_{p}", ""),
        ("\\", ""),
        ("'", ""),
    ],
)
def test_each_word_begins_a_name(crew: Crew, term: str, expected: str) -> None:
    wanted = term.format(p=crew.prefix, P=crew.prefix.upper())
    assert _names(crew, crew.dan.post("/users/search", {"term": wanted})) == expected


def test_letters_of_other_alphabets_have_cases_where_the_database_knows_them(node: Node, crew: Crew) -> None:
    knows = bool(node.sql("SELECT CASE WHEN lower('Ä') = 'ä' THEN 1 ELSE 0 END")[0][0])
    assert _names(crew, crew.dan.post("/users/search", {"term": f"ää{crew.prefix}"})) == ("abcd" if knows else "")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"team_id": "{team}"}, "abc"),
        ({"not_in_team_id": "{team}"}, "d"),
        ({"in_channel_id": "{channel}"}, "ab"),
        ({"team_id": "{team}", "not_in_channel_id": "{channel}"}, "c"),
        ({"team_id": "{team}", "team_roles": ["team_admin"]}, "a"),
        ({"in_channel_id": "{channel}", "channel_roles": ["channel_user"]}, "b"),
        ({"roles": ["system_user"]}, "abcd"),
        ({"role": "system_admin"}, ""),
        ({"without_team": True}, "d"),
        ({"limit": 2}, "ab"),
    ],
)
def test_a_search_is_narrowed(crew: Crew, more: dict[str, Any], expected: str) -> None:
    ids = {"{team}": crew.team["id"], "{channel}": crew.channel["id"]}
    body = {key: ids.get(value, value) if isinstance(value, str) else value for key, value in more.items()}
    assert _names(crew, crew.ann.post("/users/search", {"term": crew.prefix, **body})) == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"term": ""},
        {"term": "a", "limit": -1},
        {"term": "a", "limit": 1001},
        {"term": "a", "not_in_channel_id": NOBODYS_ID},
        {"term": "a", "role": "nobody"},
        {"term": "a", "roles": ["nobody"]},
    ],
)
def test_a_search_for_nothing_is_refused(crew: Crew, body: dict[str, Any]) -> None:
    refused(crew.ann.call("POST", "/users/search", body), 400, "body")


def test_what_is_private_is_not_found_by(own_admin: Rest, add: Add, configure: Configure) -> None:
    hidden, other = add(first_name=unique("First")), add()
    terms = [hidden.user["first_name"], hidden.user["email"]]

    def found(who: Rest) -> list[int]:
        return [len(who.post("/users/search", {"term": term})) for term in terms]

    email = f"/users/email/{hidden.user['email']}"
    complete = f"/users/autocomplete?name={hidden.user['first_name']}"
    assert found(other) == [1, 1]
    assert other.get(email)["id"] == hidden.id
    assert [one["id"] for one in other.get(complete)["users"]] == [hidden.id]
    configure({"PrivacySettings": {"ShowEmailAddress": False, "ShowFullName": False}})
    assert found(other) == [0, 0]
    assert found(own_admin) == [1, 1]
    assert other.get(complete)["users"] == []
    refused(other.call("GET", email), 403, "api.user.get_user_by_email.permissions.app_error")
    assert own_admin.get(email)["id"] == hidden.id


# Completing


def test_who_types_a_name_is_offered_members_first_and_others_of_the_team(crew: Crew) -> None:
    team, channel = crew.team["id"], crew.channel["id"]
    path = f"/users/autocomplete?in_team={team}&in_channel={channel}&limit=25"
    found = crew.ann.get(f"{path}&name={crew.prefix}")
    assert (_names(crew, found["users"]), _names(crew, found["out_of_channel"])) == ("ab", "c")
    everybody = crew.ann.get(f"{path}&name=")
    assert (_names(crew, everybody["users"]), _names(crew, everybody["out_of_channel"])) == ("ab", "c")
    assert crew.ann.get(f"{path}&name=%40{crew.prefix}bo")["users"][0]["id"] == crew.bob.id
    assert _names(crew, crew.ann.get(f"/users/autocomplete?name={crew.prefix}&limit=3")["users"]) == "abc"
    assert crew.dan.get(f"/users/autocomplete?name={crew.bob.user['email']}") == {"users": [], "out_of_channel": []}
    error = "api.user.autocomplete_users.missing_team_id.app_error"
    refused(crew.ann.call("GET", f"/users/autocomplete?in_channel={channel}&name=a"), 400, error)


# By what they are called


def test_users_by_name_by_address_and_whom_one_knows(crew: Crew) -> None:
    found = crew.dan.post("/users/usernames", [crew.name("bob").upper(), crew.name("ann"), "no-such-user"])
    assert _names(crew, found) == "ab"
    refused(crew.dan.call("POST", "/users/usernames", []), 400, "body")
    refused(crew.dan.call("POST", "/users/usernames", ["x"] * 1001), 400, "body")
    assert crew.dan.get(f"/users/email/{crew.bob.user['email'].upper()}")["id"] == crew.bob.id
    refused(crew.dan.call("GET", "/users/email/nobody@example.com"), 404, "app.user.missing_account.const")
    refused(crew.dan.call("GET", "/users/email/nobody"), 400, "url")
    assert set(crew.bob.get("/users/known")) >= {crew.ann.id, crew.cat.id}
    assert crew.dan.get("/users/known") == []


def test_members_of_group_channels_are_told_to_members(node: Node, crew: Crew) -> None:
    """Made by hand: no operation makes group channels here."""
    channel = new_channel(crew.ann, crew.team, crew.bob, kind="P")["id"]
    node.sql("UPDATE channels SET type = 'G', team_id = '' WHERE id = %s", channel)
    ids = [channel, crew.channel["id"], NOBODYS_ID, "x"]
    found = crew.ann.post("/users/group_channels", ids)
    assert {key: [one["id"] for one in users] for key, users in found.items()} == {channel: [crew.bob.id]}
    assert crew.cat.post("/users/group_channels", ids) == {}
    refused(crew.cat.call("POST", "/users/group_channels", []), 400, "body")


def test_administrators_count_users_of_a_kind(crew: Crew, admin: Rest) -> None:
    path = "/users/stats/filtered"

    def count(query: str) -> int:
        return int(admin.get(f"{path}?{query}")["total_users_count"])

    assert count(f"in_team={crew.team['id']}") == 3
    assert count(f"in_channel={crew.channel['id']}") == 2
    assert count(f"in_team={crew.team['id']}&team_roles=team_admin") == 1
    assert count("roles=system_admin") >= 1
    assert count("include_deleted=true") >= count("")
    refused(admin.call("GET", f"{path}?roles=nobody"), 400, "url")
    refused(crew.ann.call("GET", path), 403, "permissions")


# Guests


def test_guests_see_whom_they_share_a_channel_with(node: Node, crew: Crew) -> None:
    guest = new_user(node.url, crew.prefix + "gus")
    node.sql("UPDATE users SET roles = 'system_guest' WHERE id = %s", guest.id)
    try:
        refused(guest.call("GET", f"/users/{crew.bob.id}"), 403, "permissions")
        refused(guest.call("GET", f"/users/username/{crew.name('bob')}"), 403, "permissions")
        refused(guest.call("GET", "/users/username/no-such-user"), 403, "permissions")
        refused(guest.call("GET", f"/users/email/{crew.bob.user['email']}"), 403, "permissions")
        refused(guest.call("GET", "/users/email/nobody@example.com"), 403, "permissions")
        refused(guest.call("GET", f"/users/{crew.bob.id}/image"), 403, "permissions")
        assert guest.get(f"/users/{guest.id}")["id"] == guest.id
        assert [one["id"] for one in guest.get("/users")] == [guest.id]
        assert guest.post("/users/search", {"term": crew.prefix + "b"}) == []
        node.sql(  # without default channels, where guests are in none
            "INSERT INTO team_members (team_id, user_id, create_at, scheme_user, scheme_guest)"
            " VALUES (%s, %s, 1, FALSE, TRUE)",
            crew.team["id"],
            guest.id,
        )
        crew.ann.post(f"/channels/{crew.channel['id']}/members", {"user_id": guest.id})
        members = crew.ann.get(f"/channels/{crew.channel['id']}/members")
        member = next(one for one in members if one["user_id"] == guest.id)
        assert (member["scheme_guest"], member["scheme_user"], member["roles"]) == (True, False, "channel_guest")
        assert [one["name"] for one in guest.get(f"/users/me/teams/{crew.team['id']}/channels")] == [
            crew.channel["name"]
        ]
        assert guest.get(f"/users/{crew.bob.id}")["id"] == crew.bob.id
        assert guest.get(f"/users/username/{crew.name('bob')}")["id"] == crew.bob.id
        assert _names(crew, guest.get(f"/users?in_team={crew.team['id']}")) == "abg"
        assert _names(crew, guest.post("/users/search", {"term": crew.prefix})) == "abg"
        assert _names(crew, guest.post("/users/ids", [crew.ann.id, crew.cat.id])) == "a"
        assert _names(crew, guest.post("/users/usernames", [crew.name("bob"), crew.name("dan")])) == "b"
    finally:
        crew.ann.call("DELETE", f"/teams/{crew.team['id']}/members/{guest.id}")
        guest.close()
