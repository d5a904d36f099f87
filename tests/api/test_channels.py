"""Channels and their members: creating, joining, direct channels, lists, viewing."""

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
from tests.rig.people import new_channel, new_team, new_user, sign_up, town_square
from tests.rig.rest import Rest, unique
from tests.rig.socket import Socket

pytestmark = drivers("all")

CHANNEL = {
    "id": str,
    "create_at": int,
    "update_at": int,
    "delete_at": int,
    "team_id": str,
    "type": str,
    "display_name": str,
    "name": str,
    "header": str,
    "purpose": str,
    "last_post_at": int,
    "total_msg_count": int,
    "total_msg_count_root": int,
    "extra_update_at": int,
    "creator_id": str,
    "scheme_id": type(None),
    "props": type(None),
    "group_constrained": type(None),
    "shared": type(None),
    "policy_id": type(None),
}
MEMBER = {
    "channel_id": str,
    "user_id": str,
    "roles": str,
    "last_viewed_at": int,
    "msg_count": int,
    "mention_count": int,
    "mention_count_root": int,
    "msg_count_root": int,
    "notify_props": dict,
    "last_update_at": int,
    "scheme_guest": bool,
    "scheme_user": bool,
    "scheme_admin": bool,
    "explicit_roles": str,
}


def _types(value: dict[str, Any]) -> dict[str, type]:
    return {name: type(one) for name, one in value.items()}


def _create(who: Rest, team: dict[str, Any], **fields: Any) -> requests.Response:
    body = {"team_id": team["id"], "name": unique("channel"), "display_name": "A channel", "type": "O", **fields}
    return who.call("POST", "/channels", body)


def _add(who: Rest, channel: dict[str, Any], user_id: str) -> requests.Response:
    return who.call("POST", f"/channels/{channel['id']}/members", {"user_id": user_id})


def _archive(node: Node, channel: dict[str, Any], at: int = 1) -> None:
    node.sql("UPDATE channels SET delete_at = %s WHERE id = %s", at, channel["id"])


# Creating


@pytest.mark.parametrize("kind", ["O", "P"])
def test_a_new_channel_is_given_whole(world: World, kind: str) -> None:
    fields = {"type": kind, "header": "Header", "purpose": "Purpose", "display_name": "  A channel "}
    response = _create(world.member, world.team, **fields)
    assert response.status_code == 201
    channel = response.json()
    assert _types(channel) == CHANNEL
    assert is_id(channel["id"])
    assert channel["team_id"] == world.team["id"]
    assert is_time_ms(channel["create_at"])
    assert is_time_ms(channel["last_post_at"])
    assert (channel["type"], channel["display_name"]) == (kind, "A channel")
    assert (channel["header"], channel["purpose"]) == ("Header", "Purpose")
    assert (channel["creator_id"], channel["delete_at"], channel["total_msg_count"]) == (world.member.id, 0, 0)


def test_the_creator_administers_the_channel(world: World) -> None:
    channel = _create(world.member, world.team).json()
    [member] = world.member.get(f"/channels/{channel['id']}/members")
    assert _types(member) == MEMBER
    assert (member["user_id"], member["roles"]) == (world.member.id, "channel_user channel_admin")


def test_a_new_channel_is_told_to_its_creator_and_says_who_joined(ann: Rest) -> None:
    team = new_team(ann)
    socket = Socket.open(ann)
    channel = _create(ann, team).json()
    socket.expect("channel_created", channel_id=channel["id"], team_id=team["id"])
    post = socket.expect_post(f"{ann.user['username']} joined the channel.")
    assert (post["type"], post["channel_id"]) == ("system_join_channel", channel["id"])
    socket.close()


def test_what_the_creator_may_not_choose_is_ignored(world: World) -> None:
    chosen = {"id": "a" * 26, "creator_id": "b" * 26, "create_at": 5, "delete_at": 5, "total_msg_count": 5}
    channel = _create(world.member, world.team, **chosen).json()
    assert not {name for name, value in chosen.items() if channel[name] == value}


@pytest.mark.parametrize(
    "name", ["", "a", "A channel", "-abc", "_abc", "abc-", "abc_", "a.b", "äöü", "a/b", "a" * 65, "Abc"]
)
def test_a_bad_name_is_refused(world: World, name: str) -> None:
    refused(_create(world.member, world.team, name=name), 400, "model.channel.is_valid.2_or_more.app_error")


def test_a_name_like_that_of_a_direct_channel_is_refused(world: World) -> None:
    for name in (f"{world.member.id}__{world.teammate.id}", "0123456789abcdef" * 2 + "01234567", "a" * 40):
        refused(_create(world.member, world.team, name=name), 400, "model.channel.is_valid.name.app_error")


@pytest.mark.parametrize("name", ["ab", "1", "a-b_c", "a__b", "a" * 64, "g" * 40, "a" * 39, "a" * 41])
def test_a_good_name_is_taken(ann: Rest, name: str) -> None:
    wanted = name + "2" * (len(name) < 2)
    assert _create(ann, new_team(ann), name=wanted).json()["name"] == wanted


@pytest.mark.parametrize("kind", ["D", "G"])
def test_direct_channels_are_not_made_here(world: World, kind: str) -> None:
    refused(_create(world.member, world.team, type=kind), 400, "api.channel.create_channel.direct_channel.app_error")


@pytest.mark.parametrize("kind", ["", "X", "o", "OP"])
def test_a_bad_type_is_refused(world: World, kind: str) -> None:
    refused(_create(world.member, world.team, type=kind), 400, "model.channel.is_valid.type.app_error")


@pytest.mark.parametrize(("field", "limit"), [("display_name", 64), ("header", 1024), ("purpose", 250)])
def test_a_text_may_be_as_long_as_its_limit_in_characters(world: World, field: str, limit: int) -> None:
    text = "\U0001f600" * limit
    assert _create(world.member, world.team, **{field: text}).json()[field] == text
    error_id = f"model.channel.is_valid.{field}.app_error"
    refused(_create(world.member, world.team, **{field: text + "a"}), 400, error_id)


@pytest.mark.parametrize("name", ["", "   "])
def test_a_channel_needs_a_display_name(world: World, name: str) -> None:
    error_id = "model.channel.is_valid.display_name.app_error"
    refused(_create(world.member, world.team, display_name=name), 400, error_id)


@pytest.mark.parametrize("team_id", ["", "x", "me"])
def test_a_channel_needs_a_team(world: World, team_id: str) -> None:
    refused(_create(world.member, {"id": team_id}), 400, "body")


def test_a_channel_in_a_team_that_does_not_exist_is_refused(world: World) -> None:
    refused(_create(world.member, {"id": new_id()}), 403)
    refused(_create(world.system_admin, {"id": new_id()}), 404)


def test_a_name_is_given_once_in_a_team(ann: Rest) -> None:
    team, other = new_team(ann), new_team(ann)
    name = new_channel(ann, team)["name"]
    refused(_create(ann, team, name=name), 400, "store.sql_channel.save_channel.exists.app_error")
    assert _create(ann, other, name=name).status_code == 201


def test_of_many_channels_at_once_with_one_name_one_is_made(node: Node, ann: Rest) -> None:
    team, name = new_team(ann), unique("channel")
    together = threading.Barrier(8)
    people = [Rest(node.url).log_in(ann.user["username"]) for _ in range(8)]

    def create(who: Rest) -> int:
        together.wait()
        return _create(who, team, name=name).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, people)) == [201] + [400] * 7
    for rest in people:
        rest.close()


def test_a_team_has_room_for_so_many_channels(own_admin: Rest, add: Add, configure: Configure) -> None:
    ann = add()
    team = new_team(ann)
    configure({"TeamSettings": {"MaxChannelsPerTeam": 3}})
    assert _create(ann, team).status_code == 201
    error = refused(_create(ann, team), 400, "api.channel.create_channel.max_channel_limit.app_error")
    assert "3" in error["message"]


# Reading


def test_members_read_the_channel(world: World) -> None:
    for channel in (world.private, world.public):
        seen = world.member.get(f"/channels/{channel['id']}")
        assert _types(seen) == CHANNEL
        assert seen["id"] == channel["id"]


def test_a_public_channel_is_read_by_the_whole_team(world: World) -> None:
    assert world.teammate.get(f"/channels/{world.public['id']}")["name"] == world.public["name"]
    refused(world.stranger.call("GET", f"/channels/{world.public['id']}"), 403, "permissions")


def test_a_private_channel_is_read_by_its_members_only(world: World) -> None:
    for who in (world.teammate, world.stranger):
        refused(who.call("GET", f"/channels/{world.private['id']}"), 403, "permissions")


def test_an_unknown_channel_is_404(world: World) -> None:
    refused(world.member.call("GET", f"/channels/{new_id()}"), 404, "app.channel.get.existing.app_error")


def test_posts_move_the_counters(ann: Rest) -> None:
    channel = new_channel(ann, new_team(ann))
    root = ann.write(channel["id"], "root")
    reply = ann.write(channel["id"], "reply", root_id=root["id"])
    seen = ann.get(f"/channels/{channel['id']}")
    assert (seen["total_msg_count"], seen["total_msg_count_root"]) == (2, 1)
    assert seen["last_post_at"] == reply["create_at"]


@pytest.mark.parametrize("change", [str, str.upper])
def test_a_channel_by_name(world: World, change: Any) -> None:
    path = f"/teams/{world.team['id']}/channels/name/"
    assert world.member.get(path + change(world.private["name"]))["id"] == world.private["id"]
    assert world.teammate.get(path + change(world.public["name"]))["id"] == world.public["id"]


def test_a_private_channel_of_others_is_as_if_it_were_not_there(world: World) -> None:
    path = f"/teams/{world.team['id']}/channels/name/"
    hidden = refused(world.teammate.call("GET", path + world.private["name"]), 404)
    missing = refused(world.teammate.call("GET", path + "no-such-channel"), 404)
    assert hidden["id"] == missing["id"] == "app.channel.get_by_name.missing.app_error"
    assert hidden["message"] == missing["message"]


def test_a_public_channel_of_a_team_of_others_is_closed(world: World) -> None:
    path = f"/teams/{world.team['id']}/channels/name/{world.public['name']}"
    refused(world.stranger.call("GET", path), 403, "permissions")


def test_a_name_counts_in_its_team_only(ann: Rest) -> None:
    channel = new_channel(ann, new_team(ann))
    refused(ann.call("GET", f"/teams/{new_team(ann)['id']}/channels/name/{channel['name']}"), 404)


def test_an_archived_channel_is_found_by_name_when_asked_for(node: Node, ann: Rest) -> None:
    team = new_team(ann)
    channel = new_channel(ann, team)
    _archive(node, channel)
    path = f"/teams/{team['id']}/channels/name/{channel['name']}"
    refused(ann.call("GET", path), 404)
    assert ann.get(f"{path}?include_deleted=true")["id"] == channel["id"]


# Members


def test_a_member_adds_another_user(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), kind="P")
    response = _add(ann, channel, bob.id)
    assert response.status_code == 201
    member = response.json()
    assert _types(member) == MEMBER
    assert (member["channel_id"], member["user_id"]) == (channel["id"], bob.id)
    assert (member["roles"], member["explicit_roles"]) == ("channel_user", "")
    assert (member["scheme_user"], member["scheme_admin"], member["scheme_guest"]) == (True, False, False)
    assert (member["notify_props"], member["last_viewed_at"], member["last_update_at"]) == ({}, -1, -1), "bob's own"
    own = _member(bob, channel)
    assert own["notify_props"]["mark_unread"] == "all"
    assert is_time_ms(own["last_viewed_at"])
    assert is_time_ms(own["last_update_at"])


def test_a_new_member_has_read_all_that_was_there(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team)
    ann.write(channel["id"], f"hello @{bob.user['username']}")
    _add(ann, channel, bob.id)
    channels = {one["id"]: one for one in bob.get(f"/users/me/teams/{team['id']}/channels")}
    members = {one["channel_id"]: one for one in bob.get(f"/users/me/teams/{team['id']}/channels/members")}
    assert members[channel["id"]]["msg_count"] == channels[channel["id"]]["total_msg_count"] == 1
    assert members[channel["id"]]["mention_count"] == 0


def test_adding_is_told_to_the_channel(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob))
    anns, bobs = Socket.open(ann), Socket.open(bob)
    _add(ann, channel, bob.id)
    for socket in (anns, bobs):
        assert socket.expect("user_added", user_id=bob.id)["broadcast"]["channel_id"] == channel["id"]
    post = anns.expect_post(f"{bob.user['username']} added to the channel by {ann.user['username']}.")
    assert post["type"] == "system_add_to_channel"
    anns.close()
    bobs.close()


def test_the_team_joins_public_channels_alone(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    public, private = new_channel(ann, team), new_channel(ann, team, kind="P")
    assert _add(bob, public, bob.id).status_code == 201
    refused(_add(bob, private, bob.id), 403, "permissions")
    newest = bob.get(f"/channels/{public['id']}/posts")
    assert newest["posts"][newest["order"][0]]["message"] == f"{bob.user['username']} joined the channel."


@pytest.mark.parametrize("role", ["stranger", "teammate"])
def test_who_is_not_in_a_channel_adds_nobody(world: World, role: str) -> None:
    for channel in (world.public, world.private):
        refused(_add(world.who(role), channel, world.team_admin.id), 403, "permissions")


def test_a_stranger_joins_no_channel_of_the_team(world: World) -> None:
    refused(_add(world.stranger, world.public, world.stranger.id), 403, "permissions")


def test_who_never_was_in_the_team_is_not_added(world: World) -> None:
    refused(_add(world.member, world.public, world.stranger.id), 404, "app.team.get_member.missing.app_error")


def test_who_left_the_team_is_not_added(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team)
    node.sql("UPDATE team_members SET delete_at = 1 WHERE user_id = %s", bob.id)
    refused(_add(ann, channel, bob.id), 400, "api.channel.add_user.to.channel.failed.deleted.app_error")


def test_joining_twice_changes_nothing(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    before = ann.get(f"/channels/{channel['id']}/posts")
    assert _add(ann, channel, bob.id).json()["user_id"] == bob.id
    assert _add(bob, channel, bob.id).json() == _member(bob, channel)
    assert ann.get(f"/channels/{channel['id']}/posts") == before


def test_many_joins_at_once_make_one_member(node: Node, ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob))
    together = threading.Barrier(8)
    people = [Rest(node.url).log_in(bob.user["username"]) for _ in range(8)]

    def join(who: Rest) -> int:
        together.wait()
        return _add(who, channel, bob.id).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(join, people)) == {201}
    posts = ann.get(f"/channels/{channel['id']}/posts")["posts"].values()
    assert len([post for post in posts if post["user_id"] == bob.id]) == 1
    for rest in people:
        rest.close()


def test_a_team_administrator_who_joins_a_default_channel_administers_it(ann: Rest) -> None:
    team = new_team(ann)
    [member] = ann.get(f"/channels/{town_square(ann, team)['id']}/members")
    assert member["roles"] == "channel_user channel_admin"


def test_nobody_is_added_to_a_direct_channel(ann: Rest, bob: Rest, node: Node) -> None:
    channel = ann.post("/channels/direct", [ann.id, bob.id])
    third = sign_up(node.url)["id"]
    refused(_add(ann, channel, third), 400, "api.channel.add_user_to_channel.type.app_error")


def test_nobody_is_added_to_an_archived_channel(node: Node, ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob))
    _archive(node, channel)
    refused(_add(ann, channel, bob.id), 400, "api.channel.add_user_to_channel.deleted.app_error")
    refused(_add(bob, channel, bob.id), 400, "api.channel.add_user_to_channel.deleted.app_error")


@pytest.mark.parametrize("user_id", ["", "me", "x"])
def test_a_member_is_named_by_id(world: World, user_id: str) -> None:
    refused(_add(world.member, world.private, user_id), 400, "body")


def test_an_unknown_user_or_channel_is_404(world: World) -> None:
    refused(_add(world.member, world.private, new_id()), 404, "app.user.missing_account.const")
    missing = {"id": new_id()}
    refused(_add(world.member, missing, world.teammate.id), 404, "app.channel.get.existing.app_error")


def test_members_are_listed_by_page(node: Node, ann: Rest) -> None:
    people = [new_user(node.url) for _ in range(4)]
    channel = new_channel(ann, new_team(ann, *people), *people)
    path = f"/channels/{channel['id']}/members"
    everybody = ann.get(path)
    assert {member["user_id"] for member in everybody} == {ann.id, *(person.id for person in people)}
    assert ann.get(f"{path}?page=0&per_page=2") == everybody[:2]
    assert ann.get(f"{path}?page=1&per_page=2") == everybody[2:4]
    assert ann.get(f"{path}?page=2&per_page=2") == everybody[4:]
    assert ann.get(f"{path}?page=3&per_page=2") == []
    assert ann.get(f"{path}?per_page=0") == []
    for person in people:
        person.close()


# Direct channels


def test_a_direct_channel_is_named_after_its_two(ann: Rest, bob: Rest) -> None:
    response = ann.call("POST", "/channels/direct", [bob.id, ann.id])
    assert response.status_code == 201
    channel = response.json()
    assert _types(channel) == CHANNEL
    assert channel["name"] == "__".join(sorted([ann.id, bob.id]))
    assert (channel["type"], channel["team_id"], channel["display_name"]) == ("D", "", "")
    assert channel["creator_id"] == ann.id


def test_a_direct_channel_is_the_same_for_both_in_any_order(ann: Rest, bob: Rest) -> None:
    made = ann.post("/channels/direct", [ann.id, bob.id])
    assert ann.post("/channels/direct", [bob.id, ann.id]) == made
    assert bob.post("/channels/direct", [bob.id, ann.id]) == made


def test_a_direct_channel_is_told_to_both_once(ann: Rest, bob: Rest) -> None:
    anns, bobs = Socket.open(ann), Socket.open(bob)
    channel = ann.post("/channels/direct", [ann.id, bob.id])
    bob.post("/channels/direct", [ann.id, bob.id])
    ann.write(channel["id"], "hello")
    for socket in (anns, bobs):
        socket.expect_post("hello")
        [event] = socket.named("direct_added")
        assert event["data"] == {"creator_id": ann.id, "teammate_id": bob.id}
        socket.close()


def test_both_are_members_of_a_direct_channel(ann: Rest, bob: Rest) -> None:
    channel = ann.post("/channels/direct", [ann.id, bob.id])
    members = bob.get(f"/channels/{channel['id']}/members")
    assert {member["user_id"] for member in members} == {ann.id, bob.id}
    assert {member["roles"] for member in members} == {"channel_user"}


def test_a_user_may_talk_to_themselves(ann: Rest) -> None:
    channel = ann.post("/channels/direct", [ann.id, ann.id])
    assert channel["name"] == f"{ann.id}__{ann.id}"
    assert len(ann.get(f"/channels/{channel['id']}/members")) == 1
    assert ann.write(channel["id"], "note to self")


def test_a_direct_channel_opened_by_both_at_once_is_one(node: Node, ann: Rest, bob: Rest) -> None:
    together = threading.Barrier(8)
    people = [Rest(node.url).log_in(who.user["username"]) for who in [ann, bob] * 4]

    def open_it(who: Rest) -> requests.Response:
        together.wait()
        return who.call("POST", "/channels/direct", [ann.id, bob.id])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(open_it, people))
    assert {response.status_code for response in answers} == {201}
    assert len({response.json()["id"] for response in answers}) == 1
    assert len(ann.get(f"/channels/{answers[0].json()['id']}/members")) == 2
    for rest in people:
        rest.close()


def test_a_direct_channel_of_two_others_is_for_administrators(world: World) -> None:
    ids = [world.member.id, world.teammate.id]
    refused(world.stranger.call("POST", "/channels/direct", ids), 403, "permissions")
    assert world.system_admin.post("/channels/direct", ids)["type"] == "D"


def test_a_direct_channel_needs_two_ids(world: World) -> None:
    own = world.member.id
    for ids in ([], [own], [own, own, own], [own, "x"], [own, ""], [own, "me"]):
        refused(world.member.call("POST", "/channels/direct", ids), 400, "body")


def test_a_direct_channel_with_an_unknown_user_is_refused(world: World) -> None:
    response = world.member.call("POST", "/channels/direct", [world.member.id, new_id()])
    refused(response, 400, "api.channel.create_direct_channel.invalid_user.app_error")


def test_a_direct_channel_is_closed_to_others(world: World) -> None:
    channel = world.member.post("/channels/direct", [world.member.id, world.teammate.id])
    for path in ("", "/posts", "/members"):
        refused(world.stranger.call("GET", f"/channels/{channel['id']}{path}"), 403, "permissions")


# The channels of a user


def test_the_channels_of_a_user_are_those_of_the_team_and_their_direct_ones(ann: Rest, bob: Rest) -> None:
    team, other = new_team(ann, bob), new_team(bob)
    own = new_channel(bob, team)
    new_channel(ann, team)
    new_channel(bob, other)
    direct = ann.post("/channels/direct", [ann.id, bob.id])
    channels = bob.get(f"/users/me/teams/{team['id']}/channels")
    assert {channel["name"] for channel in channels} == {"town-square", "off-topic", own["name"], direct["name"]}
    assert all(_types(channel) == CHANNEL for channel in channels)
    assert channels == bob.get(f"/users/{bob.id}/teams/{team['id']}/channels")


def test_the_memberships_of_a_user_belong_to_those_channels(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    ann.post("/channels/direct", [ann.id, bob.id])
    channels = bob.get(f"/users/me/teams/{team['id']}/channels")
    members = bob.get(f"/users/me/teams/{team['id']}/channels/members")
    assert {member["channel_id"] for member in members} == {channel["id"] for channel in channels}
    assert {member["user_id"] for member in members} == {bob.id}
    assert all(_types(member) == MEMBER for member in members)


def test_archived_channels_are_listed_when_asked_for_since_a_time(node: Node, ann: Rest) -> None:
    team = new_team(ann)
    old, new = new_channel(ann, team), new_channel(ann, team)
    _archive(node, old, 1000)
    _archive(node, new, 2000)
    path = f"/users/me/teams/{team['id']}/channels"

    def archived(query: str) -> set[str]:
        return {channel["id"] for channel in ann.get(path + query)} & {old["id"], new["id"]}

    assert archived("") == set()
    assert archived("?include_deleted=false&last_delete_at=1") == set()
    assert archived("?include_deleted=true") == {old["id"], new["id"]}
    assert archived("?include_deleted=true&last_delete_at=2000") == {new["id"]}
    assert archived("?include_deleted=true&last_delete_at=2001") == set()


def test_a_user_without_channels_gets_404(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    node.sql("DELETE FROM channel_members WHERE user_id = %s", bob.id)
    error_id = "app.channel.get_channels.not_found.app_error"
    refused(bob.call("GET", f"/users/me/teams/{team['id']}/channels"), 404, error_id)
    assert bob.get(f"/users/me/teams/{team['id']}/channels/members") == []


@pytest.mark.parametrize("what", ["channels", "channels/members"])
def test_the_channels_of_others_are_for_administrators(world: World, what: str) -> None:
    path = f"/users/{world.member.id}/teams/{world.team['id']}/{what}"
    for role in ("stranger", "teammate", "team_admin"):
        refused(world.who(role).call("GET", path), 403, "permissions")
    key = {"channels": "id", "channels/members": "channel_id"}[what]
    assert [one[key] for one in world.system_admin.get(path)] == [one[key] for one in world.member.get(path)]


@pytest.mark.parametrize("what", ["channels", "channels/members"])
def test_a_team_of_others_is_closed(world: World, what: str) -> None:
    refused(world.stranger.call("GET", f"/users/me/teams/{world.team['id']}/{what}"), 403, "permissions")


# Viewing


def _member(who: Rest, channel: dict[str, Any]) -> dict[str, Any]:
    found = who.get(f"/users/me/teams/{channel['team_id']}/channels/members")
    [member] = [one for one in found if one["channel_id"] == channel["id"]]
    return dict(member)


def test_viewing_reads_all_there_is(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    post = ann.write(channel["id"], f"hello @{bob.user['username']}")
    before = _member(bob, channel)
    assert (before["msg_count"], before["mention_count"], before["mention_count_root"]) == (0, 1, 1)
    times = bob.post("/channels/members/me/view", {"channel_id": channel["id"]})
    assert times == {"status": "OK", "last_viewed_at_times": {channel["id"]: post["create_at"]}}
    after = _member(bob, channel)
    assert (after["msg_count"], after["msg_count_root"]) == (1, 1)
    assert (after["mention_count"], after["mention_count_root"]) == (0, 0)
    assert after["last_viewed_at"] == post["create_at"]


def test_viewing_reads_the_channel_that_was_left_too(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    left, entered = new_channel(ann, team, bob), new_channel(ann, team, bob)
    for channel in (left, entered):
        ann.write(channel["id"], "hello")
    body = {"channel_id": entered["id"], "prev_channel_id": left["id"]}
    times = bob.post("/channels/members/me/view", body)["last_viewed_at_times"]
    assert set(times) == {left["id"], entered["id"]}
    assert [_member(bob, channel)["msg_count"] for channel in (left, entered)] == [1, 1]


def test_viewing_is_told_to_the_users_other_clients_only(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    anns, bobs = Socket.open(ann), Socket.open(bob)
    viewed = bob.post("/channels/members/me/view", {"channel_id": channel["id"]})
    times = viewed["last_viewed_at_times"]
    assert set(times) == {channel["id"]}
    assert bobs.expect("multiple_channels_viewed")["data"] == {"channel_times": times}
    bob.write(channel["id"], "done")
    anns.expect_post("done")
    assert not anns.named("multiple_channels_viewed")
    anns.close()
    bobs.close()


def test_writing_views_for_the_author(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    ann.write(channel["id"], "one")
    bob.write(channel["id"], "two")
    assert _member(bob, channel)["msg_count"] == 2
    assert _member(ann, channel)["msg_count"] == 1


@pytest.mark.parametrize("body", [{}, {"channel_id": ""}, {"channel_id": "", "prev_channel_id": ""}])
def test_losing_the_focus_views_nothing(world: World, body: dict[str, str]) -> None:
    assert world.member.post("/channels/members/me/view", body) == {"status": "OK", "last_viewed_at_times": {}}


def test_viewing_twice_at_once_does_no_harm(ann: Rest) -> None:
    channel = new_channel(ann, new_team(ann))
    body = {"channel_id": channel["id"], "prev_channel_id": channel["id"]}
    assert set(ann.post("/channels/members/me/view", body)["last_viewed_at_times"]) == {channel["id"]}


def test_a_channel_of_others_is_not_viewed(world: World) -> None:
    body = {"channel_id": world.private["id"], "prev_channel_id": new_id()}
    assert world.stranger.post("/channels/members/me/view", body)["last_viewed_at_times"] == {}


@pytest.mark.parametrize("field", ["channel_id", "prev_channel_id"])
def test_a_viewed_channel_is_named_by_id(world: World, field: str) -> None:
    refused(world.member.call("POST", "/channels/members/me/view", {field: "x"}), 400, "body")


def test_viewing_for_others_is_for_administrators(ann: Rest, bob: Rest, admin: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    ann.write(channel["id"], "hello")
    path, body = f"/channels/members/{bob.id}/view", {"channel_id": channel["id"]}
    refused(ann.call("POST", path, body), 403, "permissions")
    assert set(admin.post(path, body)["last_viewed_at_times"]) == {channel["id"]}
    assert _member(bob, channel)["msg_count"] == 1
