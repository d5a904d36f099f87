"""Bodies of requests that are good but for one thing, and paths likewise; made from the examples of operations.py."""

import json
from collections.abc import Iterator
from typing import Any, get_origin

import msgspec
import pytest

from api.operation import Operation
from tests.api import operations
from tests.api.operations import example, fields_of, send
from tests.api.rights import answers
from tests.api.world import World
from tests.rig.rest import Rest

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
NOT_UTF_8 = [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"]
LONE_SURROGATES = [b"\\ud800", b"\\udc00", b"\\udc00\\ud800", b"\\ud800\\u0041"]
# Each is a whole token of JSON.
HUGE_NUMBERS = [str(2**64).encode(), str(-(2**63) - 1).encode(), b"1" + b"0" * 400, b"1e999", b"-1e999"]

with_body = pytest.mark.parametrize("operation", operations.WITH_BODY, ids=lambda operation: operation.title)
with_parameters = pytest.mark.parametrize(
    "operation", operations.WITH_PARAMETERS, ids=lambda operation: operation.title
)


def send_body(world: World, operation: Operation, body: bytes | Iterator[bytes]) -> Any:
    """By somebody who may do it, with a good path."""
    who = _who_may(world, operation)
    return send(who, operation, example(operation, world, who).parameters, data=body)


def _who_may(world: World, operation: Operation) -> Rest:
    """The team_admin, or the system_admin where only they may."""
    by_role = answers(operation)
    return world.team_admin if by_role["team_admin"] != 403 or by_role["system_admin"] == 403 else world.system_admin


def good(world: World, operation: Operation) -> Any:
    return example(operation, world, _who_may(world, operation)).body


def with_field(world: World, operation: Operation, name: str, value: bytes) -> bytes:
    """A good body but for one field, which holds this JSON."""
    body = {key: json.dumps(one).encode() for key, one in good(world, operation).items()} | {name: value}
    return b"{" + b",".join(json.dumps(key).encode() + b":" + one for key, one in body.items()) + b"}"


def wrong_types(wanted: Any) -> list[bytes]:
    """JSON values that are none of this type."""
    values = {str: b'"text"', bool: b"true", dict: b'{"key":"value"}', list: b'["text"]', int: b"1", float: b"1.5"}
    kind = get_origin(wanted) or wanted
    kind = dict if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else kind
    assert kind in values, f"say what JSON is not a {wanted}"
    return [value for type_, value in values.items() if type_ is not kind and (kind, type_) != (float, int)]


def texts(world: World, operation: Operation, text: bytes) -> Iterator[bytes]:
    """Good bodies but for `text` (JSON without its quotes) within one of their texts, by turns in every one."""
    if not fields_of(operation):
        yield b'["' + text + b'"]'
        yield b'["' + world.member.id.encode() + b'","' + text + b'"]'
    for name, wanted in fields_of(operation).items():
        if wanted is str:
            yield with_field(world, operation, name, b'"ab' + text + b'cd"')
        elif (get_origin(wanted) or wanted) is dict:
            yield with_field(world, operation, name, b'{"key":"ab' + text + b'cd"}')
            yield with_field(world, operation, name, b'{"ab' + text + b'cd":"value"}')
