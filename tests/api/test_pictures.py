"""Pictures of users who have none of their own: what is answered, and what is not sent again."""

import io

from PIL import Image

from db.model.ids import new_id
from tests.api.expect import refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.rest import Rest
from tests.rig.socket import Socket

pytestmark = drivers("postgres", "mysql")


def test_everybody_has_a_picture_which_is_sent_once(node: Node, ann: Rest, bob: Rest) -> None:
    path = f"/users/{ann.id}/image"
    first = bob.call("GET", path)
    assert (first.status_code, first.headers["Content-Type"]) == (200, "image/png")
    assert first.headers["Cache-Control"] == "max-age=86400, private"
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    picture = Image.open(io.BytesIO(first.content))
    assert (picture.format, picture.size) == ("PNG", (128, 128))
    again = bob.call("GET", f"{path}?_=5", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert (again.headers["ETag"], again.headers["Cache-Control"]) == (tag, "max-age=86400, private")
    for _ in range(5):  # of all workers
        assert bob.call("GET", path).content == first.content
    assert bob.call("GET", f"{path}/default").content == first.content
    assert ann.call("GET", "/users/me/image").content == first.content


def test_there_is_no_picture_of_nobody(ann: Rest) -> None:
    refused(ann.call("GET", f"/users/{new_id()}/image"), 404, "app.user.missing_account.const")
    refused(ann.call("GET", f"/users/{new_id()}/image/default"), 404, "app.user.missing_account.const")
    refused(Rest(ann.url).call("GET", f"/users/{ann.id}/image"), 401)


def test_ones_own_picture_is_taken_away_once(node: Node, ann: Rest, bob: Rest) -> None:
    path = f"/users/{ann.id}/image"
    refused(bob.call("DELETE", path), 403, "permissions")
    assert ann.call("DELETE", path).status_code == 200
    assert "last_picture_update" not in ann.get("/users/me")  # there was none: nothing changes
    node.sql("UPDATE users SET last_picture_update = 5 WHERE id = %s", ann.id)
    socket = Socket.open(bob)
    tag = ann.call("GET", path).headers["ETag"]
    assert ann.call("DELETE", path).status_code == 200
    rows = node.sql("SELECT action FROM audits WHERE user_id = %s AND result = 'success'", ann.id)
    assert ("setDefaultProfileImage",) in rows
    user = socket.expect("user_updated")["data"]["user"]
    assert user["last_picture_update"] == -user["update_at"]
    assert ann.call("GET", path).headers["ETag"] != tag
    assert ann.call("DELETE", path).status_code == 200
    assert ann.get("/users/me")["update_at"] == user["update_at"]
    socket.close()
