"""What users say of a post beside its text: props that are not theirs to set, buttons, files that are not there."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.props import RESERVED
from tests.api.editing import Post, patch, put
from tests.api.expect import NOBODYS_ID, refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
from tests.rig.rest import Rest, unique
from tests.rig.socket import Socket

pytestmark = drivers("postgres", "mysql")

BUTTON = {"name": "yes", "integration": {"url": "http://10.0.0.1", "context": {"token": "s3cret"}}}
WITH_BUTTON = {"attachments": [{"text": "choose", "actions": [BUTTON]}]}


@pytest.fixture
def channel(ann: Rest, bob: Rest) -> Post:
    """A channel of ann and bob."""
    return new_channel(ann, new_team(ann, bob), bob)


@pytest.fixture
def post(ann: Rest, channel: dict[str, Any]) -> Post:
    """A post of ann's."""
    return ann.write(channel["id"], "before", props={"key": 1})


@pytest.fixture
def bobs(bob: Rest, channel: Post) -> Iterator[Socket]:
    """What bob hears."""
    socket = Socket.open(bob)
    yield socket
    socket.close()


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_new_post_says_nothing_that_only_integrations_say(
    ann: Rest, admin: Rest, channel: Post, bobs: Socket, name: str
) -> None:
    """Neither an administrator's: nobody is shown as a bot or a webhook who is none."""
    direct = admin.post("/channels/direct", [admin.id, ann.id])
    assert admin.write(direct["id"], "hello", props=_reserved(name))["props"] == {"key": 1}
    post = ann.write(channel["id"], "hello", props=_reserved(name))
    assert post["props"] == {"key": 1}
    assert bobs.expect_post("hello") == post == ann.get(f"/posts/{post['id']}")


def _reserved(name: str) -> dict[str, Any]:
    return {name: "true", "key": 1}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_an_edit_says_nothing_that_only_integrations_say(ann: Rest, post: Post, name: str) -> None:
    assert put(ann, post, message="put", props=_reserved(name))["props"] == {"key": 1}
    assert patch(ann, post, props=_reserved(name))["props"] == {"key": 1}
    assert ann.get(f"/posts/{post['id']}")["props"] == {"key": 1}


def test_what_an_integration_said_of_its_post_stays(node: Node, ann: Rest, post: Post) -> None:
    node.sql("UPDATE posts SET props = %s WHERE id = %s", '{"from_webhook":"true"}', post["id"])
    assert patch(ann, post, props={"key": 2})["props"] == {"key": 2, "from_webhook": "true"}
    assert put(ann, post, message="put")["props"] == {"from_webhook": "true"}


def test_a_file_that_is_not_there_is_not_put_to_a_post(ann: Rest, post: Post) -> None:
    for method, path in (("PUT", f"/posts/{post['id']}"), ("PUT", f"/posts/{post['id']}/patch")):
        body = {"id": post["id"], "message": "x", "file_ids": [NOBODYS_ID]}
        refused(ann.call(method, path, body), 400, "body")
    assert ann.get(f"/posts/{post['id']}") == post


def test_buttons_of_an_edited_post_lead_nowhere_that_is_shown(node: Node, ann: Rest, post: Post, bobs: Socket) -> None:
    for number in range(2):  # the second is a retry: it is no change
        edited = patch(ann, post, props=WITH_BUTTON)
        assert set(edited["props"]["attachments"][0]["actions"][0]) == {"id", "name"}, number
    ann.write(post["channel_id"], "later")
    bobs.expect_post("later")
    (event,) = bobs.named("post_edited")
    assert json.loads(event["data"]["post"]) == edited == ann.get(f"/posts/{post['id']}")
    assert "s3cret" in node.sql("SELECT props FROM posts WHERE id = %s", post["id"])[0][0]


def test_where_a_button_leads_is_shown_through_no_door(
    node: Node, ann: Rest, bob: Rest, channel: Post, bobs: Socket
) -> None:
    pending = unique("pending")
    post = ann.write(channel["id"], "buttons", props=WITH_BUTTON, pending_post_id=pending)
    where = f"/channels/{channel['id']}"
    ann.post(f"/posts/{post['id']}/pin", {})
    for who in (ann, bob):
        shown = [
            who.get(path)
            for path in (
                f"/posts/{post['id']}",
                *[f"{where}/posts{query}" for query in ("", "?since=1", f"?after={post['id']}", "?collapsedThreads=1")],
                f"{where}/pinned",
                f"/users/me{where}/posts/unread",
            )
        ]
        assert "s3cret" not in json.dumps(shown)
        assert set(shown[0]["props"]["attachments"][0]["actions"][0]) == {"id", "name"}
    again = ann.write(channel["id"], "buttons", props=WITH_BUTTON, pending_post_id=pending)
    assert again["props"] == post["props"]
    ann.call("DELETE", f"/posts/{post['id']}")
    bobs.expect("post_deleted")
    assert "s3cret" not in json.dumps([post, again, bobs.events])
    assert "s3cret" in node.sql("SELECT props FROM posts WHERE id = %s", post["id"])[0][0]


@pytest.mark.parametrize("file_ids", [[NOBODYS_ID], [""], ["x"], [NOBODYS_ID] * 11])
def test_a_file_that_is_not_there_is_refused(node: Node, ann: Rest, channel: Post, file_ids: list[str]) -> None:
    body = {"channel_id": channel["id"], "message": unique("no file"), "file_ids": file_ids}
    refused(ann.call("POST", "/posts", body), 400, "body")
    assert node.sql("SELECT count(*) FROM posts WHERE message = %s", body["message"]) == [(0,)]
    nothing: list[list[str] | None] = [[], None]
    for empty in nothing:
        assert "file_ids" not in ann.write(channel["id"], "no file", file_ids=empty)
