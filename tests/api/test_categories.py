"""The categories of sidebars: what everybody has, what a user makes of it, and what their other clients hear."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from db.model import limits
from db.model.ids import new_id
from tests.api.expect import NOBODYS_ID, refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.socket import Socket
from tests.rig.wait import until

pytestmark = drivers("postgres", "mysql")

Category = dict[str, Any]
BAD = "app.channel.sidebar_categories.app_error"
KINDS = ("favorites", "channels", "direct_messages")


@dataclass
class Sidebar:
    """Ann's in a team: she is in `first` and `second`, in the two channels that all are in, and talks to bob."""

    ann: Rest
    team: dict[str, Any]
    first: str
    second: str
    direct: str
    base: str

    def seen(self) -> dict[str, list[str]]:
        """Channels by category: by its kind or, where it is her own, by its name."""
        found = self.ann.get(self.base)
        assert [one["id"] for one in found["categories"]] == found["order"] == self.ann.get(f"{self.base}/order")
        return {_named(one): one["channel_ids"] for one in found["categories"]}

    def category(self, kind: str) -> Category:
        """One that everybody has, or one by its name."""
        (found,) = [one for one in self.ann.get(self.base)["categories"] if kind in (one["type"], one["display_name"])]
        return dict(found)

    def draft(self, **fields: Any) -> Category:
        """A new one."""
        return {"user_id": self.ann.id, "team_id": self.team["id"], "display_name": "Mine", **fields}

    def create(self, *channel_ids: str, **fields: Any) -> Category:
        """Make it."""
        made: Category = self.ann.post(self.base, self.draft(channel_ids=[*channel_ids], **fields))
        return made

    def put(self, *categories: Category) -> list[Category]:
        """Change some."""
        response = self.ann.call("PUT", self.base, [*categories])
        assert response.status_code == 200, response.text
        return list(response.json())

    def favorites(self) -> set[str]:
        """By her preferences."""
        kept = self.ann.get("/users/me/preferences")
        return {one["name"] for one in kept if one["category"] == "favorite_channel" and one["value"] == "true"}

    def favor(self, channel_id: str, value: str = "true") -> None:
        """By a preference."""
        one = {"user_id": self.ann.id, "category": "favorite_channel", "name": channel_id, "value": value}
        assert self.ann.call("PUT", "/users/me/preferences", [one]).ok


def _named(category: Category) -> str:
    return str(category["display_name"] if category["type"] == "custom" else category["type"])


@pytest.fixture(scope="module")
def bob(node: Node) -> Iterator[Rest]:
    """Whom ann talks to; the team is his."""
    rest = new_user(node.url, "bob")
    yield rest
    rest.close()


@pytest.fixture
def mine(node: Node, bob: Rest) -> Iterator[Sidebar]:
    """A sidebar of which nothing was changed yet."""
    ann = new_user(node.url, "ann")
    team = new_team(bob, ann)
    first, second = (new_channel(bob, team, ann)["id"] for _ in range(2))
    direct = ann.post("/channels/direct", [ann.id, bob.id])["id"]
    yield Sidebar(ann, team, first, second, direct, f"/users/{ann.id}/teams/{team['id']}/channels/categories")
    ann.close()


def test_everybody_has_three_and_reading_them_writes_nothing(mine: Sidebar, node: Node) -> None:
    found = mine.ann.get(mine.base)
    assert found["order"] == [f"{kind}_{mine.ann.id}_{mine.team['id']}" for kind in KINDS]
    channels = found["categories"][1]
    assert set(channels.pop("channel_ids")) >= {mine.first, mine.second}
    assert channels == {
        "id": found["order"][1], "user_id": mine.ann.id, "team_id": mine.team["id"], "sort_order": 10, "sorting": "",
        "type": "channels", "display_name": "Channels", "muted": False, "collapsed": False,
    }  # fmt: skip
    assert found["categories"][2]["sorting"] == "recent"
    assert mine.seen()["direct_messages"] == [mine.direct]
    assert len(mine.seen()["channels"]) == 4
    assert mine.ann.get(f"{mine.base}/{found['order'][2]}") == found["categories"][2]
    assert node.sql("SELECT count(*) FROM sidebar_categories WHERE user_id = %s", mine.ann.id)[0][0] == 0


def test_favorites_of_before_are_the_first_ones(mine: Sidebar) -> None:
    """By their preferences, until something of the sidebar is changed; then they stay what they were."""
    mine.favor(mine.first)
    mine.favor(NOBODYS_ID)
    assert mine.seen()["favorites"] == [mine.first]
    mine.put(mine.category("channels") | {"collapsed": True})
    assert mine.seen()["favorites"] == [mine.first]
    assert mine.category("channels")["collapsed"] is True


def test_a_category_of_ones_own_is_made_changed_and_deleted(mine: Sidebar) -> None:
    socket = Socket.open(mine.ann)
    made = mine.create(mine.first, NOBODYS_ID, mine.first, mine.direct, sorting="alpha", type="channels", sort_order=7)
    assert made == {
        "id": made["id"], "user_id": mine.ann.id, "team_id": mine.team["id"], "sort_order": 10, "sorting": "alpha",
        "type": "custom", "display_name": "Mine", "muted": False, "collapsed": False,
        "channel_ids": [mine.first, mine.direct],
    }  # fmt: skip
    assert mine.ann.get(f"{mine.base}/{made['id']}") == made
    seen = mine.seen()
    assert [*seen] == ["favorites", "Mine", "channels", "direct_messages"]
    assert (mine.first in seen["channels"], seen["direct_messages"]) == (False, [])
    event = socket.expect("sidebar_category_created", category_id=made["id"])
    assert (event["broadcast"]["user_id"], event["broadcast"]["team_id"]) == (mine.ann.id, mine.team["id"])
    changed = made | {"display_name": "Other", "sorting": "manual", "channel_ids": [mine.second, mine.first]}
    assert mine.ann.call("PUT", f"{mine.base}/{made['id']}", changed).json() == changed
    assert json.loads(socket.expect("sidebar_category_updated")["data"]["updatedCategories"]) == [changed]
    assert mine.seen()["direct_messages"] == [mine.direct]
    assert mine.ann.call("DELETE", f"{mine.base}/{made['id']}").json() == {"status": "OK"}
    assert socket.expect("sidebar_category_deleted", category_id=made["id"])["broadcast"]["team_id"] == mine.team["id"]
    assert [*mine.seen()] == [*KINDS]
    assert set(mine.seen()["channels"]) >= {mine.first, mine.second}


def test_what_everybody_has_keeps_its_name_and_is_not_deleted(mine: Sidebar) -> None:
    for kind in KINDS:
        one = mine.category(kind)
        (after,) = mine.put(one | {"display_name": "Other", "type": "custom", "sort_order": 99, "muted": True})
        assert after == one | {"muted": kind != "direct_messages"}
        refused(mine.ann.call("DELETE", f"{mine.base}/{one['id']}"), 400, BAD)


def test_a_channel_is_in_one_category_of_a_team(mine: Sidebar) -> None:
    made = mine.create(mine.first, mine.second)
    mine.put(mine.category("favorites") | {"channel_ids": [mine.second]})
    assert (mine.seen()["Mine"], mine.seen()["favorites"]) == ([mine.first], [mine.second])
    mine.put(mine.category("direct_messages") | {"channel_ids": [mine.direct, mine.first]})
    assert (mine.seen()["Mine"], mine.seen()["direct_messages"]) == ([mine.first], [mine.direct])
    mine.create(mine.first, display_name="Another")
    assert (mine.seen()["Mine"], mine.seen()["Another"]) == ([], [mine.first])
    assert mine.ann.get(f"{mine.base}/{made['id']}")["channel_ids"] == []


def test_favorites_and_their_preferences_keep_step(mine: Sidebar) -> None:
    socket = Socket.open(mine.ann)
    mine.put(mine.category("favorites") | {"channel_ids": [mine.first, mine.direct]})
    assert mine.favorites() == {mine.first, mine.direct}
    told = json.loads(socket.expect("preferences_changed")["data"]["preferences"])
    assert {one["name"] for one in told} == {mine.first, mine.direct}
    mine.favor(mine.second)
    assert mine.seen()["favorites"] == [mine.second, mine.first, mine.direct]
    mine.favor(mine.first, "false")
    mine.ann.post(
        "/users/me/preferences/delete", [{"user_id": mine.ann.id, "category": "favorite_channel", "name": mine.direct}]
    )
    assert mine.seen()["favorites"] == [mine.second]
    mine.create(mine.second)
    assert (mine.seen()["favorites"], mine.seen()["Mine"], mine.favorites()) == ([], [mine.second], set())
    gone = json.loads(socket.expect("preferences_deleted", preferences=_text(mine, mine.second))["data"]["preferences"])
    assert [one["name"] for one in gone] == [mine.second]
    mine.favor(mine.second)
    assert (mine.seen()["favorites"], mine.seen()["Mine"]) == ([mine.second], [])
    teams = {one["broadcast"]["team_id"] for one in socket.named("sidebar_category_updated")}
    assert teams == {mine.team["id"]}


def _text(mine: Sidebar, channel_id: str) -> str:
    one = {"user_id": mine.ann.id, "category": "favorite_channel", "name": channel_id, "value": "true"}
    return json.dumps([one], separators=(",", ":"))


def test_the_order_is_the_users(mine: Sidebar) -> None:
    socket = Socket.open(mine.ann)
    made = mine.create()
    wanted = [*reversed(mine.ann.get(f"{mine.base}/order"))]
    assert mine.ann.call("PUT", f"{mine.base}/order", wanted).json() == wanted
    assert mine.ann.get(mine.base)["order"] == wanted
    assert socket.expect("sidebar_category_order_updated")["data"]["order"] == wanted
    first = mine.create(display_name="First")
    assert first["sort_order"] == 0
    assert mine.ann.call("PUT", f"{mine.base}/order", wanted).json() == [*wanted, first["id"]]
    path = f"{mine.base}/order"
    for wrong, error_id in (
        ([*wanted, NOBODYS_ID], "body"), ([], "body"), ([made["id"]] * 2, BAD), (["x"], "body"),
    ):  # fmt: skip
        refused(mine.ann.call("PUT", path, wrong), 400, error_id)


def test_who_leaves_sees_a_channel_no_more_and_who_comes_back_where_it_was(mine: Sidebar, bob: Rest) -> None:
    mine.create(mine.first, mine.second)
    assert bob.call("DELETE", f"/channels/{mine.first}/members/{mine.ann.id}").ok
    assert mine.seen()["Mine"] == [mine.second]
    bob.post(f"/channels/{mine.first}/members", {"user_id": mine.ann.id})
    assert mine.seen()["Mine"] == [mine.first, mine.second]


def test_an_archived_channel_is_not_seen(mine: Sidebar, node: Node) -> None:
    mine.create(mine.first, mine.second)
    node.sql("UPDATE channels SET delete_at = 1 WHERE id = %s", mine.first)
    until(lambda: mine.seen()["Mine"] == [mine.second], 10, "the archiving to be seen")


def test_who_leaves_the_team_has_no_sidebar_there_any_more(mine: Sidebar, bob: Rest, node: Node) -> None:
    made = mine.create(mine.first)
    assert mine.ann.call("DELETE", f"/teams/{mine.team['id']}/members/{mine.ann.id}").ok
    refused(mine.ann.call("GET", mine.base), 403, "permissions")
    assert node.sql("SELECT count(*) FROM sidebar_categories WHERE user_id = %s", mine.ann.id)[0][0] == 0
    bob.post(f"/teams/{mine.team['id']}/members", {"team_id": mine.team["id"], "user_id": mine.ann.id})
    assert made["id"] not in mine.ann.get(f"{mine.base}/order")


def _muted(mine: Sidebar, channel_id: str) -> bool:
    members = mine.ann.get(f"/users/me/teams/{mine.team['id']}/channels/members")
    (one,) = [member for member in members if member["channel_id"] == channel_id]
    return bool(one["notify_props"]["mark_unread"] == "mention")


def test_a_category_mutes_its_channels(mine: Sidebar) -> None:
    socket = Socket.open(mine.ann)
    made = mine.create(mine.first)
    (muted,) = mine.put(made | {"muted": True})
    assert (muted["muted"], _muted(mine, mine.first), _muted(mine, mine.second)) == (True, True, False)
    member = json.loads(socket.expect("channel_member_updated")["data"]["channelMember"])
    assert (member["channel_id"], member["notify_props"]["mark_unread"]) == (mine.first, "mention")
    mine.put(made | {"muted": True, "channel_ids": [mine.second]})
    assert (_muted(mine, mine.first), _muted(mine, mine.second)) == (False, True)
    mine.put(made | {"muted": False, "channel_ids": [mine.second]})
    assert not _muted(mine, mine.second)


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": NOBODYS_ID}, {"team_id": NOBODYS_ID}, {"sorting": "by size"}, {"display_name": "n" * 65},
        {"channel_ids": ["no id"]}, {"channel_ids": ["c" * 26] * (limits.CHANNELS + 1)},
    ],
)  # fmt: skip
def test_what_is_no_category_is_refused(mine: Sidebar, wrong: Category) -> None:
    refused(mine.ann.call("POST", mine.base, mine.draft(**wrong)), 400, "body")
    channels = mine.category("channels")
    refused(mine.ann.call("PUT", f"{mine.base}/{channels['id']}", mine.draft(**wrong)), 400, "body")
    if not wrong.keys() & {"user_id", "team_id"}:  # these are not asked for of several, as in Mattermost
        refused(mine.ann.call("PUT", mine.base, [channels | wrong]), 400, "body")


def test_categories_that_are_not_there_or_another_users_are_refused(mine: Sidebar, bob: Rest, admin: Rest) -> None:
    theirs = bob.get(f"/users/{bob.id}/teams/{mine.team['id']}/channels/categories")["order"][1]
    for category_id in (NOBODYS_ID, theirs):
        refused(mine.ann.call("GET", f"{mine.base}/{category_id}"), 403, "permissions")
        refused(mine.ann.call("DELETE", f"{mine.base}/{category_id}"), 403, "permissions")
        refused(mine.ann.call("PUT", f"{mine.base}/{category_id}", mine.draft()), 403, "permissions")
        refused(mine.ann.call("PUT", mine.base, [mine.draft(id=category_id)]), 400, "body")
        refused(admin.call("GET", f"{mine.base}/{category_id}"), 404, BAD)
    refused(bob.call("GET", mine.base), 403, "permissions")
    assert admin.get(mine.base) == mine.ann.get(mine.base)
    channels = mine.category("channels")
    refused(mine.ann.call("PUT", mine.base, [channels, channels]), 400, "body")
    refused(mine.ann.call("GET", f"{mine.base}/channels_x"), 400, "url")


def test_a_sidebar_has_only_so_many_categories(mine: Sidebar, node: Node) -> None:
    mine.create()
    columns = "user_id, team_id, id, sort_order, type, channel_ids"
    rows = ", ".join(
        f"('{mine.ann.id}', '{mine.team['id']}', '{new_id()}', 50, 'custom', '[]')"
        for _ in range(limits.CATEGORIES - 4)
    )
    node.sql(f"INSERT INTO sidebar_categories ({columns}) VALUES {rows}")
    until(lambda: len(mine.ann.get(f"{mine.base}/order")) == limits.CATEGORIES, 10, "the rows to be seen")
    refused(mine.ann.call("POST", mine.base, mine.draft()), 400, BAD)


def test_whoever_changes_it_at_once_nothing_is_lost_and_nothing_is_there_twice(mine: Sidebar) -> None:
    """The first change writes what everybody has; so many at once write it once."""

    def change(number: int) -> requests.Response:
        if number % 3:
            return mine.ann.call("POST", mine.base, mine.draft(display_name=f"c{number}", channel_ids=[mine.first]))
        one = {"user_id": mine.ann.id, "category": "favorite_channel", "name": mine.second, "value": "true"}
        return mine.ann.call("PUT", "/users/me/preferences", [one])

    with ThreadPoolExecutor(6) as pool:
        assert {response.status_code for response in pool.map(change, range(12))} == {200}
    seen = mine.seen()
    assert sorted(seen) == sorted([*KINDS, *(f"c{number}" for number in range(12) if number % 3)])
    assert seen["favorites"] == [mine.second]
    assert sum(ids.count(mine.first) for ids in seen.values()) == 1
