"""How much an answer holds is decided by limits, not by the data; what it leaves out is found by going on from it."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import requests

from db.model import limits
from db.model.ids import new_id
from tests.api import sizes
from tests.api.conftest import Configure
from tests.api.expect import refused
from tests.api.operations import EVERY
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest

BOTH = drivers("postgres", "mysql")
FAT = 12_000


@pytest.fixture(scope="module")
def ann(node: Node) -> Iterator[Rest]:
    """Who has a lot of everything."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def team(ann: Rest) -> dict[str, Any]:
    """Hers."""
    return new_team(ann)


@pytest.fixture
def channel(ann: Rest, team: dict[str, Any]) -> str:
    """Id of a new channel."""
    return str(new_channel(ann, team)["id"])


def _insert(node: Node, table: str, columns: str, rows: Iterable[tuple[object, ...]], *, settle: bool = True) -> None:
    values = ",".join(
        "(" + ",".join(f"'{one}'" if isinstance(one, str) else str(one) for one in row) + ")" for row in rows
    )
    node.sql(f"INSERT INTO {table} ({columns}) VALUES {values}", settle=settle)


def _fill(
    node: Node, ann: Rest, channel: str, number: int, *, size: int = 10, root: str = "", pinned: bool = False
) -> list[str]:
    """Ids of so many posts, oldest first, of messages of this size."""
    head, newest = node.sql("SELECT seq, last_update_at FROM channel_heads WHERE channel_id = %s", channel)[0]
    ids = [new_id() for _ in range(number)]
    _insert(
        node,
        "posts",
        "id, channel_id, seq, create_at, update_at, user_id, root_id, is_pinned, message, props"
        + (", file_ids, mentions" if _is_mysql(node) else ""),
        (
            (
                one,
                channel,
                head + n,
                newest + n,
                newest + n,
                ann.id,
                root,
                str(pinned).upper() == "TRUE",
                "x" * size,
                "{}",
            )
            + (("[]", "[]") if _is_mysql(node) else ())
            for n, one in enumerate(ids, 1)
        ),
        settle=False,
    )
    if root:
        node.sql("UPDATE posts SET reply_count = %s WHERE id = %s", number, root, settle=False)
    node.sql(
        "UPDATE channel_heads SET last_update_at = %s WHERE channel_id = %s", newest + number, channel, settle=False
    )
    node.touch(channel, f"seq + {number + 1}")
    return ids


def _is_mysql(node: Node) -> bool:
    return node._environment.get("MM_SQLSETTINGS_DRIVERNAME") == "mysql"


def _get(who: Rest, path: str) -> Any:
    """A list of posts that is no larger than lists may be."""
    response: requests.Response = who.call("GET", path)
    assert response.status_code == 200, response.text
    assert len(response.content) <= limits.LIST_BYTES
    return response.json()


def test_every_operation_that_grows_has_a_bound() -> None:
    bounded = [*sizes.ANSWERS, *sizes.REQUESTS, *sizes.FIXED, *sizes.EMPTY]
    assert sorted(bounded) == sorted(operation.title for operation in EVERY if sizes.grows(operation))


@BOTH
def test_lists_of_fat_posts_are_cut_and_walked_on(node: Node, ann: Rest, channel: str) -> None:
    ids = _fill(node, ann, channel, 400, size=FAT)
    path = f"/channels/{channel}/posts"
    everything = _get(ann, f"{path}?per_page=200&skipFetchThreads=true")
    walked = everything["order"]
    assert everything["has_next"]
    assert 1 < len(walked) < 200
    while (found := _get(ann, f"{path}?per_page=200&before={walked[-1]}"))["order"]:
        walked += found["order"]
    assert [one for one in walked if one in ids] == ids[::-1]
    assert len(walked) == len(set(walked))
    upwards = [ids[0]]
    while (found := _get(ann, f"{path}?per_page=200&after={upwards[-1]}"))["order"]:
        upwards += found["order"][::-1]
    assert upwards == ids
    unread = _get(ann, f"/users/me{path}/unread?limit_before=200&limit_after=200")
    assert unread["order"]


@BOTH
def test_since_a_time_is_cut_to_the_newest_posts_and_walked_on(node: Node, ann: Rest, channel: str) -> None:
    ids = _fill(node, ann, channel, limits.SINCE_POSTS + 150)
    path = f"/channels/{channel}/posts"
    found = _get(ann, f"{path}?since=1")
    assert found["order"] == ids[-limits.SINCE_POSTS :][::-1]
    assert found["has_next"]
    assert found["prev_post_id"] == ids[149]
    walked = found["order"]
    while (found := _get(ann, f"{path}?per_page=200&before={walked[-1]}"))["order"]:
        walked += found["order"]
    assert [one for one in walked if one in ids] == ids[::-1]
    few = _get(ann, f"{path}?since={ann.get('/posts/' + ids[-5])['create_at']}")
    assert few["order"] == ids[-4:][::-1]
    assert "has_next" not in few


@BOTH
def test_a_list_brings_along_a_part_of_a_long_thread(node: Node, ann: Rest, channel: str) -> None:
    root = str(ann.write(channel, "root")["id"])
    replies = _fill(node, ann, channel, 500, root=root)
    found = _get(ann, f"/channels/{channel}/posts?per_page=1")
    assert found["order"] == replies[-1:]
    assert set(found["posts"]) == {root, *replies[-limits.REPLIES_ALONG - 1 :]}


@BOTH
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_thread_is_walked_in_both_directions(node: Node, ann: Rest, channel: str, direction: str) -> None:
    root = str(ann.write(channel, "root")["id"])
    replies = _fill(node, ann, channel, 450, root=root)
    path, cursor, walked = f"/posts/{replies[7]}/thread?perPage=200&direction={direction}", "", []
    while True:
        found = _get(ann, path + cursor)
        assert found["order"][0] == replies[7]
        part = sorted(found["order"][1:], key=lambda one: found["posts"][one]["create_at"], reverse=direction == "up")
        assert part == found["order"][1:]
        walked += part
        if not found["has_next"]:
            break
        cursor = f"&fromPost={part[-1]}&fromCreateAt={found['posts'][part[-1]]['create_at']}"
    everything = [root, *replies[:7], *replies[8:]]
    assert walked == (everything if direction == "down" else everything[::-1])


@BOTH
def test_a_thread_that_is_asked_for_as_a_whole_is_cut(node: Node, ann: Rest, channel: str) -> None:
    root = str(ann.write(channel, "root")["id"])
    replies = _fill(node, ann, channel, limits.THREAD_POSTS + 50, root=root)
    found = _get(ann, f"/posts/{root}/thread")
    assert found["order"] == [root, *replies[: limits.THREAD_POSTS - 1]]
    assert found["has_next"]
    assert _get(ann, f"/posts/{root}/thread?skipFetchThreads=true")["order"] == [root]


@pytest.mark.parametrize(
    "query",
    [
        "perPage=201",
        "perPage=x",
        "direction=left",
        f"fromPost={'a' * 26}",
        "fromCreateAt=x",
        "fromUpdateAt=x",
        "updatesOnly=true",
        "fromUpdateAt=1&fromCreateAt=1",
        "fromUpdateAt=1&updatesOnly=true&direction=up",
    ],
)
def test_a_bad_cursor_is_refused(ann: Rest, channel: str, query: str) -> None:
    refused(ann.call("GET", f"/posts/{ann.write(channel, 'root')['id']}/thread?{query}"), 400, "url")


@BOTH
def test_pinned_posts_are_walked(node: Node, ann: Rest, channel: str) -> None:
    ids = _fill(node, ann, channel, limits.PINNED_POSTS + 30, pinned=True)
    first = _get(ann, f"/channels/{channel}/pinned")
    assert first["order"] == ids[: limits.PINNED_POSTS]
    assert first["has_next"]
    assert first["next_post_id"] == ids[limits.PINNED_POSTS]
    rest = _get(ann, f"/channels/{channel}/pinned?after={first['order'][-1]}")
    assert first["order"] + rest["order"] == ids
    assert "has_next" not in rest


def _react(node: Node, channel: str, posts: Iterable[str], number: int) -> None:
    posts = list(posts)
    rows = [(post, new_id(), "smile", n) for post in posts for n in range(1, number + 1)]
    for at in range(0, len(rows), 5000):
        _insert(node, "reactions", "post_id, user_id, emoji_name, create_at", rows[at : at + 5000], settle=False)
    node.sql("UPDATE posts SET has_reactions = TRUE WHERE channel_id = %s", channel, settle=False)
    node.touch(channel)


@BOTH
def test_reactions_of_a_post_are_walked(node: Node, ann: Rest, channel: str) -> None:
    post = str(ann.write(channel, "post")["id"])
    _react(node, channel, [post], limits.REACTIONS + 20)
    pages = [ann.get(f"/posts/{post}/reactions?page={page}") for page in range(3)]
    assert [len(page) for page in pages] == [limits.REACTIONS, 20, 0]
    assert [one["create_at"] for page in pages for one in page] == list(range(1, limits.REACTIONS + 21))
    assert len(ann.get(f"/posts/{post}")["metadata"]["reactions"]) == limits.REACTIONS


@BOTH
def test_many_reactions_cut_lists_and_not_themselves(node: Node, ann: Rest, channel: str) -> None:
    ids = _fill(node, ann, channel, 40)
    _react(node, channel, ids, 500)
    path, walked = f"/channels/{channel}/posts?per_page=200", []
    found = _get(ann, path)
    assert found["has_next"]
    while found["order"]:
        walked += found["order"]
        for one in found["order"]:
            assert one not in ids or len(found["posts"][one]["metadata"]["reactions"]) == 500
        found = _get(ann, f"{path}&before={walked[-1]}")
    assert [one for one in walked if one in ids] == ids[::-1]
    left = list(ids)
    given: dict[str, list[Any]] = {}
    while left:
        response = ann.call("POST", "/posts/ids/reactions", left)
        assert len(response.content) <= limits.LIST_BYTES
        given |= response.json()
        left = [one for one in left if one not in given]
    assert {len(one) for one in given.values()} == {500}


@pytest.mark.parametrize("operation", ["users/ids", "users/status/ids", "posts/ids/reactions"])
def test_a_request_names_only_so_many(ann: Rest, operation: str) -> None:
    most = sizes.REQUESTS[f"POST /api/v4/{operation}"]
    refused(ann.call("POST", f"/{operation}", [new_id() for _ in range(most + 1)]), 400, "body")


@BOTH
def test_50_different_emojis_are_on_a_post_at_most(ann: Rest, node: Node, channel: str) -> None:
    post = str(ann.write(channel, "post")["id"])
    react = {"user_id": ann.id, "post_id": post}
    for n in range(50):
        ann.post("/reactions", {**react, "emoji_name": f"e{n}"})
    refused(
        ann.call("POST", "/reactions", {**react, "emoji_name": "other"}),
        400,
        "app.reaction.save.save.too_many_reactions",
    )
    assert ann.post("/reactions", {**react, "emoji_name": "e7"})["emoji_name"] == "e7"
    ann.call("DELETE", f"/users/me/posts/{post}/reactions/e7")
    ann.post("/reactions", {**react, "emoji_name": "other"})


def test_the_number_of_emojis_is_a_setting(configure: Configure, own_admin: Rest, add: Any) -> None:
    who = add()
    channel = new_channel(who, new_team(who))
    react = {"user_id": who.id, "post_id": who.write(channel["id"], "post")["id"]}
    configure({"ServiceSettings": {"UniqueEmojiReactionLimitPerPost": 1}})
    who.post("/reactions", {**react, "emoji_name": "one"})
    refused(
        who.call("POST", "/reactions", {**react, "emoji_name": "two"}), 400, "app.reaction.save.save.too_many_reactions"
    )
    assert who.get("/config/client?format=old")["UniqueEmojiReactionLimitPerPost"] == "1"


@BOTH
def test_one_session_too_many_ends_the_one_used_longest_ago(node: Node) -> None:
    bob = new_user(node.url, "bob")
    now = node.sql("SELECT max(create_at) FROM sessions WHERE user_id = %s", bob.id)[0][0]
    old = [(new_id(), new_id(), bob.id, now - n, now + 10**9, now - n, "", "") for n in range(1, limits.SESSIONS + 10)]
    columns = "id, token_hash, user_id, create_at, expires_at, last_activity_at, device_id, csrf_token"
    _insert(node, "sessions", columns, old)
    assert len(bob.get("/users/me/sessions")) == limits.SESSIONS
    newest = Rest(node.url).log_in(bob.user["username"])
    kept = {row[0] for row in node.sql("SELECT id FROM sessions WHERE user_id = %s", bob.id)}
    assert len(kept) == limits.SESSIONS
    assert kept >= {row[0] for row in old[: limits.SESSIONS - 2]}
    assert newest.get("/users/me")["id"] == bob.id


@BOTH
def test_teams_and_channels_of_a_user_are_walked(node: Node) -> None:
    carl = new_user(node.url, "carl")
    team = new_team(carl)
    teams = [new_id() for _ in range(limits.TEAMS + 5)]
    _insert(
        node,
        "teams",
        "id, create_at, update_at, display_name, name, type, invite_id",
        ((one, 1, 1, one, one, "O", one) for one in teams),
    )
    _insert(node, "team_members", "team_id, user_id, create_at", ((one, carl.id, 1) for one in teams))
    pages = [carl.get(f"/users/me/teams?page={page}") for page in range(3)]
    assert [len(page) for page in pages] == [limits.TEAMS, 6, 0]
    assert {one["id"] for page in pages for one in page} == {team["id"], *teams}
    channels = [new_id() for _ in range(limits.CHANNELS + 5)]
    _insert(
        node,
        "channels",
        "id, create_at, update_at, team_id, type, display_name, name",
        ((one, 1, 1, team["id"], "O", one, one) for one in channels),
    )
    _insert(node, "channel_heads", "channel_id", ((one,) for one in channels))
    columns = "channel_id, user_id, notify_props, last_update_at, join_seq, viewed_seq, last_viewed_at, msg_count, msg_count_root"
    _insert(node, "channel_members", columns, ((one, carl.id, "{}", 1, 0, 0, 0, 0, 0) for one in channels))
    for kind, key in (("channels", "id"), ("channels/members", "channel_id")):
        lists = [carl.get(f"/users/me/teams/{team['id']}/{kind}?page={page}") for page in range(3)]
        assert [len(one) for one in lists] == [limits.CHANNELS, 7, 0], kind
        assert {one[key] for page in lists for one in page} >= set(channels)
