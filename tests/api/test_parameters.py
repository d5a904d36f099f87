"""Every parameter and header of every route against values that no client means: never a 5xx, never a traceback.

The routes, their parts and their query keys are those that are declared, so that what is added is tried as well.
"""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from api.call import Asked
from api.operation import Operation
from tests.api import operations
from tests.api.expect import NOBODYS_ID, refused
from tests.api.operations import example
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.raw import Raw, Reply
from tests.rig.rest import Rest

HUGE = b"9" * 5000
VALUES = [
    b"", b"%00", b"a%00b", b"true%00", b"%FF%FE", b"%ED%A0%80", b"%F0%9F%98%80", b"%0D%0A", b"%", b"%zz", b"%2500",
    b"-1", b"-0", b"+1", b"%2B1", b"%201%20", b"1_000", b"%D9%A1", b"%EF%BC%91", b"%C2%B2", b"0x10", b"1e9", b"1.5", b"NaN",
    b"9223372036854775807", b"9223372036854775808", b"1" * 20, HUGE, b"0" * 5000, b"0" * 5000 + b"1", b"-" + HUGE,
    b"a" * 8000, b"null", b"undefined", b"[]", b"{}", b"'%20OR%201=1--", b"%25s", b"\xff", b"\xc3\xa4", b"1&{}=2",
]  # fmt: skip
PARTS = [
    b"%00", b"a%00b", NOBODYS_ID.encode() + b"%00", b"me%00", b"%FF" * 26, b"%ED%A0%80", b"%F0%9F%98%80", b"%0D%0A", b"%",
    b"%zz", b"%2500", b"%2F", b"a%2fb", b".", b"..", b"%2e%2e", b"%5C", b"..%5C", b";", b"..;", b"{user_id}", b"*", b"'", b'%22',
    b"%D9%A1" * 26, HUGE, b"0" * 5000, b"-1", b"\xff", b"\xc3\xa4", b"null",
]  # fmt: skip
LONG = b"a" * 8000
HEADERS = [
    [(b"Origin", b"http://a.example"), (b"Origin", b"http://b.example")],
    *[[(b"Origin", value)] for value in (
        b"http://[", b"http://]", b"null", b"\xff", b"", LONG, b"http://a:99999", b"http://a:\xd9\xa1", b"//", b"http://a:-1",
        b"http://[::1]:x", b"http://a b",
    )],
    *[[(b"Host", value)] for value in (b"", b"[", b"a:b:c", b"\xff", b"a b", b"@", LONG)],
    [(b"Authorization", b"Bearer a"), (b"Authorization", b"Bearer b")],
    *[[(b"Authorization", value)] for value in (b"Bearer \xff", b"Bearer ", b"Bearer", b"", b"Basic Og==", b"Bearer " + LONG)],
    [(b"Cookie", b"MMAUTHTOKEN=a"), (b"Cookie", b"MMAUTHTOKEN=b")],
    *[[(b"Authorization", b""), (b"Cookie", value)] for value in (
        b'MMAUTHTOKEN="\\000"', b'MMAUTHTOKEN="\\ud800"', b'MMAUTHTOKEN="\\377\\400"', b"MMAUTHTOKEN=\xff", b"=;=;", b";" * 8000,
        b'MMAUTHTOKEN="', b"MMAUTHTOKEN", b"MMAUTHTOKEN=" + LONG, b"\xff=\xff", b"$Version=1; MMAUTHTOKEN=a",
    )],
    *[[(b"If-None-Match", value)] for value in (b'"', b"W/", b"*, *", b"\xff", b",,,,", b'"\xff"', b"", LONG)],
    *[[(b"X-Forwarded-For", value)] for value in (
        b"1.2.3.4:5", b"[::1]:6", b"[::1", b"\xff", b",,,", b"999.1.1.1", b"unknown", b"," * 8000, b"\xd9\xa1.1.1.1",
    )],
    *[[(b"X-Real-IP", value), (b"X-Forwarded-Proto", value)] for value in (b"\xff", b"", b"https,http", LONG)],
    *[[(b"Accept-Encoding", value)] for value in (b"gzip;q=abc", b"\xff", b";;;q=", b"*;q=0", b"gzip;q=-1", b"," * 8000)],
    *[[(b"Content-Type", value)] for value in (b"\xff", b"", b"application/json; charset=none", b"/", LONG)],
    *[[(name, b"\xff")] for name in (
        b"Accept", b"Accept-Language", b"Date", b"Expect", b"Forwarded", b"From", b"If-Match", b"If-Modified-Since", b"Range",
        b"Referer", b"TE", b"User-Agent", b"Via", b"X-CSRF-Token", b"X-HTTP-Method-Override", b"X-Request-Id",
        b"X-Requested-With",
    )],
    [(b"Range", b"bytes=-1")], [(b"If-Modified-Since", b"yesterday")], [(b"If-Range", b'"')], [(b"Connection", b"upgrade")],
    [(b"Access-Control-Request-Method", b"\xff"), (b"Access-Control-Request-Headers", b"\xff")],
]  # fmt: skip

every_operation = pytest.mark.parametrize("operation", operations.EVERY, ids=lambda operation: operation.title)


@pytest.fixture(scope="module", autouse=True)
def quiet_log(node: Node, world: World) -> Iterator[None]:
    """The module's requests leave no traceback, and end no process."""
    before, processes = len(node.log), node.children()
    yield
    assert "Traceback" not in node.log[before:], node.log[before:][:5000]
    assert {name: child["pid"] for name, child in node.children().items()} == {
        name: child["pid"] for name, child in processes.items()
    }


class Client:
    """Sends requests as bytes, on one connection as long as the node keeps it."""

    def __init__(self, who: Rest) -> None:
        self._who = who
        self._raw: Raw | None = None

    def ask(self, operation: Operation, target: bytes, body: object, headers: list[tuple[bytes, bytes]]) -> Reply:
        """The answer, which is no fault of the node's."""
        if self._raw is None:
            self._raw = Raw(self._who.url)
        content = b"" if body is None else json.dumps(body).encode()
        named = {name.lower() for name, _ in headers}
        own = [
            (b"Host", urlsplit(self._who.url).netloc.encode()),
            (b"Authorization", f"Bearer {self._who.token}".encode()),
        ]
        sent = [one for one in own if one[0].lower() not in named] + headers
        lines = b"".join(b"%b: %b\r\n" % one for one in sent)
        head = b"%b %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (
            operation.method.encode(),
            target,
            lines,
            len(content),
        )
        self._raw.send(head + content)
        reply = self._raw.read(of_head=operation.method == "HEAD")
        assert reply.status < 500 or reply.status == 501, f"{head[:300]!r}: {reply}"
        if reply.status >= 400 and operation.method != "HEAD":
            refused(reply, reply.status)
        if reply.headers.get("connection") == "close":
            self.close()
        return reply

    def close(self) -> None:
        """Close the connection."""
        if self._raw is not None:
            self._raw.close()
            self._raw = None


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    who = Rest(world.nobody.url).log_in(world.team_admin.user["username"])  # one of the requests logs out
    client = Client(who)
    yield client
    client.close()
    who.close()


@drivers("postgres", "mysql")
@pytest.mark.parametrize(
    "operation",
    [operation for operation in operations.ALL if operation.query],
    ids=lambda operation: operation.title,
)
def test_whatever_a_query_says(world: World, client: Client, operation: Operation) -> None:
    good = example(operation, world, world.team_admin)
    path = operation.path.format(**good.parameters).encode()
    for key in operation.query:
        for value in VALUES:
            client.ask(operation, path + b"?" + key.encode() + b"=" + value.replace(b"{}", key.encode()), good.body, [])


@drivers("postgres", "mysql")
@pytest.mark.parametrize(
    "operation",
    [operation for operation in operations.EVERY if operation.parameters],
    ids=lambda operation: operation.title,
)
def test_whatever_stands_in_a_path(client: Client, operation: Operation) -> None:
    """The other parts are in order; a body is missing, so that nothing happens."""
    for name in operation.parameters:
        for value in PARTS:
            before, _, after = operation.path.partition(f"{{{name}}}")
            others = dict.fromkeys(operation.parameters, NOBODYS_ID)
            target = before.format(**others).encode() + value + after.format(**others).encode()
            client.ask(operation, target, None, [])


@every_operation
def test_whatever_a_header_says(client: Client, operation: Operation) -> None:
    path = operation.path.format(**dict.fromkeys(operation.parameters, NOBODYS_ID)).encode()
    for headers in HEADERS:
        client.ask(operation, path, None, headers)


def test_the_keys_of_queries_are_found() -> None:
    found = {operation.title: set(operation.query) for operation in operations.EVERY}
    assert found["POST /api/v4/users"] >= {"iid", "t"}
    lists = {"page", "per_page", "since", "before", "after", "collapsedThreads", "skipFetchThreads", "include_deleted"}
    assert found["GET /api/v4/channels/{channel_id}/posts"] >= lists
    assert found["GET /api/v4/config/client"] >= {"format"}
    assert found["POST /api/v4/config/reload"] >= {"cluster"}


def test_only_params_reads_the_query() -> None:
    """Else a text could come to a database that nobody has judged: a handler has no way to the request."""
    public = {name for name in dir(Asked) if not name.startswith("_")}
    assert public == {
        "actor",
        "ask_again",
        "begin_session",
        "conditional",
        "ctx",
        "end_session",
        "keep",
        "origin",
        "stream",
        "tag",
    }


@pytest.mark.parametrize("value", ["%00", "a%00b"])
@pytest.mark.parametrize("key", ["iid", "t"])
def test_a_nul_character_in_a_query_is_refused_by_its_name(world: World, key: str, value: str) -> None:
    response = world.nobody.call("POST", f"/users?{key}={value}", {"username": "x"})
    assert refused(response, 400, "url")["message"].split()[3] == key


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000 + "9" * 20, "9223372036854775808"])
def test_more_than_64_bits_are_refused(world: World, digits: str) -> None:
    refused(world.member.call("GET", f"/channels/{world.private['id']}/posts?since={digits}"), 400, "url")


def test_zeros_before_a_number_do_not_count(world: World) -> None:
    path = f"/channels/{world.private['id']}/posts"
    assert world.member.get(f"{path}?since={'0' * 5000}1") == world.member.get(f"{path}?since=1")
    assert world.member.get(f"{path}?per_page={'0' * 5000}1") == world.member.get(f"{path}?per_page=1")
