"""Rate limits: who counts as one client, which requests count, what the answers say."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import requests

from api.http import throttle
from api.http.throttle import TELL_S, Throttle
from api.proxies import Trust
from app.config.client import ClientConfig
from app.config.settings import Config, RateLimitSettings, ServiceSettings
from app.context import Context
from app.events import messages as events
from app.ratelimit import Verdict
from db.model.ids import is_id, new_id
from tests.api.expect import refused
from tests.plugins.resources import uses
from tests.rig.node import Node
from tests.rig.people import new_user
from tests.rig.raw import Raw, upgrade_request
from tests.rig.wait import until

SECOND = 1_000_000_000
ME = "/api/v4/users/me"


@dataclass
class FakeBus:
    published: list[events.Admitted] = field(default_factory=list)

    def publish(self, message: events.Message) -> None:
        assert isinstance(message, events.Admitted)
        self.published.append(message)


@dataclass
class FakeContext:
    config: Config
    bus: FakeBus = field(default_factory=FakeBus)
    client_config: ClientConfig = field(init=False)

    def __post_init__(self) -> None:
        self.client_config = ClientConfig(self.config)


class Worker:
    """A throttle under a virtual clock."""

    def __init__(self, hash_key: bytes = b"installation", **settings: Any) -> None:
        limits = {"enable": True, "per_sec": 1, "max_burst": 100, **settings}
        service = ServiceSettings(trusted_proxies=["10.0.0.0/8"])
        self.ctx = FakeContext(Config(service_settings=service, rate_limit_settings=RateLimitSettings(**limits)))
        self.now_ns = 0
        trust = Trust(lambda: self.ctx.config)
        self.throttle = Throttle(cast(Context, self.ctx), hash_key, trust, lambda: self.now_ns)

    def remaining(
        self, path: str = ME, client: str | None = "198.51.100.7", query: str = "", **headers: str
    ) -> int | None:
        """What is left after a request; None: it does not count."""
        encoded = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": "GET",
            "http_version": "1.1",
            "path": path,
            "query_string": query.encode("latin-1"),
            "headers": encoded,
            "client": (client, 1) if client is not None else None,
        }
        verdict = self.throttle.check(cast(Any, scope))
        return None if verdict is None else verdict.remaining


async def test_everything_of_the_api_counts_and_nothing_else() -> None:
    worker = Worker()
    for path in ("/api/v4/users/me", "/api/v4/unknown", "/api/v4/websocket", "/api/v3/anything"):
        assert worker.remaining(path) is not None, path
    for path in ("/", "/static/main.js", "/apiary"):
        assert worker.remaining(path) is None, path


async def test_health_checks_do_not_count_unless_they_may_ask_the_database() -> None:
    worker = Worker()
    for path in ("/api/v4/system/ping", "/api/v4/system/ping/", "/api/v3/general/ping"):
        assert worker.remaining(path) is None, path
        assert worker.remaining(path, query="get_server_status=true") is not None, path


async def test_clients_are_told_apart_by_their_address() -> None:
    worker = Worker()
    assert [worker.remaining(client=one) for one in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [100, 99, 100]
    assert worker.remaining(client="192.0.2.1", authorization="Bearer abc", cookie="MMAUTHTOKEN=abc") == 98


async def test_behind_a_proxy_by_what_it_says() -> None:
    worker = Worker()
    assert worker.remaining(client="10.0.0.1", x_forwarded_for="192.0.2.1") == 100
    assert worker.remaining(client="10.0.0.2", x_forwarded_for="6.6.6.6, 192.0.2.1") == 99
    assert worker.remaining(client="192.0.2.1", x_forwarded_for="192.0.2.9") == 98


async def test_another_list_of_proxies_applies_at_once() -> None:
    worker = Worker()
    assert worker.remaining(client="10.0.0.1", x_forwarded_for="192.0.2.1") == 100
    assert worker.remaining(client="10.0.0.1") == 100
    service = ServiceSettings(trusted_proxies=["10.0.0.2/32"])
    worker.ctx.config = Config(service_settings=service, rate_limit_settings=worker.ctx.config.rate_limit_settings)
    assert worker.remaining(client="10.0.0.1") == 99
    assert worker.remaining(client="10.0.0.2", x_forwarded_for="192.0.2.1") == 99


async def _ask(worker: Worker, status: int, client: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> int:
    """The status that a client gets of an application that answers `status`."""
    found: list[int] = []

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        found.append(message.get("status", 0))

    scope: Any = {"type": "http", "method": "GET", "path": ME, "query_string": b"", "client": (client, 1)}
    scope["headers"] = list(headers)
    app, _ = worker.throttle.screen(cast(Any, answer), scope)
    await app(scope, cast(Any, None), cast(Any, send))
    return found[0]


FORWARDED = [(b"x-forwarded-for", b"192.0.2.1")]


async def test_of_a_proxy_that_nobody_named_only_failures_count() -> None:
    """Else all the people behind it would be one client, and locked out by the first hundred requests."""
    worker = Worker(max_burst=9)
    assert {await _ask(worker, 200, "192.168.7.7", FORWARDED) for _ in range(50)} == {200}
    assert [await _ask(worker, 401, "192.168.7.7", FORWARDED) for _ in range(11)] == [401] * 10 + [429]
    assert await _ask(worker, 200, "192.168.7.7", FORWARDED) == 429
    assert await _ask(worker, 200, "192.168.7.8", FORWARDED) == 200
    worker.now_ns += SECOND
    assert await _ask(worker, 200, "192.168.7.7", FORWARDED) == 200


@pytest.mark.parametrize(("client", "headers"), [("192.168.7.7", []), ("198.51.100.7", FORWARDED)])
async def test_of_everybody_else_everything_counts(client: str, headers: list[tuple[bytes, bytes]]) -> None:
    """A stranger of the Internet does not get rid of the limit by speaking like a proxy."""
    worker = Worker(max_burst=9)
    assert [await _ask(worker, 200, client, headers) for _ in range(11)] == [200] * 10 + [429]


@pytest.mark.parametrize(
    "credentials",
    [
        {"authorization": "Bearer abc"},
        {"authorization": "token abc"},
        {"cookie": "x=y; MMAUTHTOKEN=abc"},
        {"query": "access_token=abc"},
    ],
)
async def test_by_user_means_by_token_wherever_it_stands(credentials: dict[str, str]) -> None:
    worker = Worker(vary_by_user=True, vary_by_remote_addr=False)
    assert worker.remaining(authorization="bearer abc", client="192.0.2.9") == 100
    assert worker.remaining(**credentials) == 99
    assert worker.remaining(authorization="bearer other") == 100


@pytest.mark.parametrize(
    "decoy",
    [
        {"cookie": "MMAUTHTOKEN=abc", "authorization": "Bearer {}"},
        {"authorization": "token abc", "query": "access_token={}"},
    ],
)
async def test_of_several_tokens_the_one_counts_that_is_looked_up(decoy: dict[str, str]) -> None:
    """Else a client that adds another one to each request would be another client each time."""
    worker = Worker(vary_by_user=True)
    assert worker.remaining(authorization="Bearer abc") == 100
    assert [worker.remaining(**{key: text.format(n) for key, text in decoy.items()}) for n in range(3)] == [99, 98, 97]


async def test_by_user_who_has_no_token_counts_by_address_or_not_at_all() -> None:
    both = Worker(vary_by_user=True)
    assert [both.remaining(), both.remaining(), both.remaining(client="192.0.2.1")] == [100, 99, 100]
    assert both.remaining(authorization="Bearer client 198.51.100.7") == 100  # a token is never taken for an address
    assert Worker(vary_by_user=True, vary_by_remote_addr=False).remaining() is None


async def test_by_header_in_whatever_case() -> None:
    worker = Worker(vary_by_header="X-Tenant", vary_by_remote_addr=False)
    assert [worker.remaining(x_tenant=one) for one in ("Red", "red", "blue")] == [100, 99, 100]
    assert worker.remaining() is None


async def test_by_header_and_address_means_by_both() -> None:
    worker = Worker(vary_by_header="X-Tenant")
    assert [worker.remaining(x_tenant=one) for one in ("red", "red", "blue")] == [100, 99, 100]
    assert worker.remaining(x_tenant="red", client="192.0.2.1") == 100
    assert [worker.remaining(), worker.remaining()] == [100, 99]


async def test_by_nothing_means_no_limit() -> None:
    assert Worker(vary_by_remote_addr=False).remaining() is None
    assert Worker().remaining(client=None) is None


async def test_a_query_that_is_no_text_breaks_nothing() -> None:
    worker = Worker(vary_by_user=True)
    assert worker.remaining(query="access_token=\xff\xfe") == 100


async def test_no_more_clients_are_remembered_than_the_store_holds() -> None:
    worker = Worker(memory_store_size=3)
    for number in (1, 2, 3, 1, 4):
        worker.remaining(client=f"192.0.2.{number}")
    assert worker.remaining(client="192.0.2.1") == 98
    assert worker.remaining(client="192.0.2.2") == 100


def _told(*workers: Worker) -> list[int]:
    return [sum(number for _, number in message.counts) for one in workers for message in one.ctx.bus.published]


async def test_others_hear_of_what_was_admitted_after_100_ms_and_only_then() -> None:
    worker = Worker()
    for _ in range(3):
        worker.remaining()
    assert _told(worker) == []
    await asyncio.sleep(TELL_S * 1.5)
    assert _told(worker) == [3]
    await asyncio.sleep(TELL_S * 1.5)
    assert _told(worker) == [3]
    worker.remaining()
    await asyncio.sleep(TELL_S * 1.5)
    assert _told(worker) == [3, 1]


async def test_others_hear_at_once_of_a_sixteenth_of_a_burst() -> None:
    worker = Worker()
    for _ in range(15):
        worker.remaining()
    assert _told(worker) == [6, 6]
    await asyncio.sleep(TELL_S * 1.5)
    assert _told(worker) == [6, 6, 3]


async def test_what_was_refused_is_not_told() -> None:
    worker = Worker(max_burst=1)
    for _ in range(10):
        worker.remaining()
    await asyncio.sleep(TELL_S * 1.5)
    assert sum(_told(worker)) == 2


async def test_what_another_worker_admitted_counts_here_if_it_is_of_the_same_installation() -> None:
    one, other, stranger = Worker(), Worker(), Worker(b"another")
    for _ in range(6):
        one.remaining()
    (message,) = one.ctx.bus.published
    for worker in (other, stranger):
        worker.throttle.handle(message)
    assert other.remaining() == 100 - 6
    assert stranger.remaining() == 100
    assert b"198.51.100.7" not in events.encode(message)


async def test_many_keys_go_in_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_COUNTS", 400)
    worker = Worker()
    for number in range(1000):
        worker.remaining(client=f"192.0.{number // 250}.{number % 250}")
    assert [len(message.counts) for message in worker.ctx.bus.published] == [400, 400, 200]


# A real node: limited by a header, so that whoever sends none is not in the way -----------------------------------------

BURST = 4
PAGE = "https://a.example.com"
LIMITS: dict[str, dict[str, Any]] = {
    "ServiceSettings": {"AllowCorsFrom": PAGE},
    "RateLimitSettings": {
        "Enable": True,
        "PerSec": 1,
        "MaxBurst": BURST,
        "VaryByRemoteAddr": False,
        "VaryByHeader": "X-Who",
    },
}


@pytest.fixture(scope="module")
@uses("node")
def limited_node() -> Iterator[Node]:
    with Node(workers=2, ws_workers=1, config=LIMITS) as node:
        yield node
        assert "Traceback" not in node.log, node.log


def _get(node: Node, who: str, path: str = ME, **headers: str) -> requests.Response:
    return requests.get(f"{node.url}{path}", headers={"X-Who": who, **headers}, timeout=10)


def _use_up(node: Node, who: str, path: str = ME) -> requests.Response:
    """Ask until refused, whichever worker answers."""
    for _ in range(10 * BURST):
        response = _get(node, who, path)
        if response.status_code == 429:
            return response
    raise AssertionError("never refused")


def test_every_answer_says_what_is_left(limited_node: Node) -> None:
    who = new_id()
    with requests.Session() as one_worker:
        for number in range(3):
            response = one_worker.get(f"{limited_node.url}{ME}", headers={"X-Who": who}, timeout=10)
            assert response.status_code == 401
            assert response.headers["X-RateLimit-Limit"] == str(BURST + 1)
            assert response.headers["X-RateLimit-Remaining"] == str(BURST - number)
            assert response.headers["X-RateLimit-Reset"] == str(number + 1)
            assert "Retry-After" not in response.headers


def test_over_the_limit_is_429_in_mattermosts_form(limited_node: Node) -> None:
    response = _use_up(limited_node, new_id())
    error = refused(response, 429, "api.context.rate_limit.app_error")
    assert error["request_id"] == response.headers["X-Request-Id"]
    assert is_id(error["request_id"])
    assert response.headers["X-RateLimit-Remaining"] == "0"
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Expires"] == "0"
    assert response.headers["X-Version-Id"] == _get(limited_node, new_id()).headers["X-Version-Id"]


def test_who_is_refused_may_come_back_when_told(limited_node: Node) -> None:
    who = new_id()
    with requests.Session() as one_worker:
        for _ in range(BURST + 2):
            response = one_worker.get(f"{limited_node.url}{ME}", headers={"X-Who": who}, timeout=10)
        assert response.status_code == 429
        one_worker.get(f"{limited_node.url}/api/v4/system/ping", timeout=10)  # the connection goes on
        refused_at = time.monotonic()

        def is_admitted() -> bool:
            return one_worker.get(f"{limited_node.url}{ME}", headers={"X-Who": who}, timeout=10).status_code == 401

        until(is_admitted, 3)
        assert 0.3 < time.monotonic() - refused_at < float(response.headers["Retry-After"]) + 0.5


def test_who_is_not_to_be_told_apart_is_not_limited(limited_node: Node) -> None:
    for _ in range(3 * BURST):
        response = requests.get(f"{limited_node.url}{ME}", timeout=10)
        assert response.status_code == 401
        assert "X-RateLimit-Limit" not in response.headers


def test_health_checks_and_pages_are_answered_whatever_the_limit(limited_node: Node) -> None:
    who = new_id()
    _use_up(limited_node, who)
    for path in ("/api/v4/system/ping", "/api/v3/general/ping", "/"):
        response = _get(limited_node, who, path)
        assert response.status_code == 200
        assert "X-RateLimit-Limit" not in response.headers
    assert _get(limited_node, who, "/api/v4/system/ping?get_server_status=true").status_code == 429


@pytest.mark.parametrize(
    "path", ["//api/v4/users/me", "/api//v4/users/me/", "/%61pi/v4/users/me", "/api%2fv4/users/me"]
)
def test_no_spelling_of_a_path_leads_past_the_limit(limited_node: Node, path: str) -> None:
    who = new_id()
    _use_up(limited_node, who)
    assert _get(limited_node, who, path).status_code == 429


def test_operations_that_are_not_offered_count(limited_node: Node) -> None:
    who, path = new_id(), "/api/v4/ldap/groups"
    assert _get(limited_node, who, path).status_code == 501
    assert _use_up(limited_node, who, path).status_code == 429


def test_a_page_of_another_origin_can_read_that_it_is_too_much(limited_node: Node) -> None:
    who = new_id()
    _use_up(limited_node, who)
    response = _get(limited_node, who, Origin=PAGE)
    assert response.status_code == 429
    assert response.headers["Access-Control-Allow-Origin"] == PAGE


def test_the_workers_of_a_node_share_the_limit(limited_node: Node) -> None:
    """At the start nobody knows of the others; after a moment all know the same."""
    who = new_id()
    answers = [_get(limited_node, who).status_code for _ in range(60)]
    assert answers.count(401) <= (BURST + 1) * 1.4
    assert answers[-20:].count(401) <= 1


def test_an_upgrade_counts_and_is_refused_before_anything_else(limited_node: Node) -> None:
    who = new_id()
    _use_up(limited_node, who)
    statuses = []
    for _ in range(6):
        with Raw(limited_node.url) as raw:
            raw.send(upgrade_request(f"X-Who: {who}"))
            reply = raw.read()
            statuses.append(reply.status)
            if reply.status == 429:
                assert int(reply.headers["retry-after"]) in (
                    1,
                    2,
                )  # what the other worker admitted meanwhile is owed too
                assert reply.headers["x-ratelimit-limit"] == str(BURST + 1)
                assert b"api.context.rate_limit.app_error" in reply.body
                assert reply.headers["connection"] == "close"
    assert statuses.count(429) >= 4
    assert set(statuses) <= {101, 429}


def test_an_upgrade_within_the_limit_goes_on(limited_node: Node) -> None:
    ann = new_user(limited_node.url)
    with Raw(limited_node.url) as raw:
        raw.send(upgrade_request(f"Authorization: Bearer {ann.token}", f"X-Who: {new_id()}"))
        assert raw.read().status == 101
    ann.close()


def test_pipelined_requests_and_bodies_that_are_not_read_keep_their_order(limited_node: Node) -> None:
    who = new_id()
    login = (
        "POST /api/v4/users/login HTTP/1.1\r\nHost: node\r\nContent-Length: 2000\r\n"
        f"X-Who: {who}\r\n\r\n{' ' * 1998}{{}}"
    ).encode()
    ping = b"GET /api/v4/system/ping HTTP/1.1\r\nHost: node\r\n\r\n"
    with Raw(limited_node.url) as raw:
        raw.send((login + ping) * (BURST + 3))
        statuses = [raw.read().status for _ in range(2 * (BURST + 3))]
    assert statuses[1::2] == [200] * (BURST + 3)
    assert statuses[0::2] == [400] * (BURST + 1) + [429] * 2


def test_head_over_the_limit_has_no_body(limited_node: Node) -> None:
    who = new_id()
    _use_up(limited_node, who)
    with Raw(limited_node.url) as raw:
        raw.send(f"HEAD {ME} HTTP/1.1\r\nHost: node\r\nX-Who: {who}\r\n\r\n".encode() * 2)
        assert [raw.read(of_head=True).status for _ in range(2)] == [429, 429]


def test_a_change_of_the_limits_waits_for_a_restart(limited_node: Node) -> None:
    limited_node.write_config({"RateLimitSettings": {**LIMITS["RateLimitSettings"], "MaxBurst": 50}})
    try:
        answer = limited_node.ask("reload")
        assert answer["restart_needed"] == ["RateLimitSettings.MaxBurst"]
        assert _get(limited_node, new_id()).headers["X-RateLimit-Limit"] == str(BURST + 1)
    finally:
        limited_node.write_config(LIMITS)
        limited_node.ask("reload")


def test_without_limits_no_answer_speaks_of_them(node: Node) -> None:
    response = requests.get(f"{node.url}{ME}", timeout=10)
    assert not [name for name in response.headers if name.lower().startswith("x-ratelimit")]


def test_times_are_rounded_up() -> None:
    verdict = Verdict(False, 101, 0, 1_000_000_001, 1)
    assert dict(throttle.headers_of(verdict))[b"x-ratelimit-reset"] == b"2"
    assert dict(throttle.headers_of(verdict))[b"retry-after"] == b"1"
