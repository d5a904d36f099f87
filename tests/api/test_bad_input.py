"""Whatever a request holds: never a 5xx, and the same workers afterwards. What is always refused: test_refusals.py."""

import json
import string
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.operation import Operation
from tests.api.bodies import good, send_body, with_body, with_parameters
from tests.api.expect import NOBODYS_ID, refused
from tests.api.operations import example, fields_of, send
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.scale import PROVING, scale

pytestmark = drivers("postgres", "mysql")  # what of it reaches a database must suit each

property_test = settings(
    max_examples=scale(20, 400),
    deadline=None,
    derandomize=not PROVING,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@with_body
def test_the_example_is_good(world: World, operation: Operation) -> None:
    """Else the other tests here would prove nothing. Or it is about something that is not there, and well-formed."""
    response = send_body(world, operation, json.dumps(good(world, operation)).encode())
    if "team_admin" in operation.example.answers:
        assert response.status_code == operation.example.answers["team_admin"]
        assert not response.json()["id"].startswith("api.context.")
        return
    assert response.status_code in (200, 201), response.text


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


@pytest.mark.parametrize("value", ["not-an-id", "%00", "a" * 27, "A" * 26, NOBODYS_ID])
@pytest.mark.parametrize("key", ["before", "after"])
def test_a_list_beside_a_post_that_is_none_is_refused(world: World, key: str, value: str) -> None:
    refused(world.member.call("GET", f"/channels/{world.private['id']}/posts?{key}={value}"), 400, "url")


def test_a_limit_of_0_posts_after_is_refused(world: World) -> None:
    path = f"/users/me/channels/{world.private['id']}/posts/unread"
    refused(world.member.call("GET", f"{path}?limit_after=0"), 400, "url")
    assert world.member.get(f"{path}?limit_after=-1&limit_before=abc") == world.member.get(path)


@drivers("postgres")
@pytest.mark.parametrize("query", ["%", "%zz=1", "&&&", "=", "a" * 5000, "%FF=%FF", "page=1&page=2", "[]=1", ";"])
def test_odd_queries_do_no_harm(world: World, query: str) -> None:
    response = world.member.call("GET", f"/channels/{world.private['id']}?{query}")
    assert response.status_code == 200


@drivers("postgres")
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
    _assert_answered(send_body(world, operation, json.dumps(body).encode()))


@with_body
@pytest.mark.usefixtures("alive")
@property_test
@given(data=st.data())
def test_any_values_in_a_good_body_are_answered(world: World, operation: Operation, data: st.DataObject) -> None:
    wanted = good(world, operation)
    if fields_of(operation):
        names = st.sampled_from(sorted(fields_of(operation)))
        body: Any = wanted | data.draw(st.dictionaries(names, _json, min_size=1))
    else:
        body = data.draw(st.lists(st.sampled_from(wanted) | _json, max_size=4))
    _assert_answered(send_body(world, operation, json.dumps(body).encode()))


@drivers("postgres")  # hardly any is JSON
@with_body
@pytest.mark.usefixtures("alive")
@property_test
@given(body=st.binary(max_size=200))
def test_any_bytes_are_answered(world: World, operation: Operation, body: bytes) -> None:
    _assert_answered(send_body(world, operation, body))


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
    request = example(operation, world, who)
    name = data.draw(st.sampled_from(operation.parameters))
    part = quote(data.draw(_part).encode("utf-8", "surrogatepass"), safe="")
    response = send(who, operation, request.parameters | {name: part}, json=request.body)
    _assert_answered(response)
