"""What each viewer sees of each entity is the same through every door: answers, events, and events that are told again."""

import json
from itertools import product
from typing import Any

import pytest

from tests.api.conftest import Add, Configure
from tests.api.operations import ALL, EVERY, example, send
from tests.api.rights import answers
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
from tests.rig.rest import Rest, unique
from tests.rig.socket import Socket

Entity = dict[str, Any]
PRIVACIES = list(product([True, False], repeat=2))


def _told(socket: Socket, name: str, **data: Any) -> Entity:
    """The last event of this name."""
    socket.expect(name, **data)
    found: Entity = socket.named(name, **data)[-1]["data"]
    return found


def _of_id(found: list[Entity], wanted: str) -> Entity:
    (one,) = [entity for entity in found if entity["id"] == wanted]
    return one


@pytest.fixture
def people(own_node: Node, own_admin: Rest, add: Add, configure: Configure) -> dict[str, Rest]:
    """Who looks, by kind, and `self`, who is looked at; each has names and settings that say whose they are."""
    del own_node, configure  # set up before the sockets are opened
    made = {
        kind: add(first_name=f"first-{kind}", last_name=f"last-{kind}", notify_props={"email": f"notify-{kind}"})
        for kind in ("self", "other", "stranger")
    }
    return made | {"admin": own_admin}


@pytest.mark.parametrize(("email", "full_name"), PRIVACIES)
def test_an_account_is_the_same_through_every_door(
    people: dict[str, Rest], configure: Configure, email: bool, full_name: bool
) -> None:
    """By id, by ids, by name, in a list, in `user_updated`: to themselves, others and administrators."""
    configure({"PrivacySettings": {"ShowEmailAddress": email, "ShowFullName": full_name}})
    her = people["self"]
    sockets = {kind: Socket.open(who) for kind, who in people.items()}
    roles = "system_user system_post_all"
    assert people["admin"].call("PUT", f"/users/{her.id}/roles", {"roles": roles}).ok
    for kind, who in people.items():
        seen = who.get(f"/users/{her.id}")
        told = sockets[kind].expect("user_updated")["data"]["user"]
        assert told == seen, kind
        assert _of_id(who.post("/users/ids", [her.id]), her.id) == seen, kind
        assert who.get(f"/users/username/{her.user['username']}") == seen, kind
        whole = kind in ("self", "admin")
        assert (seen["email"] != "") == (whole or email), kind
        assert (seen["first_name"], seen["last_name"]) == (
            ("first-self", "last-self") if whole or full_name else ("", "")
        ), kind
        assert ("notify_props" in seen) == whole, kind
    for socket in sockets.values():
        socket.close()


def test_a_membership_is_the_same_through_every_door(people: dict[str, Rest]) -> None:
    her, other, admin = people["self"], people["other"], people["admin"]
    team = new_team(other, her)
    channel = new_channel(other, team, her)
    her.post("/channels/members/me/view", {"channel_id": channel["id"]})
    socket = Socket.open(her)
    path = f"/channels/{channel['id']}/members"
    assert other.call("PUT", f"{path}/{her.id}/roles", {"roles": "channel_user channel_admin"}).ok
    told = json.loads(_told(socket, "channel_member_updated")["channelMember"])
    seen: dict[str, Entity] = {}
    for kind, who in (("self", her), ("other", other), ("admin", admin)):
        (listed,) = [one for one in who.get(path) if one["user_id"] == her.id]
        added_again = who.post(path, {"user_id": her.id})
        mine = who.get(f"/users/{her.id}/teams/{team['id']}/channels/members") if kind != "other" else [listed]
        (in_mine,) = [one for one in mine if one["channel_id"] == channel["id"]]
        assert listed == added_again == in_mine, kind
        seen[kind] = listed
    assert told == seen["self"]
    assert seen["self"]["last_viewed_at"] > 0
    assert seen["self"]["notify_props"] != {}
    assert seen["other"] == seen["admin"]
    hidden = {name for name, value in seen["other"].items() if value != seen["self"][name]}
    assert hidden == {
        "last_viewed_at", "last_update_at", "msg_count", "msg_count_root", "mention_count", "mention_count_root",
        "notify_props",
    }  # fmt: skip
    assert (seen["other"]["last_viewed_at"], seen["other"]["notify_props"]) == (-1, {})
    socket.close()


def test_a_post_is_the_same_through_every_door(people: dict[str, Rest]) -> None:
    """Posted, edited, deleted: as each of the channel is told, live and again, and as they are answered."""
    her, other, admin = people["self"], people["other"], people["admin"]
    team = new_team(other, her, admin)
    channel = new_channel(other, team, her, admin)
    members = {"self": her, "other": other, "admin": admin}
    sockets = {kind: Socket.open(who) for kind, who in members.items()}
    buttons = {"attachments": [{"actions": [{"name": "yes", "integration": {"url": "s3cret"}}]}], "from_bot": "true"}

    def answers(who: Rest, post_id: str) -> list[Entity]:
        lists = [who.get(f"/channels/{channel['id']}/posts{query}") for query in ("", "?since=1", "?per_page=5")]
        return [who.get(f"/posts/{post_id}"), *[one["posts"][post_id] for one in lists]]

    message = unique("hello")
    post = her.write(channel["id"], message, props=buttons)
    for kind, who in members.items():
        assert [sockets[kind].expect_post(message), *answers(who, post["id"])] == [post] * 5, kind
        assert set(post["props"]) == {"attachments"}
        assert set(post["props"]["attachments"][0]["actions"][0]) == {"name", "id"}
    edited = her.call("PUT", f"/posts/{post['id']}/patch", {"message": "edited"}).json()
    for kind, who in members.items():
        told = json.loads(_told(sockets[kind], "post_edited")["post"])
        assert [told, *answers(who, post["id"])] == [edited] * 5, kind
    her.call("DELETE", f"/posts/{post['id']}")
    for kind, who in members.items():
        assert json.loads(_told(sockets[kind], "post_deleted")["post"]) == edited, "as all of them saw it until then"
        gone = who.get(f"/channels/{channel['id']}/posts?since=1")["posts"][post["id"]]
        assert (gone["message"], gone["props"], gone["delete_at"] > 0) == ("", {}, True), kind
        again = _again(who, channel["id"], sockets[kind].expect("posted")["channel_seq"])
        assert again == [("post_deleted", gone)], kind
        sockets[kind].close()


def _again(who: Rest, channel_id: str, at: int) -> list[tuple[str, Entity]]:
    """The posts of the events beyond a number of the channel, as they are told to who comes back."""
    first = _challenge(who, {"db_gen": "", "channels": {}})
    generation = first.expect("hello")["data"]["db_gen"]
    first.close()
    socket = _challenge(who, {"db_gen": generation, "channels": {channel_id: at}})
    assert socket.expect("hello")["data"]["refetch"] == []
    socket.expect("post_deleted")
    events = [(event["event"], json.loads(event["data"]["post"])) for event in socket.events if "post" in event["data"]]
    socket.close()
    return events


def _challenge(who: Rest, positions: object) -> Socket:
    socket = Socket.open_bare(who.url)
    assert socket.ask("authentication_challenge", {"token": who.token, "positions": positions})["status"] == "OK"
    return socket


@drivers("postgres", "mysql")
def test_no_operation_tells_another_what_is_private(
    people: dict[str, Rest], own_admin: Rest, configure: Configure
) -> None:
    """Every operation, also one that is added later, by others than whom it is about."""
    her, other, stranger = people["self"], people["other"], people["stranger"]
    team = new_team(her, other)
    private = new_channel(her, team, other, kind="P")
    button = {"attachments": [{"actions": [{"name": "yes", "integration": {"url": "notify-nobody"}}]}]}
    world = World(
        nobody=Rest(her.url), stranger=stranger, teammate=other, member=her, team_admin=her, system_admin=own_admin,
        team=team, public=new_channel(her, team, other), private=private,
        post=her.write(private["id"], "a post", props=button),
    )  # fmt: skip
    configure({"PrivacySettings": {"ShowEmailAddress": False, "ShowFullName": False}})
    secrets = ("first-self", "last-self", "notify-self", "notify-nobody", her.user["email"])
    said = []
    for operation in ALL:
        for who in (other, stranger):
            if operation.path.endswith(("/logout", "/login")):
                continue
            good = example(operation, world, who)
            text = send(who, operation, good.parameters, query=good.query, json=good.body).text
            said += [f"{operation.title}: {secret}" for secret in secrets if secret in text]
    assert not said, "\n".join(said)
    assert set(ALL) < set(EVERY)


@drivers("postgres", "mysql")
def test_who_may_not_read_any_more_learns_from_no_door_that_nothing_has_changed(
    node: Node, ann: Rest, bob: Rest
) -> None:
    """Every operation that reads something of a channel or a team, with the tag that it gave while it was allowed."""
    team = new_team(ann, bob)
    private = new_channel(ann, team, bob, kind="P")
    world = World(
        nobody=Rest(node.url), stranger=bob, teammate=bob, member=ann, team_admin=ann, system_admin=ann,
        team=team, public=private, private=private, post=ann.write(private["id"], "a post"),
    )  # fmt: skip
    reads = [
        one for one in ALL
        if one.method == "GET" and {"channel_id", "post_id", "team_id"} & set(one.parameters)
    ]  # fmt: skip
    tags = {}
    for operation in reads:
        response = send(bob, operation, example(operation, world, bob).parameters)
        assert response.status_code == answers(operation)["member"], operation.title
        tags[operation.title] = response.headers.get("ETag", "")
    assert sum(map(bool, tags.values())) >= 4
    assert ann.call("DELETE", f"/teams/{team['id']}/members/{bob.id}").ok
    for operation in reads:
        parameters = example(operation, world, bob).parameters
        response = send(bob, operation, parameters, headers={"If-None-Match": tags[operation.title]})
        assert response.status_code in (403, 404), operation.title
        assert "a post" not in response.text
