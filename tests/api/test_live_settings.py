"""A live setting is live: after a reload somebody does something else. A key that is in truth read once is found here.

Each key that says `Live` at its field is in `CASES`, with what shows its value from outside, in a test of its own below,
or in `ELSEWHERE` with the test that shows it.
"""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
import requests

from app.config.live import Settings
from app.config.marks import Applies
from app.config.settings import KEYS, AuditSettings, ClusterSettings, Config, ServiceSettings
from app.context import Context
from app.counting import Metrics
from app.ports import Failed
from cluster.bus.changes import Teller
from cluster.peers.bodies import Beat
from cluster.peers.colours import Seen
from cluster.peers.membership import Liveness
from cluster.relay.condition import Condition
from cluster.workers.operator import SupervisorLink
from cluster.workers.relayworker import RelayWorker
from cluster.workers.roles import ApiWorker
from db.model.board import Term
from tests.plugins.resources import uses
from tests.rig import ports
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user, sign_up
from tests.rig.rest import PASSWORD, unique
from tests.rig.socket import Socket
from tests.rig.wait import until

ROOT = Path(__file__).parents[2]
PAGE = "https://page.example.com"
HOUR_MS = 3_600_000
BROWSER = {"X-Requested-With": "XMLHttpRequest"}

Values = Mapping[str, object]


class Site:
    """A node of our own, with its administrator and a user; keys are set by file and reload."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.url = node.url
        self.set({})
        self.admin = new_user(self.url, "admin")
        self.bob = new_user(self.url, "bob", first_name="Bob")
        self.team = new_team(self.admin, self.bob)
        self.channel = new_channel(self.admin, self.team, self.bob)

    def set(self, values: Values) -> None:
        """These keys, all others at their defaults, but for an open server."""
        config: dict[str, dict[str, object]] = {"TeamSettings": {"EnableOpenServer": True}}
        for dotted, value in values.items():
            section, _, name = dotted.partition(".")
            config.setdefault(section, {})[name] = value
        self.node.write_config(config)
        answer = self.node.ask("reload")
        assert answer["ok"], answer
        assert answer["restart_needed"] == []

    def anonymous(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        return requests.request(method, f"{self.url}/api/v4{path}", json=body, headers=headers, timeout=30)

    def sign_up(self, password: str = PASSWORD, domain: str = "example.com") -> int:
        """The status of an anonymous sign-up."""
        name = unique("new")
        body = {"username": name, "email": f"{name}@{domain}", "password": password}
        return self.anonymous("POST", "/users", body).status_code

    def log_in(self, login_id: str, **more: str) -> requests.Response:
        return self.anonymous("POST", "/users/login", {"login_id": login_id, "password": PASSWORD, **more})

    def ping(self, header: str, **headers: str) -> str | None:
        return self.anonymous("GET", "/system/ping", None, **headers).headers.get(header)


@pytest.fixture(scope="module")
@uses("node")
def site() -> Iterator[Site]:
    node = Node(workers=1)
    del node._environment["MM_TEAMSETTINGS_ENABLEOPENSERVER"]  # it would go before the file
    with node:
        yield Site(node)


@dataclass(frozen=True)
class Case:
    """value: another one than the default. beside: what must be set for it to show. look: what shows."""

    value: object
    look: Callable[[Site], object]
    beside: Values = field(default_factory=dict)


def _client(name: str) -> Callable[[Site], object]:
    """What clients are told, where they alone go by it."""
    return lambda site: site.admin.get("/config/client?format=old")[name]


def _below_a_path(site: Site) -> int:
    return requests.get(f"{site.url}/below/api/v4/system/ping", timeout=30).status_code


def _guess(site: Site) -> int:
    name = sign_up(site.url)["username"]
    body = {"login_id": name, "password": "wrong"}
    return [site.anonymous("POST", "/users/login", body).status_code for _ in range(2)][-1]


def _write_much(site: Site) -> int:
    body = {"channel_id": site.channel["id"], "message": "x" * 2000}
    return site.admin.call("POST", "/posts", body).status_code


def _cookie_of_https(site: Site) -> bool:
    body = {"login_id": site.bob.user["username"], "password": PASSWORD}
    answer = site.anonymous("POST", "/users/login", body, **{"X-Forwarded-Proto": "https", **BROWSER})
    return "secure" in answer.headers["Set-Cookie"].lower()


def _address_in_the_audit_log(site: Site) -> str:
    body = {"login_id": site.bob.user["username"], "password": PASSWORD}
    headers = {"X-Forwarded-For": "203.0.113.8", "X-Mine": "203.0.113.9"}
    assert site.anonymous("POST", "/users/login", body, **headers).status_code == 200
    rows = site.admin.get("/audits?per_page=20")
    return str(next(row["ip_address"] for row in rows if row["user_id"] == site.bob.id))


def _session_days(**more: str) -> Callable[[Site], object]:
    def look(site: Site) -> int:
        assert site.log_in(site.bob.user["username"], **more).status_code == 200
        newest = max(site.admin.get(f"/users/{site.bob.id}/sessions"), key=lambda one: int(one["create_at"]))
        return round((int(newest["expires_at"]) - int(newest["create_at"])) / (24 * HOUR_MS))

    return look


def _without_csrf(site: Site) -> int:
    with requests.Session() as browser:
        body = {"login_id": site.bob.user["username"], "password": PASSWORD}
        browser.headers.update(BROWSER)
        browser.post(f"{site.url}/api/v4/users/login", json=body, timeout=30)
        return browser.post(f"{site.url}/api/v4/users/ids", json=[], timeout=30).status_code


def _edit(site: Site) -> int:
    post = site.admin.write(site.channel["id"], "before")
    return site.admin.call("PUT", f"/posts/{post['id']}/patch", {"message": "after"}).status_code


def _custom_status(site: Site) -> int:
    return site.bob.call("PUT", "/users/me/status/custom", {"text": "x"}).status_code


def _demoted(site: Site) -> int:
    with contextlib.closing(new_user(site.url)) as ann:
        return site.admin.call("POST", f"/users/{ann.id}/demote").status_code


def _second_emoji(site: Site) -> int:
    post, statuses = site.admin.write(site.channel["id"], "text"), []
    for emoji in ("smile", "+1"):
        body = {"user_id": site.admin.id, "post_id": post["id"], "emoji_name": emoji}
        statuses.append(site.admin.call("POST", "/reactions", body).status_code)
    return statuses[-1]


def _second_socket(site: Site) -> int | None:
    ann = new_user(site.url)
    Socket.open(ann)
    second = Socket.open_bare(site.url)
    second.send("authentication_challenge", {"token": ann.token})
    until(lambda: second.closed is not None or second.named("hello"), 10, "a second socket or its end")
    return second.closed


def _second_member(site: Site) -> int:
    team = new_team(site.admin)
    body = {"team_id": team["id"], "user_id": site.bob.id}
    return site.admin.call("POST", f"/teams/{team['id']}/members", body).status_code


def _third_channel(site: Site) -> int:
    name = unique("channel")
    body = {"team_id": new_team(site.admin)["id"], "name": name, "display_name": name, "type": "O"}
    return site.admin.call("POST", "/channels", body).status_code


def _mentions_of_all(site: Site) -> int:
    channel = new_channel(site.admin, site.team, site.bob)
    site.admin.write(channel["id"], "hello @channel")
    members = site.bob.get(f"/users/me/teams/{site.team['id']}/channels/members")
    return int(next(one["mention_count"] for one in members if one["channel_id"] == channel["id"]))


def _deactivate_oneself(site: Site) -> int:
    ann = new_user(site.url)
    return ann.call("PUT", f"/users/{ann.id}/active", {"active": False}).status_code


def _joins_extra(site: Site) -> bool:
    team = new_team(site.admin)
    body = {"team_id": team["id"], "name": "extra", "display_name": "extra", "type": "O"}
    channel = site.admin.post("/channels", body)
    site.admin.post(f"/teams/{team['id']}/members", {"team_id": team["id"], "user_id": site.bob.id})
    return site.bob.id in {one["user_id"] for one in site.admin.get(f"/channels/{channel['id']}/members")}


def _seen_of_bob(name: str) -> Callable[[Site], object]:
    return lambda site: new_user(site.url).get(f"/users/{site.bob.id}").get(name, "")


def _log_in_by(name: str) -> Callable[[Site], object]:
    return lambda site: site.log_in(site.bob.user[name]).status_code


CORS = {"ServiceSettings.AllowCorsFrom": PAGE}
CASES = {
    "ServiceSettings.SiteURL": Case("http://site.example.com/below", _below_a_path),
    "ServiceSettings.CompatibilityVersion": Case("5.37.0", lambda site: site.ping("X-Version-Id")),
    "ServiceSettings.MaximumLoginAttempts": Case(1, _guess),
    "ServiceSettings.MaximumPayloadSizeBytes": Case(1024, _write_much),
    "ServiceSettings.AllowCorsFrom": Case(PAGE, lambda site: site.ping("Access-Control-Allow-Origin", Origin=PAGE)),
    "ServiceSettings.CorsExposedHeaders": Case(
        "X-One", lambda site: site.ping("Access-Control-Expose-Headers", Origin=PAGE), CORS
    ),
    "ServiceSettings.CorsAllowCredentials": Case(
        True, lambda site: site.ping("Access-Control-Allow-Credentials", Origin=PAGE), CORS
    ),
    "ServiceSettings.TLSStrictTransport": Case(True, lambda site: site.ping("Strict-Transport-Security")),
    "ServiceSettings.TLSStrictTransportMaxAge": Case(
        60, lambda site: site.ping("Strict-Transport-Security"), {"ServiceSettings.TLSStrictTransport": True}
    ),
    "ServiceSettings.TrustedProxies": Case(["192.0.2.0/24"], _cookie_of_https),
    "ServiceSettings.TrustedProxyIPHeader": Case(["X-Mine"], _address_in_the_audit_log),
    "ServiceSettings.SessionLengthWebInDays": Case(3, _session_days()),
    "ServiceSettings.SessionLengthMobileInDays": Case(4, _session_days(device_id="android:one")),
    "ServiceSettings.ExperimentalStrictCSRFEnforcement": Case(False, _without_csrf),
    "ServiceSettings.EnableDeveloper": Case(True, _client("EnableDeveloper")),
    "ServiceSettings.EnablePostUsernameOverride": Case(True, _client("EnablePostUsernameOverride")),
    "ServiceSettings.PostEditTimeLimit": Case(0, _edit),
    "ServiceSettings.UniqueEmojiReactionLimitPerPost": Case(1, _second_emoji),
    "ServiceSettings.MaximumWebSocketsPerUser": Case(1, _second_socket),
    "TeamSettings.SiteName": Case("other", _client("SiteName")),
    "TeamSettings.MaxUsersPerTeam": Case(1, _second_member),
    "TeamSettings.MaxChannelsPerTeam": Case(2, _third_channel),
    "TeamSettings.MaxNotificationsPerChannel": Case(1, _mentions_of_all),
    "TeamSettings.EnableUserCreation": Case(False, Site.sign_up),
    "TeamSettings.EnableOpenServer": Case(False, Site.sign_up),
    "TeamSettings.EnableUserDeactivation": Case(True, _deactivate_oneself),
    "TeamSettings.RestrictCreationToDomains": Case("example.org", Site.sign_up),
    "TeamSettings.ExperimentalDefaultChannels": Case(["extra"], _joins_extra),
    "TeamSettings.EnableCustomUserStatuses": Case(False, _custom_status),
    "TeamSettings.TeammateNameDisplay": Case("full_name", _client("TeammateNameDisplay")),
    "PasswordSettings.MinimumLength": Case(20, Site.sign_up),
    "PasswordSettings.Lowercase": Case(True, lambda site: site.sign_up("UPPER-ONLY-1")),
    "PasswordSettings.Uppercase": Case(True, lambda site: site.sign_up("lower-only-1")),
    "PasswordSettings.Number": Case(True, lambda site: site.sign_up("No-Number-Here")),
    "PasswordSettings.Symbol": Case(True, lambda site: site.sign_up("NoSymbolHere1")),
    "EmailSettings.EnableSignUpWithEmail": Case(False, Site.sign_up),
    "EmailSettings.EnableSignInWithEmail": Case(False, _log_in_by("email")),
    "EmailSettings.EnableSignInWithUsername": Case(False, _log_in_by("username")),
    "GuestAccountsSettings.Enable": Case(True, _demoted),
    "PrivacySettings.ShowEmailAddress": Case(False, _seen_of_bob("email")),
    "PrivacySettings.ShowFullName": Case(False, _seen_of_bob("first_name")),
    "LocalizationSettings.DefaultClientLocale": Case("de", lambda site: sign_up(site.url)["locale"]),
    "LocalizationSettings.AvailableLocales": Case("de,en", _client("AvailableLocales")),
}


@pytest.mark.parametrize("dotted", CASES)
def test_a_reload_applies_it(site: Site, dotted: str) -> None:
    case = CASES[dotted]
    site.set(case.beside)
    before = case.look(site)
    site.set({**case.beside, dotted: case.value})
    after = case.look(site)
    site.set({})
    assert before != after
    if dotted == "TeamSettings.EnableOpenServer":
        assert (before, after) == (201, 403)


def _types(site: Site, socket: Socket) -> Socket:
    ann = new_user(site.url)
    site.admin.post(f"/teams/{site.team['id']}/members", {"team_id": site.team["id"], "user_id": ann.id})
    site.admin.post(f"/channels/{site.channel['id']}/members", {"user_id": ann.id})
    typist, text = Socket.open(ann), unique("text")
    assert typist.ask("user_typing", {"channel_id": site.channel["id"], "parent_id": ""})["status"] == "OK"
    ann.write(site.channel["id"], text)
    until(lambda: any(text in event["data"]["post"] for event in socket.named("posted")), 10, "the post")
    return socket


def test_a_reload_applies_whether_typing_is_told(site: Site) -> None:
    site.set({})
    socket = _types(site, Socket.open(site.bob))
    until(lambda: bool(socket.named("typing")), 10, "typing, while it is told")
    site.set({"ServiceSettings.EnableUserTypingMessages": False})
    assert _types(site, Socket.open(site.bob)).named("typing") == []
    site.set({})


def test_a_reload_applies_whether_events_go_only_to_who_looks(site: Site) -> None:
    site.set({})
    assert _types(site, _who_looks_elsewhere(site)).named("typing") == []
    site.set({"ServiceSettings.EnableWebSocketEventScope": False})
    assert site.admin.get("/config/client?format=old")["FeatureFlagWebSocketEventScope"] == "false"
    socket = _types(site, _who_looks_elsewhere(site))
    until(lambda: bool(socket.named("typing")), 10, "typing, although it is elsewhere")
    site.set({})


def _who_looks_elsewhere(site: Site) -> Socket:
    socket = Socket.open(site.bob)
    assert socket.ask("presence", {"channel_id": "y" * 26})["status"] == "OK"
    return socket


def test_a_reload_applies_when_who_does_nothing_is_away(site: Site) -> None:
    site.set({})
    ann = new_user(site.url)
    Socket.open(ann)
    until(lambda: ann.get(f"/users/{ann.id}/status")["status"] == "online", 10, "online")
    site.set({"TeamSettings.UserStatusAwayTimeout": 1})
    until(lambda: ann.get(f"/users/{ann.id}/status")["status"] == "away", 20, "away after a second")
    site.set({})


def test_a_reload_applies_where_the_log_goes_and_how(site: Site, tmp_path: Path) -> None:
    """A request of a page is a line of an api worker's log while CorsDebug is on."""
    file = tmp_path / "node.log"
    base = {**CORS, "ServiceSettings.CorsDebug": True}
    to_file = {**base, "LogSettings.EnableFile": True, "LogSettings.FileLocation": str(file)}

    def said(values: Values) -> str:
        site.set(values)
        origin = f"https://{unique('page')}.example.com"
        site.ping("Vary", Origin=origin)
        return origin

    def line(origin: str, text: Callable[[], str]) -> str:
        until(lambda: origin in text(), 10, f"{origin} in the log")
        return next(one for one in text().splitlines() if origin in one)

    def console() -> str:
        return site.node.log

    assert not file.exists()
    assert line(said(base), console)[0].isdigit()
    assert json.loads(line(said({**base, "LogSettings.ConsoleJson": True}), console))["msg"] == "a request of a page"
    both = said(to_file)
    line(both, console)
    line(both, file.read_text)
    for silent in ({"LogSettings.EnableConsole": False}, {"LogSettings.ConsoleLevel": "ERROR"}):
        origin = said({**to_file, **silent})
        line(origin, file.read_text)
        assert origin not in console()
    origin = said({**to_file, "LogSettings.FileLevel": "ERROR"})
    line(origin, console)
    assert origin not in file.read_text()
    silent_page = said(CORS)
    line(said(base), console)
    assert silent_page not in console()
    site.set({})


def test_a_reload_reaches_what_only_the_relay_goes_by() -> None:
    before = Config()
    audit = AuditSettings(retention_days=2, maximum_rows=5000)
    after = Config(audit_settings=audit, cluster_settings=ClusterSettings(degraded_read_max_s=7))
    worker, condition = RelayWorker.__new__(RelayWorker), Condition.__new__(Condition)
    worker.live, worker.condition = Settings(before), condition
    worker._look_at_config = lambda: None  # type: ignore[method-assign]
    worker.live.on_reload(worker._use)
    duty = worker._duty(cast(Any, None), cast(Any, None), cast(Any, None))
    assert duty.config.audit_settings == before.audit_settings
    worker.live.replace(after)
    assert duty.config.audit_settings == audit
    assert condition.config.cluster_settings.degraded_read_max_s == 7


async def test_a_reload_reaches_how_long_writes_wait_for_other_nodes() -> None:
    worker, bus = ApiWorker.__new__(ApiWorker), SimpleNamespace(teller=Teller(lambda *_: 1))
    worker.live = Settings(Config())
    worker.tell_commits(cast(Any, bus), cast(Any, SimpleNamespace(terms=SimpleNamespace())))
    assert bus.teller.limit_s == 0.05
    worker.live.replace(Config(cluster_settings=ClusterSettings(write_barrier_ms=0)))
    assert bus.teller.limit_s == 0
    await bus.teller.committed([1], 1, Term())  # waits for nobody


@asynccontextmanager
async def _built(worker: ApiWorker, patch: pytest.MonkeyPatch, path: Path, reloaded: Config) -> AsyncIterator[Context]:
    """The context of a worker that has no database. reloaded: comes before it is built."""
    paths = SimpleNamespace(data=path, node_id="n")
    worker.name, worker.live, worker.operator = "api0", Settings(Config()), SupervisorLink()
    worker.start = cast(Any, SimpleNamespace(page=lambda _: MagicMock(told=lambda: ""), config=Config(), paths=paths))
    worker.settings, worker.metrics = cast(Any, None), Metrics()

    async def wait(_settings: object) -> None:
        worker.live.replace(reloaded)

    async def opened(*_: object) -> Any:
        return MagicMock()

    patch.setattr("db.pool.migrate.wait", wait)
    patch.setattr(worker, "open_database", opened)
    patch.setattr(worker, "bus_end", lambda *_: MagicMock())
    ctx, *_ = await worker.build(lambda _: None, lambda: None, 0)
    yield ctx
    assert worker.outbound is not None
    assert worker.blobs is not None
    ctx.hasher.close()
    ctx.work.close()
    worker.outbound.close()
    worker.blobs.close()


async def test_a_reload_reaches_a_worker_that_is_being_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker, other = ApiWorker.__new__(ApiWorker), Config(audit_settings=AuditSettings(retention_days=2))
    async with _built(worker, monkeypatch, tmp_path, other) as ctx:
        assert ctx.config == other
        worker.live.replace(Config())
        assert ctx.config == Config()


async def test_a_reload_reaches_what_requests_to_elsewhere_may_ask_inside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    worker = ApiWorker.__new__(ApiWorker)
    inside = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with inside, _built(worker, monkeypatch, tmp_path, Config()) as ctx:
        url = f"http://127.0.0.1:{inside.sockets[0].getsockname()[1]}/"
        with pytest.raises(Failed, match="AllowedUntrustedInternalConnections"):
            await ctx.outbound.fetch("GET", url)
        allowed = ServiceSettings(allowed_untrusted_internal_connections="127.0.0.1")
        worker.live.replace(Config(service_settings=allowed))
        assert (await ctx.outbound.fetch("GET", url)).status == 200
        worker.live.replace(Config())
        with pytest.raises(Failed, match="AllowedUntrustedInternalConnections"):
            await ctx.outbound.fetch("GET", url)


def test_a_reload_reaches_how_silent_nodes_are_shown() -> None:
    worker = RelayWorker.__new__(RelayWorker)
    worker.live = Settings(Config())
    silent = Seen("n", Liveness.SUSPECT, Beat(state="up"))
    shown = cast(Any, SimpleNamespace(members=lambda: [silent], upgrading=False))
    before = worker._members(shown)[0]["reasons"]
    worker.live.replace(Config(cluster_settings=ClusterSettings(peer_timeout_policy="patient")))
    assert worker._members(shown)[0]["reasons"] != before


@pytest.mark.node
def test_a_reload_applies_how_long_a_node_that_stops_goes_on_serving() -> None:
    cluster = {"Enable": True, "InterNodeListenAddress": f"127.0.0.1:{ports.free_port(3)}", "DrainGraceS": 0}
    with Node(workers=1, config={"ClusterSettings": cluster}) as node:
        node.write_config({"ClusterSettings": {**cluster, "DrainGraceS": 2}})
        assert node.ask("reload")["applied"] == ["ClusterSettings.DrainGraceS"]
        began = time.monotonic()
        node.stop(timeout_s=30)
        assert time.monotonic() - began >= 2


OWN_TESTS = {
    "ClusterSettings.WriteBarrierMs": test_a_reload_reaches_how_long_writes_wait_for_other_nodes,
    "ClusterSettings.PeerTimeoutPolicy": test_a_reload_reaches_how_silent_nodes_are_shown,
    "ClusterSettings.DrainGraceS": test_a_reload_applies_how_long_a_node_that_stops_goes_on_serving,
    "ServiceSettings.AllowedUntrustedInternalConnections": (
        test_a_reload_reaches_what_requests_to_elsewhere_may_ask_inside
    ),
    "ServiceSettings.EnableUserTypingMessages": test_a_reload_applies_whether_typing_is_told,
    "ServiceSettings.EnableWebSocketEventScope": test_a_reload_applies_whether_events_go_only_to_who_looks,
    "TeamSettings.UserStatusAwayTimeout": test_a_reload_applies_when_who_does_nothing_is_away,
    "AuditSettings.RetentionDays": test_a_reload_reaches_what_only_the_relay_goes_by,
    "AuditSettings.MaximumRows": test_a_reload_reaches_what_only_the_relay_goes_by,
    "ClusterSettings.DegradedReadMaxS": test_a_reload_reaches_what_only_the_relay_goes_by,
    **dict.fromkeys(
        ("ServiceSettings.CorsDebug", "LogSettings.EnableConsole", "LogSettings.ConsoleLevel", "LogSettings.ConsoleJson",
         "LogSettings.EnableFile", "LogSettings.FileLevel", "LogSettings.FileLocation"),
        test_a_reload_applies_where_the_log_goes_and_how,
    ),
}  # fmt: skip
ELSEWHERE = {
    "ClusterSettings.Secret": "tests/stories/test_cluster.py::test_the_secret_is_replaced_while_the_nodes_serve",
    "ClusterSettings.SecretNext": "tests/stories/test_cluster.py::test_the_secret_is_replaced_while_the_nodes_serve",
}


def test_every_live_key_has_somebody_who_shows_that_it_is() -> None:
    shown = [*CASES, *OWN_TESTS, *ELSEWHERE]
    assert sorted(shown) == sorted(key for key, one in KEYS.items() if one.applies is Applies.LIVE)
    for where in ELSEWHERE.values():
        path, _, name = where.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), where
