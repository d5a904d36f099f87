"""Whatever a request holds: never a 5xx, nothing half-written, the same workers afterwards."""

import json
import string
from collections.abc import Iterator
from typing import Any, get_origin
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.ids import new_id
from tests.api import operations
from tests.api.expect import refused
from tests.api.operations import Operation, example, send
from tests.api.world import World
from tests.rig.node import Node
from tests.rig.scale import PROVING, scale

LIMIT = 300_000  # ServiceSettings.MaximumPayloadSizeBytes
TABLES = (
    "users", "sessions", "preferences", "teams", "team_members", "channels", "channel_members", "channel_events",
    "posts", "post_mentions", "post_versions", "reactions",
)  # fmt: skip
NOT_JSON = [
    b"{",
    b"}",
    b"[",
    b'{"a":}',
    b"{'a':1}",
    b"nul",
    b"{}{}",
    b"{} x",
    b"[1,]",
    b'{"a":1,}',
    b"NaN",
    b"\x00",
    b"a=b",
]
DEEP_JSON = [
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 40_000,
    b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
]
# Each is a whole token of JSON.
HUGE_NUMBERS = [str(2**64).encode(), str(-(2**63) - 1).encode(), b"1" + b"0" * 400, b"1e999", b"-1e999"]

with_body = pytest.mark.parametrize("operation", operations.WITH_BODY, ids=lambda operation: operation.name)
with_parameters = pytest.mark.parametrize("operation", operations.WITH_PARAMETERS, ids=lambda operation: operation.name)
property_test = settings(
    max_examples=scale(20, 400),
    deadline=None,
    derandomize=not PROVING,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _state(node: Node) -> tuple[dict[str, int], dict[str, int]]:
    counts = node.sql("SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES))
    pids = {name: child["pid"] for name, child in node.children().items()}
    return pids, dict(zip(TABLES, counts[0], strict=True))


@pytest.fixture
def untouched(node: Node, world: World) -> Iterator[None]:
    """The test leaves no row behind and every process alive."""
    before = _state(node)
    yield
    assert _state(node) == before


@pytest.fixture
def alive(node: Node, world: World) -> Iterator[None]:
    """The test leaves every process alive."""
    before, _ = _state(node)
    yield
    assert _state(node)[0] == before


def _send(world: World, operation: Operation, body: bytes | Iterator[bytes]) -> Any:
    """By somebody who may do it, with a good path."""
    who = world.team_admin
    return send(who, operation, example(operation, world, who).parameters, data=body)


def _good(world: World, operation: Operation) -> Any:
    return example(operation, world, world.team_admin).body


def _with_field(world: World, operation: Operation, name: str, value: bytes) -> bytes:
    """A good body but for one field, which holds this JSON."""
    body = {key: json.dumps(one).encode() for key, one in _good(world, operation).items()} | {name: value}
    return b"{" + b",".join(json.dumps(key).encode() + b":" + one for key, one in body.items()) + b"}"


def _wrong_types(wanted: Any) -> list[bytes]:
    """JSON values that are none of this type."""
    values = {str: b'"text"', bool: b"true", dict: b'{"key":"value"}', list: b'["text"]', int: b"1", float: b"1.5"}
    kind = get_origin(wanted) or wanted
    assert kind in values, f"say what JSON is not a {wanted}"
    return [value for type_, value in values.items() if type_ is not kind]


def _texts(world: World, operation: Operation, text: bytes) -> Iterator[bytes]:
    """Good bodies but for `text` (JSON without its quotes) within one of their texts, by turns in every one."""
    if not operation.fields:
        yield b'["' + text + b'"]'
        yield b'["' + world.member.id.encode() + b'","' + text + b'"]'
    for name, wanted in operation.fields.items():
        if wanted is str:
            yield _with_field(world, operation, name, b'"ab' + text + b'cd"')
        elif (get_origin(wanted) or wanted) is dict:
            yield _with_field(world, operation, name, b'{"key":"ab' + text + b'cd"}')
            yield _with_field(world, operation, name, b'{"ab' + text + b'cd":"value"}')


@with_body
def test_the_example_is_good(world: World, operation: Operation) -> None:
    """Else the other tests here would prove nothing."""
    response = _send(world, operation, json.dumps(_good(world, operation)).encode())
    assert response.status_code in (200, 201), response.text


@with_body
@pytest.mark.usefixtures("untouched")
def test_an_empty_body_is_refused(world: World, operation: Operation) -> None:
    refused(_send(world, operation, b""), 400)


@with_body
@pytest.mark.usefixtures("untouched")
def test_what_is_not_json_is_refused(world: World, operation: Operation) -> None:
    for body in NOT_JSON:
        refused(_send(world, operation, body), 400, "body")


@with_body
@pytest.mark.usefixtures("untouched")
def test_a_body_of_another_type_is_refused(world: World, operation: Operation) -> None:
    for body in [*_wrong_types(dict if operation.fields else list), b"null"]:
        refused(_send(world, operation, body), 400, "body")


@with_body
@pytest.mark.usefixtures("untouched")
def test_a_field_of_another_type_is_refused(world: World, operation: Operation) -> None:
    for name, wanted in operation.fields.items():
        for value in _wrong_types(wanted):
            refused(_send(world, operation, _with_field(world, operation, name, value)), 400, "body")
    if not operation.fields:
        for value in _wrong_types(str):
            refused(_send(world, operation, b"[" + value + b"]"), 400, "body")


@with_body
@pytest.mark.usefixtures("untouched")
def test_deep_nesting_is_refused(world: World, operation: Operation) -> None:
    for body in DEEP_JSON:
        refused(_send(world, operation, body), 400, "body")


@with_body
@pytest.mark.usefixtures("untouched")
def test_deep_nesting_within_a_field_is_refused(world: World, operation: Operation) -> None:
    for name in [*operation.fields, "unknown"] if operation.fields else []:
        for deep in DEEP_JSON:
            refused(_send(world, operation, _with_field(world, operation, name, deep)), 400, "body")
            inner = b'{"key":' + deep + b"}"
            refused(_send(world, operation, _with_field(world, operation, name, inner)), 400, "body")


@with_body
@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("octets", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"])
def test_what_is_not_utf_8_is_refused(world: World, operation: Operation, octets: bytes) -> None:
    for body in _texts(world, operation, octets):
        refused(_send(world, operation, body), 400, "body")
    if operation.fields:
        refused(_send(world, operation, _with_field(world, operation, "unknown", b'"' + octets + b'"')), 400, "body")


@with_body
@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("text", [b"\\ud800", b"\\udc00", b"\\udc00\\ud800", b"\\ud800\\u0041"])
def test_a_lone_surrogate_is_refused(world: World, operation: Operation, text: bytes) -> None:
    for body in _texts(world, operation, text):
        refused(_send(world, operation, body), 400, "body")


@with_body
@pytest.mark.usefixtures("untouched")
def test_a_nul_character_is_refused(world: World, operation: Operation) -> None:
    for body in _texts(world, operation, b"\\u0000"):
        refused(_send(world, operation, body), 400)


@with_body
@pytest.mark.usefixtures("untouched")
def test_numbers_beyond_64_bits_are_refused(world: World, operation: Operation) -> None:
    for name in operation.fields:
        for number in HUGE_NUMBERS:
            refused(_send(world, operation, _with_field(world, operation, name, number)), 400, "body")
    if not operation.fields:
        for number in HUGE_NUMBERS:
            refused(_send(world, operation, b"[" + number + b"]"), 400, "body")


@with_body
@pytest.mark.usefixtures("untouched")
def test_a_body_of_10_mb_is_refused(world: World, operation: Operation) -> None:
    response = _send(world, operation, b'"' + b"a" * 10_000_000 + b'"')
    refused(response, 413, "api.context.request_body_too_large.app_error")
    assert response.headers["Connection"] == "close"


@with_body
@pytest.mark.usefixtures("untouched")
def test_a_body_that_does_not_say_how_long_it_is_is_refused_beyond_the_limit(
    world: World, operation: Operation
) -> None:
    response = _send(world, operation, iter([b"[", *[b" " * 65_536] * 5, b"]"]))
    refused(response, 413, "api.context.request_body_too_large.app_error")


@pytest.mark.usefixtures("untouched")
def test_a_body_of_the_limit_is_read(world: World) -> None:
    body = b'{"unknown":""}'
    response = world.team_admin.call("POST", "/posts", data=body + b" " * (LIMIT - len(body)))
    refused(response, 400, "body")
    response = world.team_admin.call("POST", "/posts", data=body + b" " * (LIMIT - len(body) + 1))
    refused(response, 413)


@pytest.mark.usefixtures("untouched")
def test_a_number_that_no_double_can_hold_is_refused_in_props(world: World) -> None:
    for number in (b"1e999", b"-1e999", b"[1e999]"):
        body = b'{"channel_id":"' + world.private["id"].encode() + b'","props":{"key":' + number + b"}}"
        refused(world.member.call("POST", "/posts", data=body), 400, "body")


def test_the_text_of_an_escape_is_no_nul_character(world: World) -> None:
    text = "a backslash and u0000: \\u0000"
    post = world.member.write(world.private["id"], text, props={"key": text})
    assert post["message"] == text
    assert post["props"] == {"key": text}


def test_props_may_be_nested_as_deeply_as_anybody_needs(world: World) -> None:
    props: dict[str, Any] = {}
    for _ in range(100):
        props = {"a": [props]}
    assert world.member.write(world.private["id"], "nested", props=props)["props"] == props


def test_null_is_as_not_given(world: World) -> None:
    post = world.member.write(world.private["id"], "null", root_id=None, props=None, pending_post_id=None, type=None)
    assert (post["root_id"], post["props"], post["pending_post_id"], post["type"]) == ("", {}, "", "")


def test_null_within_props_stays(world: World) -> None:
    assert world.member.write(world.private["id"], "null", props={"a": None, "b": [None]})["props"] == {
        "a": None,
        "b": [None],
    }


def test_unknown_fields_are_ignored(world: World) -> None:
    post = world.member.write(world.private["id"], "hello", no_such_field=[1, {"a": None}])
    assert "no_such_field" not in post


MALFORMED_IDS = [
    "x", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "-", "a" * 25 + "%20", "%00" * 26, "%C3%A4" * 26, "%FF" * 26,
    "%D9%A1" * 26, "1" * 5000, "'%20OR%201=1--", "null", "undefined", "%25s", "Me", "me%20", "a" * 26 + "%0A",
]  # fmt: skip
# Taking back what was never given is no error, in Mattermost as here: no reaction of this name, or of this user.
MAY_BE_NOTHING = frozenset({"emoji_name", "user_id"})
MALFORMED_NAMES = ["%00", "%FF%FE", "a" * 65, "a" * 5000, "%0A", "%E2%80%A8", "a%00b", "%ED%A0%80"]


@with_parameters
@pytest.mark.usefixtures("untouched")
def test_malformed_parts_of_the_path_are_refused(world: World, operation: Operation) -> None:
    who = world.team_admin
    good = example(operation, world, who)
    for name in operation.parameters:
        for value in MALFORMED_IDS if name.endswith("_id") else MALFORMED_NAMES:
            response = send(who, operation, good.parameters | {name: value}, json=good.body)
            if name.endswith("_id"):
                assert refused(response, 400, "url")["message"].split()[3] == name
            else:
                refused(response)


@with_parameters
@pytest.mark.usefixtures("untouched")
def test_ids_and_names_that_nothing_has_are_refused(world: World, operation: Operation) -> None:
    who = world.team_admin
    good = example(operation, world, who)
    for name in operation.parameters:
        response = send(who, operation, good.parameters | {name: new_id()}, json=good.body)
        if operation.template.endswith("/{emoji_name}") and name in MAY_BE_NOTHING and response.status_code == 200:
            continue
        assert refused(response)["status_code"] in (400, 403, 404)


@with_parameters
@pytest.mark.usefixtures("untouched")
def test_ids_and_names_that_nothing_has_are_refused_to_the_administrator(world: World, operation: Operation) -> None:
    who = world.system_admin
    good = example(operation, world, world.team_admin)
    for name in operation.parameters:
        response = send(who, operation, good.parameters | {name: new_id()}, json=good.body)
        if operation.template.endswith("/{emoji_name}") and name in MAY_BE_NOTHING and response.status_code == 200:
            continue
        assert refused(response)["status_code"] in (400, 403, 404)


@pytest.mark.parametrize("query", ["page=-1", "page=abc", "page=1.5", "page=", "page=%FF", "page=+0", "page=0x0"])
def test_a_page_that_is_no_number_is_the_first_one(world: World, query: str) -> None:
    for path in (f"/channels/{world.private['id']}/posts", f"/channels/{world.private['id']}/members"):
        assert world.member.get(f"{path}?{query}") == world.member.get(path)


@pytest.mark.parametrize("query", ["per_page=1e9", "per_page=-1", "per_page=abc", "per_page=", "per_page=%00"])
def test_a_page_size_that_is_no_number_is_the_default(world: World, query: str) -> None:
    for path in (f"/channels/{world.private['id']}/posts", f"/channels/{world.private['id']}/members"):
        assert world.member.get(f"{path}?{query}") == world.member.get(path)


@pytest.mark.parametrize("page", ["1000000", "9223372036854775807", "9223372036854775808", "9" * 400])
def test_a_page_beyond_the_last_is_empty(world: World, page: str) -> None:
    assert world.member.get(f"/channels/{world.private['id']}/posts?page={page}&per_page=200")["order"] == []
    assert world.member.get(f"/channels/{world.private['id']}/members?page={page}&per_page=200") == []


NO_NUMBERS = ["abc", "-1", "1.5", "1e3", "9223372036854775808", "9" * 400, "%00", "%D9%A1", "+5", "0x10", "1%201"]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_time_that_is_no_number_is_refused(world: World, value: str) -> None:
    who = world.member
    refused(who.call("GET", f"/channels/{world.private['id']}/posts?since={value}"), 400, "url")
    refused(who.call("POST", f"/users/ids?since={value}", [who.id]), 400, "url")
    path = f"/users/me/teams/{world.team['id']}/channels?include_deleted=true&last_delete_at={value}"
    refused(who.call("GET", path), 400, "url")


@pytest.mark.parametrize("value", ["not-an-id", "%00", "a" * 27, "A" * 26, new_id()])
@pytest.mark.parametrize("key", ["before", "after"])
def test_a_list_beside_a_post_that_is_none_is_refused(world: World, key: str, value: str) -> None:
    refused(world.member.call("GET", f"/channels/{world.private['id']}/posts?{key}={value}"), 400, "url")


def test_a_limit_of_0_posts_after_is_refused(world: World) -> None:
    path = f"/users/me/channels/{world.private['id']}/posts/unread"
    refused(world.member.call("GET", f"{path}?limit_after=0"), 400, "url")
    assert world.member.get(f"{path}?limit_after=-1&limit_before=abc") == world.member.get(path)


@pytest.mark.parametrize("query", ["%", "%zz=1", "&&&", "=", "a" * 5000, "%FF=%FF", "page=1&page=2", "[]=1", ";"])
def test_odd_queries_do_no_harm(world: World, query: str) -> None:
    response = world.member.call("GET", f"/channels/{world.private['id']}?{query}")
    assert response.status_code == 200


@pytest.mark.parametrize("header", ["Authorization", "Cookie", "If-None-Match", "X-CSRF-Token", "X-Forwarded-Proto"])
@pytest.mark.parametrize("value", [b"\xff\xfe", b"", b"a" * 8000, b'"', b"=;=;", b"W/", b'MMAUTHTOKEN="'])
def test_odd_headers_do_no_harm(world: World, header: str, value: bytes) -> None:
    url = f"{world.nobody.url}/api/v4/users/me"
    headers: dict[str, str | bytes | None] = {"Authorization": f"Bearer {world.member.token}", header: value}
    response = world.nobody.session.get(url, headers=headers, timeout=10)
    if response.status_code != 200:
        refused(response, 401)


_text = st.text(max_size=30)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)


def _assert_answered(response: Any) -> None:
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        refused(response)


@with_body
@pytest.mark.usefixtures("alive")
@property_test
@given(body=_json)
def test_any_json_is_answered(world: World, operation: Operation, body: Any) -> None:
    _assert_answered(_send(world, operation, json.dumps(body).encode()))


@with_body
@pytest.mark.usefixtures("alive")
@property_test
@given(data=st.data())
def test_any_values_in_a_good_body_are_answered(world: World, operation: Operation, data: st.DataObject) -> None:
    good = _good(world, operation)
    if operation.fields:
        names = st.sampled_from(sorted(operation.fields))
        body: Any = good | data.draw(st.dictionaries(names, _json, min_size=1))
    else:
        body = data.draw(st.lists(st.sampled_from(good) | _json, max_size=4))
    _assert_answered(_send(world, operation, json.dumps(body).encode()))


@with_body
@pytest.mark.usefixtures("alive")
@property_test
@given(body=st.binary(max_size=200))
def test_any_bytes_are_answered(world: World, operation: Operation, body: bytes) -> None:
    _assert_answered(_send(world, operation, body))


# Not of a path's own syntax: a slash leads elsewhere, and a client resolves dots itself.
_part = (
    st.text(st.characters(exclude_characters="/"), min_size=1, max_size=70)
    | st.text(string.ascii_lowercase + string.digits, min_size=26, max_size=26)
).filter(lambda part: part not in (".", "..", "me"))


@with_parameters
@pytest.mark.usefixtures("alive")
@property_test
@given(data=st.data())
def test_any_text_in_the_path_is_answered(world: World, operation: Operation, data: st.DataObject) -> None:
    who = world.team_admin
    good = example(operation, world, who)
    name = data.draw(st.sampled_from(operation.parameters))
    part = quote(data.draw(_part).encode("utf-8", "surrogatepass"), safe="")
    response = send(who, operation, good.parameters | {name: part}, json=good.body)
    _assert_answered(response)
