"""What a request may not hold is refused: never a 5xx, nothing half-written, the same workers afterwards.

What is refused before any SQL runs is tried on one database; ids and names that nothing has are looked up on each.
"""

import pytest

from api.operation import Operation
from db.model.ids import new_id
from tests.api.bodies import (
    DEEP_JSON,
    HUGE_NUMBERS,
    LONE_SURROGATES,
    NOT_JSON,
    NOT_UTF_8,
    send_body,
    texts,
    with_body,
    with_field,
    with_parameters,
    wrong_types,
)
from tests.api.expect import refused
from tests.api.operations import example, fields_of, send
from tests.api.world import World
from tests.plugins.drivers import drivers

pytestmark = pytest.mark.usefixtures("untouched")

LIMIT = 300_000  # ServiceSettings.MaximumPayloadSizeBytes


@with_body
def test_an_empty_body_is_refused(world: World, operation: Operation) -> None:
    refused(send_body(world, operation, b""), 400)


@with_body
def test_what_is_not_json_is_refused(world: World, operation: Operation) -> None:
    for body in NOT_JSON:
        refused(send_body(world, operation, body), 400, "body")


@with_body
def test_a_body_of_another_type_is_refused(world: World, operation: Operation) -> None:
    for body in [*wrong_types(dict if fields_of(operation) else list), b"null"]:
        refused(send_body(world, operation, body), 400, "body")


@with_body
def test_a_field_of_another_type_is_refused(world: World, operation: Operation) -> None:
    for name, wanted in fields_of(operation).items():
        for value in wrong_types(wanted):
            refused(send_body(world, operation, with_field(world, operation, name, value)), 400, "body")
    if not fields_of(operation):
        for value in wrong_types(str):
            refused(send_body(world, operation, b"[" + value + b"]"), 400, "body")


@with_body
def test_deep_nesting_is_refused(world: World, operation: Operation) -> None:
    for body in DEEP_JSON:
        refused(send_body(world, operation, body), 400, "body")


@with_body
def test_deep_nesting_within_a_field_is_refused(world: World, operation: Operation) -> None:
    for name in [*fields_of(operation), "unknown"] if fields_of(operation) else []:
        for deep in DEEP_JSON:
            refused(send_body(world, operation, with_field(world, operation, name, deep)), 400, "body")
            inner = b'{"key":' + deep + b"}"
            refused(send_body(world, operation, with_field(world, operation, name, inner)), 400, "body")


@with_body
def test_what_is_not_utf_8_is_refused(world: World, operation: Operation) -> None:
    for octets in NOT_UTF_8:
        for body in texts(world, operation, octets):
            refused(send_body(world, operation, body), 400, "body")
        if fields_of(operation):
            body = with_field(world, operation, "unknown", b'"' + octets + b'"')
            refused(send_body(world, operation, body), 400, "body")


@with_body
def test_a_lone_surrogate_is_refused(world: World, operation: Operation) -> None:
    for text in LONE_SURROGATES:
        for body in texts(world, operation, text):
            refused(send_body(world, operation, body), 400, "body")


@with_body
def test_a_nul_character_is_refused(world: World, operation: Operation) -> None:
    for body in texts(world, operation, b"\\u0000"):
        refused(send_body(world, operation, body), 400, "body")


@with_body
def test_numbers_beyond_64_bits_are_refused(world: World, operation: Operation) -> None:
    for name in fields_of(operation):
        for number in HUGE_NUMBERS:
            refused(send_body(world, operation, with_field(world, operation, name, number)), 400, "body")
    if not fields_of(operation):
        for number in HUGE_NUMBERS:
            refused(send_body(world, operation, b"[" + number + b"]"), 400, "body")


@with_body
def test_a_body_of_10_mb_is_refused(world: World, operation: Operation) -> None:
    response = send_body(world, operation, b'"' + b"a" * 10_000_000 + b'"')
    refused(response, 413, "api.context.request_body_too_large.app_error")
    assert response.headers["Connection"] == "close"


@with_body
def test_a_body_that_does_not_say_how_long_it_is_is_refused_beyond_the_limit(
    world: World, operation: Operation
) -> None:
    response = send_body(world, operation, iter([b"[", *[b" " * 65_536] * 5, b"]"]))
    refused(response, 413, "api.context.request_body_too_large.app_error")


def test_a_body_of_the_limit_is_read(world: World) -> None:
    body = b'{"unknown":""}'
    response = world.team_admin.call("POST", "/posts", data=body + b" " * (LIMIT - len(body)))
    refused(response, 400, "body")
    response = world.team_admin.call("POST", "/posts", data=body + b" " * (LIMIT - len(body) + 1))
    refused(response, 413)


def test_a_number_that_no_double_can_hold_is_refused_in_props(world: World) -> None:
    for number in (b"1e999", b"-1e999", b"[1e999]"):
        body = b'{"channel_id":"' + world.private["id"].encode() + b'","props":{"key":' + number + b"}}"
        refused(world.member.call("POST", "/posts", data=body), 400, "body")


MALFORMED_IDS = [
    "x", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "-", "a" * 25 + "%20", "%00" * 26, "%C3%A4" * 26, "%FF" * 26,
    "%D9%A1" * 26, "1" * 5000, "'%20OR%201=1--", "null", "undefined", "%25s", "Me", "me%20", "a" * 26 + "%0A",
]  # fmt: skip
# Taking back what was never given is no error, in Mattermost as here: no reaction of this name, or of this user.
# Nor is it one to ask whether there is something.
ASKS_FOR = ("/{emoji_name}", "/exists")
MAY_BE_NOTHING = frozenset({"emoji_name", "user_id", "name"})
MALFORMED_NAMES = ["%00", "%FF%FE", "a" * 65, "a" * 5000, "%0A", "%E2%80%A8", "a%00b", "%ED%A0%80"]


@drivers("postgres", "mysql")  # some names are looked up
@with_parameters
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


@drivers("postgres", "mysql")
@with_parameters
def test_ids_and_names_that_nothing_has_are_refused(world: World, operation: Operation) -> None:
    who = world.team_admin
    good = example(operation, world, who)
    for name in operation.parameters:
        response = send(who, operation, good.parameters | {name: new_id()}, json=good.body)
        if operation.path.endswith(ASKS_FOR) and name in MAY_BE_NOTHING and response.status_code == 200:
            continue
        assert refused(response)["status_code"] in (400, 403, 404)


@drivers("postgres", "mysql")
@with_parameters
def test_ids_and_names_that_nothing_has_are_refused_to_the_administrator(world: World, operation: Operation) -> None:
    who = world.system_admin
    good = example(operation, world, world.team_admin)
    for name in operation.parameters:
        response = send(who, operation, good.parameters | {name: new_id()}, json=good.body)
        if operation.path.endswith(ASKS_FOR) and name in MAY_BE_NOTHING and response.status_code == 200:
            continue
        assert refused(response)["status_code"] in (400, 403, 404)
