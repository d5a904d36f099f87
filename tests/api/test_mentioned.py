"""Whom a post mentions, by what they want to be told: words, first names, all of a channel, replies."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Add, Configure
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest, unique
from tests.rig.socket import Socket
from tests.rig.wait import until

pytestmark = drivers("all")


@pytest.fixture(scope="module")
def ann(node: Node) -> Iterator[Rest]:
    """Who writes."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def team(ann: Rest) -> dict[str, Any]:
    """Hers."""
    return new_team(ann)


def _event(socket: Socket, message: str) -> dict[str, Any]:
    """The event of the post with this text."""
    post = socket.expect_post(message)
    [event] = [one for one in socket.named("posted") if json.loads(one["data"]["post"])["id"] == post["id"]]
    return event


class Room:
    """A channel of ann's and what she hears in it."""

    def __init__(self, node: Node, ann: Rest, team: dict[str, Any]) -> None:
        self.node, self.ann, self.team = node, ann, team
        self.channel = new_channel(ann, team)
        self.socket = Socket.open(ann)
        self.people: list[Rest] = []

    def add(self, name: str, *, member: bool = True, **fields: Any) -> Rest:
        """Somebody more, of the team."""
        rest = new_user(self.node.url, name, **fields)
        self.people.append(rest)
        self.ann.post(f"/teams/{self.team['id']}/members", {"team_id": self.team["id"], "user_id": rest.id})
        if member:
            self.ann.post(f"/channels/{self.channel['id']}/members", {"user_id": rest.id})
        return rest

    def says(self, message: str, who: Rest | None = None, **fields: Any) -> dict[str, Any]:
        """The event of a post."""
        post = (who or self.ann).write(self.channel["id"], message, **fields)
        return _event(self.socket, message) | {"id": post["id"]}

    def mentions(self, message: str, who: Rest | None = None, **fields: Any) -> set[str]:
        """Ids of the mentioned."""
        return set(json.loads(self.says(message, who, **fields)["data"].get("mentions", "[]")))

    def count(self, who: Rest) -> int:
        """How many unread mentions somebody has."""
        found = who.get(f"/users/me/teams/{self.team['id']}/channels/members")
        [number] = [one["mention_count"] for one in found if one["channel_id"] == self.channel["id"]]
        return int(number)

    def member_props(self, who: Rest, **props: str) -> None:
        """What a member wants to be told in this channel."""
        self.node.sql(
            "UPDATE channel_members SET notify_props = %s WHERE channel_id = %s AND user_id = %s",
            json.dumps(props),
            self.channel["id"],
            who.id,
        )

    def close(self) -> None:
        """Close the connections."""
        self.socket.close()
        for rest in self.people:
            rest.close()


@pytest.fixture
def room(node: Node, ann: Rest, team: dict[str, Any]) -> Iterator[Room]:
    """A room of its own for each test."""
    made = Room(node, ann, team)
    yield made
    made.close()


def test_a_word_that_a_user_chose_mentions_them_in_their_channels(room: Room) -> None:
    word = unique("w")
    bob = room.add("bob", notify_props={"mention_keys": f"other,{word.upper()}"})
    cat = room.add("cat", notify_props={"mention_keys": word})
    room.add("dan", member=False, notify_props={"mention_keys": word})
    assert room.mentions(f"{word.capitalize()}!") == {bob.id, cat.id}
    assert room.mentions(f"`{word}` is code, {word}s are others") == set()
    assert room.mentions(f"again {word}", cat) == {bob.id}, "not the author"
    assert (room.count(bob), room.count(cat)) == (2, 0)


def test_a_first_name_mentions_who_wants_that_in_its_letters(room: Room) -> None:
    name = unique("Zoe")
    bob = room.add("bob", first_name=name, notify_props={"first_name": "true"})
    room.add("cat", first_name=name, notify_props={"first_name": "false"})
    assert room.mentions(f"hello {name}") == {bob.id}
    assert room.mentions(f"hello {name.lower()}") == set()


def test_who_is_deactivated_is_mentioned_by_no_word(room: Room) -> None:
    word = unique("w")
    bob = room.add("bob", notify_props={"mention_keys": word})
    room.node.sql("UPDATE users SET delete_at = 5 WHERE id = %s", bob.id)
    assert room.mentions(f"hello {word}") == set()


def test_all_of_a_channel_are_those_who_want_it(room: Room) -> None:
    bob, cat = room.add("bob"), room.add("cat", notify_props={"channel": "false"})
    dan, eve, fay = room.add("dan"), room.add("eve"), room.add("fay")
    room.member_props(dan, ignore_channel_mentions="on")
    room.member_props(eve, mark_unread="mention", ignore_channel_mentions="default")
    room.member_props(fay, mark_unread="mention", ignore_channel_mentions="off")
    assert room.mentions("@channel one") == {bob.id, fay.id}
    assert room.mentions("@all two") == {bob.id, fay.id}
    assert room.mentions(f"@{cat.user['username']} and @{dan.user['username']} by name") == {cat.id, dan.id}


def test_here_are_those_who_are_online(room: Room) -> None:
    bob, cat = room.add("bob"), room.add("cat")
    room.node.sql("DELETE FROM statuses WHERE user_id = %s", cat.id)
    bobs = Socket.open(bob)
    until(lambda: bob.get("/users/me/status")["status"] == "online", 10, "bob online")
    assert room.mentions("@here") == {bob.id}
    bobs.close()


def test_too_many_are_not_told(own_node: Node, own_admin: Rest, add: Add, configure: Configure) -> None:
    configure({"TeamSettings": {"MaxNotificationsPerChannel": 2}})
    bob, cat = add(), add()
    channel = new_channel(own_admin, new_team(own_admin, bob, cat), bob)
    socket = Socket.open(bob)
    own_admin.write(channel["id"], "@all two")
    assert json.loads(_event(socket, "@all two")["data"]["mentions"]) == [bob.id]
    own_admin.post(f"/channels/{channel['id']}/members", {"user_id": cat.id})
    own_admin.write(channel["id"], "@all three")
    assert "mentions" not in _event(socket, "@all three")["data"]
    socket.close()


def test_replies_are_told_to_who_wants_them(room: Room) -> None:
    bob = room.add("bob", notify_props={"comments": "any"})
    cat = room.add("cat", notify_props={"comments": "root"})
    dan = room.add("dan", notify_props={"comments": "never"})
    eve = room.add("eve", notify_props={"comments": "any"})
    root = room.says("a root", cat)["id"]
    assert room.mentions("first", bob, root_id=root) == {cat.id}, "who began it"
    assert room.mentions("second", dan, root_id=root) == {cat.id, bob.id}, "and who wrote in it"
    other = room.says("another root", dan)["id"]
    assert room.mentions("third", cat, root_id=other) == set()
    assert room.mentions("fourth", bob, root_id=other) == set(), "root: not where one only replied"
    assert room.mentions("fifth", eve, root_id=root) == {cat.id, bob.id}
    assert room.mentions("no reply", bob) == set()


# Who is named and is no member -------------------------------------------------------------------------------------


def _told(room: Room, message: str) -> list[dict[str, Any]]:
    """What only ann sees after she wrote this."""
    room.says(message)
    room.says(f"after {unique('x')}")
    return [json.loads(event["data"]["post"]) for event in room.socket.named("ephemeral_message")]


def test_the_author_is_told_who_will_not_hear_of_it(room: Room) -> None:
    inside = room.add("bob")
    cat, dan = room.add("cat", member=False), room.add("dan", member=False)
    eve = new_user(room.node.url, "eve")
    names = " ".join(f"@{who.user['username']}" for who in (inside, cat, dan, eve))
    first, second = _told(room, f"{names} @nobody-of-this-name")
    assert first["type"] == second["type"] == "system_ephemeral"
    added = first["props"]["add_channel_member"]
    assert added["post_id"] == first["id"]
    assert sorted(added["not_in_channel_user_ids"]) == sorted([cat.id, dan.id]) == sorted(added["user_ids"])
    assert sorted(added["not_in_channel_usernames"]) == sorted([cat.user["username"], dan.user["username"]])
    assert inside.user["username"] not in first["message"]
    assert eve.user["username"] in second["message"]
    assert second["props"] == {}
    eve.close()


def test_guests_and_direct_channels_are_told_nothing(room: Room, ann: Rest) -> None:
    cat = room.add("cat", member=False)
    direct = ann.post("/channels/direct", [ann.id, room.add("bob").id])
    ann.write(direct["id"], f"@{cat.user['username']}")
    assert _told(room, "nobody") == []
    room.node.sql("UPDATE users SET roles = 'system_guest' WHERE id = %s", ann.id)
    try:
        assert _told(room, f"@{cat.user['username']}") == []
    finally:
        room.node.sql("UPDATE users SET roles = 'system_user' WHERE id = %s", ann.id)


# The index of words ------------------------------------------------------------------------------------------------


def test_words_by_hand_count_on_every_worker_after_the_next_poll(room: Room) -> None:
    bob, word = room.add("bob"), unique("w")
    assert room.mentions(f"{word} before") == set()
    room.node.sql("INSERT INTO mention_keys (kind, keyword, user_id) VALUES ('words', %s, %s)", word, bob.id)
    assert {frozenset(room.mentions(f"{word} {n}")) for n in range(6)} == {frozenset({bob.id})}
