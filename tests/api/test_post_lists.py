"""Lists of posts: pages, before and after, since, around the first unread, threads."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.expect import refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest

pytestmark = drivers("all")

List = dict[str, Any]


@pytest.fixture(scope="module")
def ann(node: Node) -> Iterator[Rest]:
    """One for all tests here, each of which makes a channel of its own."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def bob(node: Node) -> Iterator[Rest]:
    """Another."""
    rest = new_user(node.url, "bob")
    yield rest
    rest.close()


class Chat:
    """A channel of two, whose first post says that its maker has joined, and another that the second one has."""

    def __init__(self, ann: Rest, bob: Rest, team: dict[str, Any]) -> None:
        self.ann, self.bob = ann, bob
        self.channel = new_channel(ann, team, bob)
        self.path = f"/channels/{self.channel['id']}/posts"
        self.oldest: list[str] = self.read("?per_page=200")["order"][::-1]
        """Ids of the posts that tell of the joining, oldest first."""

    def write(self, *messages: str, **fields: Any) -> list[str]:
        """Ids of new posts, oldest first."""
        return [str(self.ann.write(self.channel["id"], message, **fields)["id"]) for message in messages]

    def read(self, query: str = "", who: Rest | None = None) -> List:
        """A list by ann, or by another."""
        found: List = (who or self.ann).get(self.path + query)
        assert set(found) - {"has_next"} == {"order", "posts", "next_post_id", "prev_post_id"}
        assert set(found["order"]) <= set(found["posts"])
        assert len(set(found["order"])) == len(found["order"])
        assert all(post["id"] == post_id for post_id, post in found["posts"].items())
        return found

    def unread(self, query: str = "") -> List:
        """What bob is shown when he opens the channel."""
        found: List = self.bob.get(f"/users/me{self.path.replace('/posts', '/posts/unread')}{query}")
        return found

    def view(self) -> None:
        """Bob reads all there is."""
        self.bob.post("/channels/members/me/view", {"channel_id": self.channel["id"]})

    def thread(self, root_id: str, *messages: str) -> list[str]:
        """Ids of new replies."""
        return self.write(*messages, root_id=root_id)

    def delete(self, node: Node, *post_ids: str) -> None:
        """Mark as deleted, as the deletion of a post does."""
        for post_id in post_ids:
            node.sql(
                "UPDATE posts SET delete_at = update_at + 1, update_at = update_at + 1 WHERE id = %s",
                post_id,
                settle=False,
            )
        node.touch(self.channel["id"])


@pytest.fixture(scope="module")
def team(ann: Rest, bob: Rest) -> dict[str, Any]:
    """A team of ann and bob."""
    return new_team(ann, bob)


@pytest.fixture
def chat(ann: Rest, bob: Rest, team: dict[str, Any]) -> Chat:
    """A new channel."""
    return Chat(ann, bob, team)


def _ends(found: List) -> tuple[str, str]:
    return found["prev_post_id"], found["next_post_id"]


# Pages


def test_a_list_is_newest_first(chat: Chat) -> None:
    written = chat.write("1", "2", "3")
    found = chat.read()
    assert found["order"] == [*chat.oldest, *written][::-1]
    assert set(found["posts"]) == set(found["order"])
    assert _ends(found) == ("", "")


def test_pages_go_back_in_time(chat: Chat) -> None:
    everything = [*chat.oldest, *chat.write("1", "2", "3")][::-1]
    first, second, third = (chat.read(f"?page={page}&per_page=2") for page in range(3))
    assert [page["order"] for page in (first, second, third)] == [everything[:2], everything[2:4], everything[4:]]
    assert _ends(first) == (everything[2], "")
    assert _ends(second) == (everything[4], everything[1])
    assert _ends(third) == ("", everything[3])


def test_a_page_beyond_the_last_is_empty(chat: Chat) -> None:
    assert chat.read("?page=1") == {"order": [], "posts": {}, "next_post_id": "", "prev_post_id": ""}


def test_60_posts_are_a_page_and_200_the_most(chat: Chat) -> None:
    chat.write(*map(str, range(201 - len(chat.oldest))))
    assert len(chat.read()["order"]) == 60
    assert len(chat.read("?per_page=200")["order"]) == 200
    assert len(chat.read("?per_page=201")["order"]) == 200
    assert chat.read("?per_page=0")["order"] == []


def test_deleted_posts_are_not_listed(node: Node, chat: Chat) -> None:
    first, second, third = chat.write("1", "2", "3")
    chat.delete(node, second)
    found = chat.read()
    assert found["order"][:2] == [third, first]
    assert second not in found["posts"]
    assert chat.read("?per_page=1")["prev_post_id"] == first


def test_an_empty_channel_has_an_empty_list(node: Node, chat: Chat) -> None:
    node.sql("DELETE FROM posts WHERE channel_id = %s", chat.channel["id"], settle=False)
    node.touch(chat.channel["id"])
    assert chat.read() == {"order": [], "posts": {}, "next_post_id": "", "prev_post_id": ""}


# Before and after a post


def test_before_a_post(chat: Chat) -> None:
    p1, p2, p3, p4 = chat.write("1", "2", "3", "4")
    found = chat.read(f"?before={p4}&per_page=2")
    assert found["order"] == [p3, p2]
    assert _ends(found) == (p1, p4)


def test_after_a_post(chat: Chat) -> None:
    p1, p2, p3, p4 = chat.write("1", "2", "3", "4")
    found = chat.read(f"?after={p1}&per_page=2")
    assert found["order"] == [p3, p2]
    assert _ends(found) == (p1, p4)


def test_pages_before_a_post_go_back(chat: Chat) -> None:
    p1, p2, p3, p4 = chat.write("1", "2", "3", "4")
    found = chat.read(f"?before={p4}&page=1&per_page=2")
    assert found["order"] == [p1, chat.oldest[-1]]
    assert _ends(found) == (chat.oldest[-2], p2)
    assert p3 not in found["posts"]


def test_pages_after_a_post_go_on(chat: Chat) -> None:
    p1, p2, p3, p4 = chat.write("1", "2", "3", "4")
    found = chat.read(f"?after={p1}&page=1&per_page=2")
    assert found["order"] == [p4]
    assert _ends(found) == (p3, "")
    assert p2 not in found["posts"]


def test_before_the_oldest_post_is_nothing_and_that_post_comes_next(chat: Chat) -> None:
    found = chat.read(f"?before={chat.oldest[0]}")
    assert found["order"] == []
    assert _ends(found) == ("", chat.oldest[0])


def test_after_the_newest_post_is_nothing_and_that_post_came_before(chat: Chat) -> None:
    [newest] = chat.write("1")
    found = chat.read(f"?after={newest}")
    assert found["order"] == []
    assert _ends(found) == (newest, "")


def test_beside_a_deleted_post(node: Node, chat: Chat) -> None:
    p1, p2, p3 = chat.write("1", "2", "3")
    chat.delete(node, p2)
    assert chat.read(f"?before={p2}&per_page=1")["order"] == [p1]
    assert chat.read(f"?after={p2}&per_page=1")["order"] == [p3]


@pytest.mark.parametrize("key", ["before", "after"])
def test_beside_a_post_of_another_channel_is_refused(world: World, key: str) -> None:
    refused(world.member.call("GET", f"/channels/{world.public['id']}/posts?{key}={world.post['id']}"), 400, "url")


def test_both_sides_at_once_are_refused(chat: Chat) -> None:
    [post] = chat.write("1")
    refused(chat.ann.call("GET", f"{chat.path}?before={post}&after={post}"), 400, "url")


def test_walking_back_by_the_previous_post_finds_everything_once(chat: Chat) -> None:
    everything = [*chat.oldest, *chat.write(*map(str, range(20)))]
    found = chat.read("?per_page=3")
    walked = found["order"]
    while found["prev_post_id"]:
        found = chat.read(f"?before={walked[-1]}&per_page=3")
        walked += found["order"]
    assert walked == everything[::-1]


def test_walking_on_by_the_next_post_finds_everything_once(chat: Chat) -> None:
    everything = [*chat.oldest, *chat.write(*map(str, range(20)))]
    walked = [everything[0]]
    more = True
    while more:
        found = chat.read(f"?after={walked[-1]}&per_page=3")
        walked += found["order"][::-1]
        more = found["next_post_id"] != ""
    assert walked == everything


# Since a time


def _time(chat: Chat, post_id: str, key: str = "create_at") -> int:
    return int(chat.ann.get(f"/posts/{post_id}")[key])


def test_since_a_time_is_what_is_newer(chat: Chat) -> None:
    p1, p2, p3 = chat.write("1", "2", "3")
    found = chat.read(f"?since={_time(chat, p1)}")
    assert found["order"] == [p3, p2]
    assert _ends(found) == ("", "")


def test_since_the_newest_is_nothing(chat: Chat) -> None:
    [newest] = chat.write("1")
    assert chat.read(f"?since={_time(chat, newest)}")["order"] == []


def test_since_a_time_tells_of_changes_of_older_posts(chat: Chat) -> None:
    p1, p2 = chat.write("1", "2")
    since = _time(chat, p2)
    [reply] = chat.thread(p1, "reply")
    found = chat.read(f"?since={since}")
    assert found["order"] == [reply, p1]
    assert found["posts"][p1]["reply_count"] == 1


def test_since_a_time_tells_of_deletions(node: Node, chat: Chat) -> None:
    [p1] = chat.write("1")
    since = _time(chat, p1)
    chat.delete(node, p1)
    found = chat.read(f"?since={since}")
    assert found["order"] == [p1]
    assert found["posts"][p1]["delete_at"] > 0


def test_since_a_time_takes_no_notice_of_pages(chat: Chat) -> None:
    p1, *others = chat.write("1", "2", "3")
    assert chat.read(f"?since={_time(chat, p1)}&page=5&per_page=1")["order"] == others[::-1]


@pytest.mark.parametrize("value", ["", "0"])
def test_since_no_time_is_the_first_page(chat: Chat, value: str) -> None:
    chat.write("1", "2")
    assert chat.read(f"?since={value}") == chat.read()


def test_since_long_ago_is_the_latest_thousand_and_where_to_go_on(node: Node, chat: Chat) -> None:
    count = 1100
    node.sql(
        "INSERT INTO posts (id, channel_id, seq, create_at, update_at, user_id, message) VALUES "
        + ", ".join(
            f"('x{n:025}', '{chat.channel['id']}', {1000 + n}, {1700000000000 + n}, {1700000000000 + n},"
            f" '{chat.ann.id}', '{n}')"
            for n in range(1, count + 1)
        ),
        settle=False,
    )
    node.sql(f"DELETE FROM posts WHERE id IN ({', '.join(['%s'] * len(chat.oldest))})", *chat.oldest, settle=False)
    node.touch(chat.channel["id"], str(1000 + count))
    found = chat.read("?since=1")
    assert len(found["order"]) == 1000
    assert [found["posts"][found["order"][end]]["message"] for end in (0, -1)] == ["1100", "101"]
    assert found["prev_post_id"] == "x" + "100".zfill(25)
    node.sql("DELETE FROM posts WHERE channel_id = %s", chat.channel["id"])


# Around the first unread


def test_the_unread_come_with_what_was_read_before(chat: Chat) -> None:
    r1, r2 = chat.write("read 1", "read 2")
    chat.view()
    u1, u2, u3 = chat.write("unread 1", "unread 2", "unread 3")
    found = chat.unread()
    assert found["order"] == [u3, u2, u1, r2, r1, *chat.oldest[::-1]]
    assert _ends(found) == ("", "")


def test_the_limits_count_from_the_first_unread(chat: Chat) -> None:
    """The first unread post is one of those after."""
    r1, r2, r3 = chat.write("read 1", "read 2", "read 3")
    chat.view()
    u1, u2, u3 = chat.write("unread 1", "unread 2", "unread 3")
    found = chat.unread("?limit_before=2&limit_after=2")
    assert found["order"] == [u2, u1, r3, r2]
    assert _ends(found) == (r1, u3)
    found = chat.unread("?limit_before=0&limit_after=1")
    assert found["order"] == [u1]
    assert _ends(found) == (r3, u2)


def test_when_all_is_read_the_newest_come(chat: Chat) -> None:
    p1, p2, p3 = chat.write("1", "2", "3")
    chat.view()
    found = chat.unread("?limit_before=2&limit_after=30")
    assert found["order"] == [p3, p2]
    assert _ends(found) == (p1, "")


def test_own_posts_are_read(chat: Chat) -> None:
    chat.write("1")
    own = chat.bob.write(chat.channel["id"], "mine")["id"]
    [unread] = chat.write("2")
    assert chat.unread("?limit_before=1&limit_after=10")["order"] == [unread, own]


def test_the_unread_of_others_are_for_administrators(chat: Chat, admin: Rest) -> None:
    [post] = chat.write("1")
    path = f"/users/{chat.bob.id}{chat.path}/unread"
    refused(chat.ann.call("GET", path), 403, "permissions")
    assert admin.get(path) == chat.unread()
    assert post in chat.unread()["order"]


def test_who_is_no_member_has_nothing_unread(world: World) -> None:
    path = f"/users/me/channels/{world.public['id']}/posts/unread"
    refused(world.teammate.call("GET", path), 404, "app.channel.get_member.missing.app_error")
    refused(world.stranger.call("GET", path), 403, "permissions")


# Threads


def test_a_list_brings_the_threads_it_touches(chat: Chat) -> None:
    [root] = chat.write("root")
    r1, r2 = chat.thread(root, "reply 1", "reply 2")
    p1, p2 = chat.write("1", "2")
    found = chat.read("?per_page=3")
    assert found["order"] == [p2, p1, r2]
    assert set(found["posts"]) == {p2, p1, r2, r1, root}


def test_a_root_brings_its_replies_although_they_are_on_an_other_page(chat: Chat) -> None:
    [root] = chat.write("root")
    replies = chat.thread(root, "reply 1", "reply 2")
    found = chat.read("?page=1&per_page=2")
    assert root in found["order"]
    assert set(replies) <= set(found["posts"])


def test_without_threads_only_the_roots_come_along(chat: Chat) -> None:
    [root] = chat.write("root")
    r1, r2 = chat.thread(root, "reply 1", "reply 2")
    found = chat.read("?per_page=1&skipFetchThreads=true")
    assert found["order"] == [r2]
    assert set(found["posts"]) == {r2, root}
    assert r1 not in found["posts"]


def test_deleted_replies_do_not_come_along(node: Node, chat: Chat) -> None:
    [root] = chat.write("root")
    r1, r2 = chat.thread(root, "reply 1", "reply 2")
    chat.delete(node, r1)
    assert set(chat.read("?per_page=1")["posts"]) == {r2, root}


def test_collapsed_a_list_holds_roots_only_and_who_replied(chat: Chat) -> None:
    [root] = chat.write("root")
    chat.thread(root, "reply 1")
    bobs = chat.bob.write(chat.channel["id"], "reply 2", root_id=root)
    [plain] = chat.write("plain")
    found = chat.read("?collapsedThreads=true&per_page=2")
    assert found["order"] == [plain, root]
    assert set(found["posts"]) == {plain, root}
    assert found["posts"][root]["participants"] == [{"id": chat.bob.id}, {"id": chat.ann.id}]
    assert found["posts"][root]["reply_count"] == 2
    assert found["posts"][root]["last_reply_at"] == bobs["create_at"]
    assert found["posts"][plain]["participants"] is None


def test_not_collapsed_nothing_is_said_of_who_replied(chat: Chat) -> None:
    [root] = chat.write("root")
    chat.thread(root, "reply")
    assert chat.read("?collapsedThreads=false")["posts"][root]["participants"] is None


def test_collapsed_the_ends_are_roots_too(chat: Chat) -> None:
    """A client knows by an empty next id that it has the newest; replies must not stand for more to come."""
    p1, p2 = chat.write("1", "2")
    chat.thread(p1, "reply")
    [p3] = chat.write("3")
    chat.thread(p3, "reply")
    assert _ends(chat.read("?collapsedThreads=true&per_page=1")) == (p2, "")
    assert _ends(chat.read(f"?collapsedThreads=true&after={p1}&per_page=1")) == (p1, p3)
    assert _ends(chat.read(f"?collapsedThreads=true&before={p3}&per_page=1")) == (p1, p3)


def test_collapsed_since_a_time_tells_of_roots_only(chat: Chat) -> None:
    [root] = chat.write("root")
    since = _time(chat, root)
    chat.thread(root, "reply")
    found = chat.read(f"?since={since}&collapsedThreads=true")
    assert found["order"] == [root]
    assert set(found["posts"]) == {root}
    assert found["posts"][root]["participants"] == [{"id": chat.ann.id}]


def test_collapsed_the_unread_are_roots_only(chat: Chat) -> None:
    [root] = chat.write("root")
    chat.view()
    chat.thread(root, "reply")
    [plain] = chat.write("plain")
    found = chat.unread("?collapsedThreads=true&limit_before=1&limit_after=10")
    assert found["order"] == [plain, root]


@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_a_flag_may_be_written_so(chat: Chat, value: str) -> None:
    [root] = chat.write("root")
    [reply] = chat.thread(root, "reply")
    assert reply not in chat.read(f"?collapsedThreads={value}")["posts"]


@pytest.mark.parametrize("value", ["false", "0", "", "yes"])
def test_a_flag_is_not_set_by(chat: Chat, value: str) -> None:
    [root] = chat.write("root")
    [reply] = chat.thread(root, "reply")
    assert reply in chat.read(f"?collapsedThreads={value}")["posts"]


# Who may read


def test_a_public_channel_is_read_by_the_team(world: World) -> None:
    path = f"/channels/{world.public['id']}/posts"
    assert world.teammate.get(path) == world.member.get(path)
    refused(world.stranger.call("GET", path), 403, "permissions")


def test_a_private_channel_is_read_by_its_members_only(world: World) -> None:
    path = f"/channels/{world.private['id']}/posts"
    post = world.team_admin.write(world.private["id"], "for members")
    assert post["id"] in world.member.get(path)["posts"]
    for who in (world.teammate, world.stranger):
        refused(who.call("GET", path), 403, "permissions")


def test_an_unknown_channel_is_as_one_of_others(world: World) -> None:
    refused(world.member.call("GET", f"/channels/{'a' * 26}/posts"), 403, "permissions")


def test_an_old_list_is_not_sent_again_until_something_changes(node: Node, chat: Chat) -> None:
    [post] = chat.write("1")
    for query in ("", "?since=1", f"?before={post}", f"?after={post}", "?page=1&per_page=1"):
        etag = chat.ann.call("GET", chat.path + query).headers["ETag"]
        headers = {"If-None-Match": etag}
        assert chat.ann.call("GET", chat.path + query, headers=headers).status_code == 304
        chat.write("more")
        assert chat.ann.call("GET", chat.path + query, headers=headers).status_code == 200
    etag = chat.ann.call("GET", chat.path).headers["ETag"]
    chat.delete(node, post)
    assert chat.ann.call("GET", chat.path, headers={"If-None-Match": etag}).status_code == 200
