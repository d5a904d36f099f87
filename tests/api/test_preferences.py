"""Preferences: what is kept, what is refused, and what a user's other clients hear."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from db.model import limits
from tests.api.expect import NOBODYS_ID, refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.socket import Socket
from tests.rig.wait import until

pytestmark = drivers("postgres", "mysql")

Preference = dict[str, Any]


@pytest.fixture
def ann(node: Node) -> Iterator[Rest]:
    """Who has no preferences but the one that every account begins with."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


def _one(who: Rest, category: str = "display_settings", name: str = "colorize", value: str = "true") -> Preference:
    return {"user_id": who.id, "category": category, "name": name, "value": value}


def _put(who: Rest, *preferences: Preference) -> requests.Response:
    return who.call("PUT", f"/users/{who.id}/preferences", [*preferences])


def _save(who: Rest, *preferences: Preference) -> None:
    response = _put(who, *preferences)
    assert (response.status_code, response.json()) == (200, {"status": "OK"})


def _found(who: Rest) -> list[Preference]:
    return [one for one in who.get("/users/me/preferences") if one["category"] != "tutorial_step"]


def test_what_is_saved_is_read_in_all_ways_until_it_is_deleted(ann: Rest) -> None:
    first, second, other = _one(ann), _one(ann, name="b", value=""), _one(ann, "theme_of", "x", "ä🙂\\'\"%")
    assert [one["category"] for one in ann.get("/users/me/preferences")] == ["tutorial_step"]
    _save(ann, first, second, other)
    assert _found(ann) == [second, first, other]
    _save(ann, first | {"value": "false"})
    assert ann.get("/users/me/preferences/display_settings") == [second, first | {"value": "false"}]
    assert ann.get(f"/users/{ann.id}/preferences/theme_of/name/x") == other
    gone = ann.post(f"/users/{ann.id}/preferences/delete", [first, second, _one(ann, "not", "there")])
    assert gone == {"status": "OK"}
    assert _found(ann) == [other]
    refused(
        ann.call("GET", "/users/me/preferences/display_settings"),
        404,
        "api.preference.preferences_category.get.app_error",
    )
    refused(ann.call("GET", "/users/me/preferences/theme_of/name/y"), 400, "app.preference.get.app_error")


def test_of_two_of_one_name_the_last_counts(ann: Rest) -> None:
    _save(ann, _one(ann, value="1"), _one(ann, value="2"))
    assert _found(ann) == [_one(ann, value="2")]


def test_names_that_differ_in_case_or_blanks_only_are_others(ann: Rest) -> None:
    several = [_one(ann, name=name) for name in ("A", "a", "a ", "ä", "")]
    _save(ann, *several)
    assert sorted(one["name"] for one in _found(ann)) == ["", "A", "a", "a ", "ä"]


@pytest.mark.parametrize(
    ("change", "error_id"),
    [
        ({"category": ""}, "model.preference.is_valid.category.app_error"),
        ({"category": "c" * 33}, "model.preference.is_valid.category.app_error"),
        ({"name": "n" * 33}, "model.preference.is_valid.name.app_error"),
        ({"value": "v" * 20_001}, "model.preference.is_valid.value.app_error"),
        ({"category": "theme", "value": "[]"}, "model.preference.is_valid.theme.app_error"),
        ({"category": "theme", "value": '{"a":1}'}, "model.preference.is_valid.theme.app_error"),
        *(
            (
                {"category": "sidebar_settings", "name": "limit_visible_dms_gms", "value": value},
                "model.preference.is_valid.limit_visible_dms_gms.app_error",
            )
            for value in ("", "0", "41", "-1", "ten", "9" * 400, "\uff11")
        ),
        ({"category": "flagged_post", "name": NOBODYS_ID}, "body"),
        ({"category": "flagged_post", "name": "x"}, "body"),
    ],
)
def test_what_is_none_is_refused_and_nothing_beside_it_is_kept(ann: Rest, change: Preference, error_id: str) -> None:
    refused(_put(ann, _one(ann), _one(ann) | change), 400, error_id)
    assert _found(ann) == []


def test_the_longest_are_kept(ann: Rest) -> None:
    longest = _one(ann, "c" * 32, "n" * 32, "🙂" * 20_000)
    _save(ann, longest)
    assert _found(ann) == [longest]


def test_a_theme_has_colours_only(ann: Rest) -> None:
    theme = {"sidebarBg": "#123456", "linkColor": "red;}", "type": "custom", "codeTheme": "github", "short": "#abc"}
    _save(ann, _one(ann, "theme", "", json.dumps(theme)))
    assert json.loads(_found(ann)[0]["value"]) == theme | {"linkColor": "#ffffff"}
    _save(ann, _one(ann, "sidebar_settings", "limit_visible_dms_gms", "40"))


def test_members_that_are_null_are_as_not_given(ann: Rest) -> None:
    _save(ann, _one(ann) | {"value": None, "extra": None})
    assert _found(ann) == [_one(ann, value="")]
    refused(_put(ann, _one(ann) | {"category": None}), 400, "body")


@pytest.mark.parametrize("path", ["", "/delete"])
def test_so_many_at_once_and_of_oneself_only(ann: Rest, bob: Rest, path: str) -> None:
    def send(preferences: list[Preference]) -> requests.Response:
        return ann.call("POST" if path else "PUT", f"/users/me/preferences{path}", preferences)

    many = [_one(ann, name=f"n{number}") for number in range(limits.PREFERENCES_AT_ONCE + 1)]
    assert send(many[1:]).status_code == 200
    refused(send(many), 400, "body")
    refused(send([]), 400, "body")
    what = "delete_preferences.delete" if path else "update_preferences.set"
    refused(send([_one(ann), _one(bob)]), 403, f"api.preference.{what}.app_error")
    assert _found(bob) == []


def test_a_user_has_only_so_many_and_so_large_ones(ann: Rest, node: Node) -> None:
    rows = ", ".join(f"('{ann.id}', 'c', 'n{number}', 'v')" for number in range(limits.PREFERENCES - 2))
    node.sql(f"INSERT INTO preferences (user_id, category, name, value) VALUES {rows}")
    _save(ann, _one(ann))
    assert len(ann.get("/users/me/preferences")) == limits.PREFERENCES
    too_many = "app.preference.save.updating.app_error"
    refused(_put(ann, _one(ann, name="one more")), 400, too_many)
    _save(ann, _one(ann, value="another"))
    node.sql("DELETE FROM preferences WHERE user_id = %s AND category = 'c'", ann.id)
    for number in range(limits.PREFERENCE_CHARACTERS // 200_000 - 1):
        _save(ann, *(_one(ann, f"c{number}", f"n{one}", "v" * 20_000) for one in range(10)))
    _save(ann, *(_one(ann, "more", f"n{one}", "v" * 19_000) for one in range(10)))
    refused(_put(ann, _one(ann, "much", value="v" * 20_000)), 400, too_many)


def test_of_posts_those_are_kept_that_one_may_read(ann: Rest, bob: Rest) -> None:
    team = new_team(bob, ann)
    hidden, seen = new_channel(bob, team, kind="P"), new_channel(bob, team, ann)
    of = {name: bob.write(channel["id"], "post")["id"] for name, channel in (("hidden", hidden), ("seen", seen))}
    _save(ann, _one(ann, "flagged_post", of["seen"]))
    refused(
        _put(ann, _one(ann, "flagged_post", of["seen"]), _one(ann, "flagged_post", of["hidden"])), 403, "permissions"
    )
    assert bob.call("DELETE", f"/posts/{of['seen']}").ok
    refused(_put(ann, _one(ann, "flagged_post", of["seen"])), 400, "body")
    ann.post("/users/me/preferences/delete", [_one(ann, "flagged_post", of["seen"])])
    assert _found(ann) == []


def test_administrators_read_those_of_others(ann: Rest, admin: Rest, bob: Rest) -> None:
    _save(ann, _one(ann))
    assert _one(ann) in admin.get(f"/users/{ann.id}/preferences")
    assert admin.call("PUT", f"/users/{ann.id}/preferences", [_one(ann, value="set")]).ok
    refused(bob.call("GET", f"/users/{ann.id}/preferences"), 403, "permissions")
    refused(bob.call("PUT", f"/users/{ann.id}/preferences", [_one(ann)]), 403, "permissions")
    refused(admin.call("GET", f"/users/{NOBODYS_ID}/preferences"), 404)


def test_the_users_own_clients_hear_of_it_and_nobody_else(ann: Rest, bob: Rest) -> None:
    mine, theirs = Socket.open(ann), Socket.open(bob)
    saved = [_one(ann), _one(ann, name="b", value='"')]
    _save(ann, *saved)
    event = mine.expect("preferences_changed")
    assert json.loads(event["data"]["preferences"]) == saved
    assert event["broadcast"]["user_id"] == ann.id
    ann.post("/users/me/preferences/delete", [saved[0]])
    assert json.loads(mine.expect("preferences_deleted")["data"]["preferences"]) == [saved[0]]
    assert not mine.named("sidebar_category_updated")
    theirs.ask("ping")
    assert not theirs.named("preferences_changed") + theirs.named("preferences_deleted")


def test_many_large_ones_are_heard_in_several_events(ann: Rest) -> None:
    socket = Socket.open(ann)
    saved = [_one(ann, name=f"n{number:02}", value='"\\' * 4_000) for number in range(12)]
    _save(ann, *saved, _one(ann, "last"))
    heard = _until_last(socket)
    assert heard == [*saved, _one(ann, "last")]
    assert len(socket.named("preferences_changed")) > 1


def _until_last(socket: Socket) -> list[Preference]:
    def heard() -> list[Preference]:
        found = [json.loads(one["data"]["preferences"]) for one in socket.named("preferences_changed")]
        return [one for part in found for one in part]

    until(lambda: heard()[-1:] and heard()[-1]["category"] == "last", 10, "the last one to be told")
    return heard()
