"""Props of posts: what users may say in them, and what of them is shown."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import props
from app.errors import AppError
from db.model.ids import is_id

SECRET = {"url": "http://10.0.0.1/secret", "context": {"token": "s3cret"}}
BUTTONS = {"attachments": [{"text": "choose", "actions": [{"name": "yes", "integration": SECRET}, {"name": "no"}]}]}


def _raw(value: dict[str, Any]) -> props.Props:
    return msgspec.json.decode(json.dumps(value), type=props.Props)


def _of_user(value: dict[str, Any], kept: dict[str, Any] | None = None) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(props.of_user(_raw(value), json.dumps(kept or {})))
    return stored


def _shown(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(props.shown(json.dumps(value)))
    return found


def test_where_a_button_leads_is_stored_and_not_shown() -> None:
    stored = _of_user(BUTTONS)
    actions = stored["attachments"][0]["actions"]
    assert actions[0]["integration"] == SECRET
    assert _shown(stored)["attachments"] == [
        {"text": "choose", "actions": [{"name": "yes", "id": actions[0]["id"]}, {"name": "no", "id": actions[1]["id"]}]}
    ]


@pytest.mark.parametrize(
    "attachments",
    [
        {"integration": SECRET},
        [{"integration": SECRET}],
        [{"actions": {"integration": SECRET}}],
        [{"Actions": [{"Integration": SECRET}]}],
        [[[{"actions": [[{"INTEGRATION": SECRET}]]}]]],
        [{"actions": [{"integration": SECRET, "options": [{"integration": SECRET}]}, 5, None]}, "text", None],
    ],
)
def test_it_is_shown_in_no_other_form_either(attachments: Any) -> None:
    for stored in (_of_user({"attachments": attachments, "x": 1}), {"attachments": attachments, "x": 1}):
        assert "s3cret" not in json.dumps(_shown(stored))
        assert _shown(stored)["x"] == 1


def test_an_escaped_name_hides_nothing() -> None:
    given_props = msgspec.json.decode(
        b'{"\\u0061ttachments":[{"actions":[{"\\u0069ntegration":{"url":"s3cret"}}]}]}', type=props.Props
    )
    assert "s3cret" not in props.shown(props.of_user(given_props))


def test_what_is_no_attachment_is_shown_as_it_is() -> None:
    for text in ("{}", '{"integration": {"a":1}}', '{"a":"attachments"}', '{"a": [1.50, null]}'):
        assert json.loads(props.shown(text)) == json.loads(text)
    assert props.shown('{"a": [1.50, null]}') == '{"a": [1.50, null]}'


def test_a_button_gets_an_id_that_is_the_same_when_the_request_is_tried_again() -> None:
    ids = [action["id"] for action in _of_user(BUTTONS)["attachments"][0]["actions"]]
    assert all(map(is_id, ids))
    assert len(set(ids)) == 2
    assert _of_user(BUTTONS) == _of_user(BUTTONS)
    own = {"attachments": [{"actions": [{"id": "mine"}, {"id": ""}, {"id": None}]}]}
    first, *others = (action["id"] for action in _of_user(own)["attachments"][0]["actions"])
    assert first == "mine"
    assert all(map(is_id, others))


@pytest.mark.parametrize("name", sorted(props.RESERVED))
def test_only_integrations_say_that_a_post_is_theirs(name: str) -> None:
    assert _of_user({name: "true", "mine": 1}) == {"mine": 1}
    assert json.loads(props.of_integration(_raw({name: "true", "mine": 1}))) == {name: "true", "mine": 1}
    assert _of_user({name: "false", "mine": 1}, kept={name: "true", "old": 1}) == {name: "true", "mine": 1}
    assert _of_user({}, kept={name: "true"}) == {name: "true"}, "nor does an edit take it from them"


def test_attachments_that_are_nested_deeply_are_refused() -> None:
    def nested(depth: int) -> props.Props:
        return _raw({"attachments": json.loads("[" * depth + "]" * depth)})

    props.check(nested(props.MAX_ATTACHMENT_DEPTH))
    with pytest.raises(AppError, match="props"):
        props.check(nested(props.MAX_ATTACHMENT_DEPTH + 1))
    with pytest.raises(AppError, match="props"):
        props.check(_raw({"a": "x" * 10_000}))


@pytest.mark.parametrize("frames", [0, 100, 300])
def test_a_row_that_is_nested_too_deeply_is_read_all_the_same(frames: int) -> None:
    """A version without the limit wrote it, perhaps from fewer frames than there are now: a page with it must be read."""

    def shown(deep: int, frames: int) -> str:
        if frames:
            return shown(deep, frames - 1)
        return props.shown('{"attachments":' + "[" * deep + '{"integration":"s3cret"}' + "]" * deep + "}")

    found = [shown(deep, frames) for deep in range(10, 2000, 7)]
    assert found[-1] == "{}"
    assert len(found[0]) > 20
    assert not any("s3cret" in one for one in found)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.sampled_from(["s3cret", "attachments", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["integration", "Integration", "actions", "id", "name"]), inner, max_size=4)
    ),
    max_leaves=15,
)


def _without_integrations(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_integrations(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_integrations(one) for key, one in value.items() if key.lower() != "integration"}
    return value


@given(_json)
def test_nothing_but_integrations_is_taken_away(attachments: Any) -> None:
    shown = _shown({"attachments": attachments, "b": attachments})
    assert shown == {"attachments": _without_integrations(attachments), "b": attachments}
