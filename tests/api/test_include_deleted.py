"""`include_deleted`: system administrators, and only they, read what was deleted."""

from typing import Any

import pytest

from tests.api.expect import refused
from tests.plugins.drivers import drivers
from tests.rig.people import new_channel, new_team
from tests.rig.rest import Rest

pytestmark = drivers("postgres", "mysql")


@pytest.fixture
def posts(ann: Rest, bob: Rest) -> dict[str, Any]:
    """Ann's channel with three posts and two replies to the first; the second and a reply are deleted."""
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    first, second, third = [ann.write(channel["id"], text) for text in ("1", "2", "3")]
    kept, gone = [bob.write(channel["id"], text, root_id=first["id"]) for text in ("kept", "gone")]
    ann.call("DELETE", f"/posts/{second['id']}").raise_for_status()
    bob.call("DELETE", f"/posts/{gone['id']}").raise_for_status()
    ids = {"first": first, "second": second, "third": third, "kept": kept, "gone": gone}
    return {"channel": channel["id"], "since": first["create_at"] - 1, **{key: one["id"] for key, one in ids.items()}}


def _lists(posts: dict[str, Any]) -> list[str]:
    return [
        f"/channels/{posts['channel']}/posts?page=0",
        f"/channels/{posts['channel']}/posts?since={posts['since']}",
        f"/channels/{posts['channel']}/posts?before={posts['gone']}",
        f"/channels/{posts['channel']}/posts?after={posts['first']}",
    ]


@pytest.mark.parametrize("value", ["true", "1", "T"])
def test_nobody_else_may_ask(ann: Rest, posts: dict[str, Any], value: str) -> None:
    single = [f"/posts/{posts[key]}{what}?" for key in ("first", "second", "gone") for what in ("", "/thread")]
    for path in [*_lists(posts), *single]:
        refused(ann.call("GET", f"{path}&include_deleted={value}"), 403, "permissions")
    unread = f"/users/me/channels/{posts['channel']}/posts/unread?include_deleted={value}"
    refused(ann.call("GET", unread), 403, "permissions")


@pytest.mark.parametrize("value", ["false", "0", "", "yes"])
def test_what_is_not_asked_for_is_not_refused(ann: Rest, posts: dict[str, Any], value: str) -> None:
    for path in _lists(posts):
        assert ann.call("GET", f"{path}&include_deleted={value}").json() == ann.get(path)
    refused(ann.call("GET", f"/posts/{posts['second']}?include_deleted={value}"), 404)


def test_an_administrator_reads_a_deleted_post(admin: Rest, posts: dict[str, Any]) -> None:
    refused(admin.call("GET", f"/posts/{posts['second']}"), 404)
    found = admin.get(f"/posts/{posts['second']}?include_deleted=true")
    assert found["message"] == "2"
    assert found["delete_at"] > 0
    assert admin.get(f"/posts/{posts['first']}?include_deleted=true")["delete_at"] == 0


def test_deleted_posts_stand_in_their_places(admin: Rest, posts: dict[str, Any]) -> None:
    everything = [posts[key] for key in ("gone", "kept", "third", "second", "first")]
    page, since, before, after = [admin.get(f"{path}&include_deleted=true") for path in _lists(posts)]
    assert page["order"][:5] == everything
    assert set(since["order"]) == set(everything)
    assert before["order"][:4] == everything[1:]
    assert after["order"] == everything[:4]
    assert page["posts"][posts["second"]]["message"] == "2"
    page, _, before, after = [admin.get(path) for path in _lists(posts)]
    assert page["order"][:3] == [posts["kept"], posts["third"], posts["first"]]
    assert before["order"][:3] == [posts["kept"], posts["third"], posts["first"]]
    assert after["order"] == [posts["kept"], posts["third"]]


def test_threads_and_neighbours_are_of_the_same_kind(admin: Rest, posts: dict[str, Any]) -> None:
    path = f"/channels/{posts['channel']}/posts?per_page=1"
    with_deleted = admin.get(f"{path}&include_deleted=true&page=1")
    assert with_deleted["order"] == [posts["kept"]]
    assert {posts["first"], posts["gone"]} <= set(with_deleted["posts"])
    assert with_deleted["next_post_id"] == posts["gone"]
    without = admin.get(path)
    assert without["order"] == [posts["kept"]]
    assert posts["gone"] not in without["posts"]
    assert (without["next_post_id"], without["prev_post_id"]) == ("", posts["third"])


def test_an_administrator_reads_a_thread_with_what_was_deleted_of_it(
    admin: Rest, ann: Rest, posts: dict[str, Any]
) -> None:
    thread = f"/posts/{posts['first']}/thread"
    everything = {posts["first"], posts["kept"], posts["gone"]}
    assert set(admin.get(f"{thread}?include_deleted=true")["posts"]) == everything
    assert set(admin.get(thread)["posts"]) == everything - {posts["gone"]}
    assert set(admin.get(f"/posts/{posts['gone']}/thread?include_deleted=true")["posts"]) == everything
    ann.call("DELETE", f"/posts/{posts['first']}").raise_for_status()
    refused(admin.call("GET", thread), 404)
    found = admin.get(f"{thread}?include_deleted=true")["posts"]
    assert set(found) == everything
    assert found[posts["gone"]]["message"] == "gone"
    page = admin.get(f"/channels/{posts['channel']}/posts?per_page=1&page=1&include_deleted=true")
    assert page["order"] == [posts["kept"]]
    assert set(page["posts"]) == everything


def test_a_copy_for_administrators_is_nobody_elses(admin: Rest, ann: Rest, posts: dict[str, Any]) -> None:
    path = f"/channels/{posts['channel']}/posts"
    admin.get(f"{path}?include_deleted=true")
    assert posts["second"] not in ann.get(path)["posts"]
    refused(ann.call("GET", f"{path}?include_deleted=true"), 403, "permissions")
    etag = admin.call("GET", f"{path}?include_deleted=true").headers["ETag"]
    refused(ann.call("GET", f"{path}?include_deleted=true", headers={"If-None-Match": etag}), 403, "permissions")
