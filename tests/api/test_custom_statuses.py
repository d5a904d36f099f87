"""What people say of themselves for a while, and "do not disturb" for a while: who hears of it, and how it ends by itself."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api.conftest import Add, Configure
from tests.api.expect import refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.rest import Rest
from tests.rig.socket import Socket
from tests.rig.wait import until

pytestmark = drivers("postgres", "mysql")
PATH = "/users/me/status/custom"
TEA = {"emoji": "tea", "text": "Tea"}
NEVER = "0001-01-01T00:00:00Z"
RECENT_ERROR = "api.custom_status.recent_custom_statuses.delete.app_error"


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def _current(who: Rest, of: str = "me") -> dict[str, Any] | None:
    text = who.get(f"/users/{of}")["props"].get("customStatus")
    return json.loads(text) if text else None


def _recent(node: Node, who: Rest) -> list[dict[str, Any]]:
    rows = node.sql("SELECT value FROM preferences WHERE user_id = %s AND category = 'custom_status'", who.id)
    found: list[dict[str, Any]] = json.loads(rows[0][0])
    return found


def test_a_status_is_in_the_props_of_its_user_and_everybody_hears_of_it(node: Node, ann: Rest, bob: Rest) -> None:
    socket, own = Socket.open(bob), Socket.open(ann)
    assert ann.call("PUT", PATH, TEA).status_code == 200
    stored = {**TEA, "duration": "", "expires_at": NEVER}
    assert _current(bob, ann.id) == stored
    assert _recent(node, ann) == [stored]
    told = socket.expect("user_updated")["data"]["user"]["props"]
    assert json.loads(told["customStatus"]) == stored
    preference = json.loads(own.expect("preferences_changed")["data"]["preferences"])[0]
    assert (preference["user_id"], preference["name"]) == (ann.id, "recent_custom_statuses")
    assert json.loads(preference["value"]) == [stored]
    ends = _in(3600)
    lunch = {"emoji": "pizza", "text": "Lunch", "duration": "one_hour", "expires_at": ends}
    assert ann.call("PUT", PATH, lunch).status_code == 200
    assert _current(ann) == lunch
    assert _recent(node, ann) == [lunch, stored]
    assert ann.call("DELETE", PATH).status_code == 200
    assert ann.call("DELETE", PATH).status_code == 200
    assert _current(ann) is None
    assert ann.call("DELETE", f"{PATH}/recent", TEA).status_code == 200
    refused(ann.call("DELETE", f"{PATH}/recent", TEA), 400, RECENT_ERROR)
    assert ann.call("POST", f"{PATH}/recent/delete", lunch).status_code == 200
    assert _recent(node, ann) == []
    assert not socket.named("preferences_changed")
    for one in (socket, own):
        one.close()


def test_what_is_no_status_is_refused_and_others_are_nobodys_to_set(ann: Rest, bob: Rest, admin: Rest) -> None:
    for bad in ({}, {"text": ""}, {"text": "x", "duration": "today"}, {"text": "x", "expires_at": _in(-5)}):
        refused(ann.call("PUT", PATH, bad), 400, "body")
    refused(bob.call("PUT", f"/users/{ann.id}/status/custom", TEA), 403, "permissions")
    refused(bob.call("DELETE", f"/users/{ann.id}/status/custom"), 403, "permissions")
    assert admin.call("PUT", f"/users/{ann.id}/status/custom", TEA).status_code == 200
    refused(admin.call("PUT", f"/users/{'z' * 26}/status/custom", TEA), 404, "app.user.missing_account.const")


def test_custom_statuses_can_be_switched_off(add: Add, configure: Configure) -> None:
    user = add()
    assert user.get("/config/client?format=old")["EnableCustomUserStatuses"] == "true"
    configure({"TeamSettings": {"EnableCustomUserStatuses": False}})
    assert user.get("/config/client?format=old")["EnableCustomUserStatuses"] == "false"
    for method, path in (
        ("PUT", PATH),
        ("DELETE", PATH),
        ("DELETE", f"{PATH}/recent"),
        ("POST", f"{PATH}/recent/delete"),
    ):
        refused(user.call(method, path, TEA), 501, "api.custom_status.disabled")


def test_a_status_ends_by_itself_and_is_cleared_once(node: Node, ann: Rest, bob: Rest) -> None:
    socket = Socket.open(bob)
    body = {**TEA, "duration": "date_and_time", "expires_at": _in(2)}
    assert ann.call("PUT", PATH, body).status_code == 200
    until(lambda: _current(bob, ann.id) is None, 4, "what has ended is not shown")
    until(lambda: len(socket.named("user_updated")) == 2, 10, "the end is told")
    assert socket.named("user_updated")[1]["data"]["user"]["props"]["customStatus"] == ""
    row = node.sql("SELECT props, custom_status_ends_at FROM users WHERE id = %s", ann.id)[0]
    assert json.loads(row[0])["customStatus"] == ""
    assert row[1] == 0
    time.sleep(6)  # the job's next turn
    assert len(socket.named("user_updated")) == 2
    socket.close()


def _status(who: Rest) -> dict[str, Any]:
    found: dict[str, Any] = who.get("/users/me/status")
    return found


def test_do_not_disturb_ends_by_itself(ann: Rest) -> None:
    """Then the presence is automatic again, and what it is: of who is connected online."""
    socket = Socket.open(ann)
    until(lambda: _status(ann)["status"] == "online", 10, "online")
    ends = int(time.time()) + 2
    body = {"user_id": ann.id, "status": "dnd", "dnd_end_time": ends}
    chosen = ann.call("PUT", "/users/me/status", body).json()
    assert (chosen["status"], chosen["manual"], chosen["dnd_end_time"]) == ("dnd", True, ends)
    assert ann.post("/users/status/ids", [ann.id]) == [chosen]
    socket.expect("status_change", status="dnd")
    before = len(socket.named("status_change", status="online"))
    until(lambda: _status(ann)["status"] == "online", 10, "online again")
    assert (_status(ann)["manual"], _status(ann)["dnd_end_time"]) == (False, 0)
    until(lambda: len(socket.named("status_change", status="online")) == before + 1, 5, "the end is told")
    socket.close()


def test_who_is_gone_is_offline_when_do_not_disturb_ends(ann: Rest) -> None:
    body = {"user_id": ann.id, "status": "dnd", "dnd_end_time": int(time.time()) + 1}
    ann.call("PUT", "/users/me/status", body)
    until(lambda: _status(ann)["status"] == "offline", 10, "offline")


def test_another_choice_ends_the_time(ann: Rest) -> None:
    body = {"user_id": ann.id, "status": "dnd", "dnd_end_time": int(time.time()) + 3600}
    assert ann.call("PUT", "/users/me/status", body).json()["dnd_end_time"] > 0
    again = {"user_id": ann.id, "status": "dnd"}
    assert ann.call("PUT", "/users/me/status", again).json()["dnd_end_time"] == 0
    away = {"user_id": ann.id, "status": "away", "dnd_end_time": 5}
    assert ann.call("PUT", "/users/me/status", away).json()["dnd_end_time"] == 0
