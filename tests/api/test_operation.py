"""The mechanism of operations, with operations of tests: what a declaration must hold, and the way of a request. No server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from falcon import testing
from falcon.asgi import App

from api import coverage, known, openapi, reference, table
from api.call import Call, Reply, Visit
from api.http import pages
from api.http.asgi import create_app
from api.operation import Login, Misdeclared, Operation, operation
from api.params import Flag, Page, Size, Text, Time
from app import may
from app.config.settings import Config
from app.counting import Metrics
from app.errors import AppError
from db.model.ids import ChannelId, TeamId, UserId

API_MD = Path(__file__).parents[2] / "docs" / "api.md"
ME, OTHER = UserId("m" * 26), UserId("a" * 26)
USER = SimpleNamespace(id=ME, roles="system_user", delete_at=0, update_at=1)


class Thing(msgspec.Struct, kw_only=True):
    name: str


class Sessions:
    """What the caches know of tokens."""

    def __init__(self) -> None:
        self.ended = False

    async def get(self, _token_hash: str) -> Any:
        session = SimpleNamespace(id="s" * 26, expires_at=1 << 60, last_activity_at=0, csrf_token="")
        return None if self.ended else (session, USER)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def ctx(sessions: Sessions) -> Any:
    return SimpleNamespace(
        config=Config(),
        web_app=None,
        client_config=SimpleNamespace(version="11.7.0", version_id="1"),
        metrics=Metrics(),
        caches=SimpleNamespace(sessions_by_token=sessions),
        now_ms=lambda: 1,
        touched=SimpleNamespace(is_due=lambda *_: False),
    )


def _client(ctx: Any, *operations: Operation) -> testing.TestClient:
    return testing.TestClient(create_app(ctx, operations))


def _as_me() -> dict[str, str]:
    return {"Authorization": "Bearer t"}


# Declarations ---------------------------------------------------------------------------------------------------------


async def _good(_call: Call, _user_id: UserId) -> None:
    """Do nothing."""


async def _undocumented(_call: Call) -> None:
    pass


async def _of_nobody(_visit: Visit, user_id: UserId) -> None:
    """Do nothing."""


async def _of_anybody(_visit: Visit) -> None:
    """Do nothing."""


async def _no_path(_call: Call) -> None:
    """Do nothing."""


async def _other_path(_call: Call, team_id: TeamId) -> None:
    """Do nothing."""


async def _no_default(_call: Call, deep: Flag) -> None:
    """Do nothing."""


async def _no_type(_call: Call, deep: int = 1) -> None:
    """Do nothing."""


async def _text_body(_call: Call, body: str) -> None:
    """Do nothing."""


async def _thing(_call: Call, body: Thing) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("handler", "path", "options", "why"),
    [
        (_undocumented, "/x", {}, "say what it does"),
        (_of_nobody, "/x/{user_id}", {}, "is a Call"),
        (_of_nobody, "/x/{user_id}", {"login": Login.NONE}, "asks nobody"),
        (_of_anybody, "/x", {"login": Login.NONE}, "its CSRF token"),
        (_no_path, "/x", {"login": Login.OPTIONAL}, "is a Visit"),
        (_no_path, "/x/{user_id}", {}, "of the path"),
        (_other_path, "/x/{user_id}", {}, "of the path"),
        (_no_default, "/x", {}, "no default"),
        (_no_type, "/x", {}, "neither of the path nor of the query"),
        (_text_body, "/x", {"body_name": "thing"}, "Struct or an array"),
        (_thing, "/x", {}, "a body has a name"),
        (_no_path, "/x", {"body_name": "thing"}, "a body has a name"),
        (_thing, "/x", {"body_name": "thing", "streams": True}, "read before"),
        (_no_path, "/x", {"errors": ("app.no.such.error",)}, "have no text"),
        (_no_path, "/x", {"may": (may.SelfOr("edit_other_users"),)}, "names no part of the path"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_no_operation(
    handler: Any, path: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(Misdeclared, match=why):
        operation("POST", path, **options)(handler)


def test_what_is_declared_is_all_there_is() -> None:
    @operation("GET", "/channels/{channel_id}/x", tagged=True, answers=list[str])
    async def get_x(_call: Call, channel_id: ChannelId, page: Page, since: Time = 0, deep: Flag = True) -> list[str]:
        """The x of a channel."""
        return []

    assert (get_x.title, get_x.name) == ("GET /api/v4/channels/{channel_id}/x", "get_x")
    assert get_x.parameters == ["channel_id"]
    assert list(get_x.query) == ["page", "per_page", "since", "deep"]
    assert get_x.query["deep"]["default"] is True
    assert (get_x.summary, get_x.who) == ("The x of a channel.", "who is logged in")


def test_no_two_operations_have_one_name_or_one_place() -> None:
    one = operation("POST", "/x", body_name="x")(_thing)
    for other in (operation("POST", "/x", body_name="y")(_thing), operation("PUT", "/y", body_name="y")(_thing)):
        with pytest.raises(Misdeclared, match="twice"):
            table._unlike((one, other))


# The way of a request ---------------------------------------------------------------------------------------------------


def test_a_handler_gets_what_it_names(ctx: Any) -> None:
    @operation("POST", "/users/{user_id}/x/{team_id}", body_name="thing", status=201, answers=dict[str, Any])
    async def add_x(
        call: Call,
        user_id: UserId,
        team_id: TeamId,
        body: Thing,
        page: Page,
        q: Text = "",
        n: Size = 7,
        deep: Flag = True,
    ) -> dict[str, Any]:
        """Add."""
        return {"who": call.actor.user_id, "given": [user_id, team_id, body.name, page, q, n, deep]}

    client = _client(ctx, add_x)
    answer = client.simulate_post(
        f"/api/v4/users/me/x/{OTHER}?per_page=3&q=a&deep=false", json={"name": "b"}, headers=_as_me()
    )
    assert (answer.status_code, answer.json["who"]) == (201, ME)
    assert answer.json["given"] == [ME, OTHER, "b", [0, 3], "a", 7, False]
    for query, found in (
        ("", [[0, 60], "", 7, True]),
        ("?page=2&n=1", [[2, 60], "", 1, True]),
        ("", [[0, 60], "", 7, True]),
    ):
        url = f"/api/v4/users/me/x/{OTHER}{query}"
        assert client.simulate_post(url, json={"name": "b"}, headers=_as_me()).json["given"][3:] == found


def test_who_asks_goes_before_what_they_ask_and_that_before_whether_they_may(ctx: Any) -> None:
    asked = []

    @operation("POST", "/x/{user_id}", may=(may.SelfOr("edit_other_users"),), body_name="thing")
    async def set_x(call: Call, user_id: UserId, body: Thing, since: Time = 0) -> None:
        """Set."""
        asked.append(user_id)

    client, good = _client(ctx, set_x), {"name": "a"}

    def status(user_id: str, body: Any, query: str = "", **headers: str) -> tuple[int, str]:
        answer = client.simulate_post(f"/api/v4/x/{user_id}{query}", json=body, headers=headers)
        return answer.status_code, answer.json.get("message", "")

    assert status("x", [])[0] == 401
    assert "user_id" in status("x", [], "?since=a", **_as_me())[1]
    assert "since" in status(OTHER, [], "?since=a", **_as_me())[1]
    assert "thing" in status(OTHER, [], **_as_me())[1]
    assert status(OTHER, good, **_as_me())[0] == 403
    assert asked == []
    assert status(ME, good, **_as_me())[0] == 200
    assert asked == [ME]


@pytest.mark.parametrize(("found", "status", "body"), [(None, 201, b'{"status":"OK"}'), (b"[1]", 201, b"[1]"), ([2], 201, b"[2]"), (Reply([3], 503), 503, b"[3]")])  # fmt: skip
def test_what_a_handler_returns_is_answered_as_json(ctx: Any, found: Any, status: int, body: bytes) -> None:
    @operation("GET", "/x", login=Login.NONE, status=201)
    async def get_x(_visit: Visit) -> Any:
        """Get."""
        return found

    answer = _client(ctx, get_x).simulate_get("/api/v4/x")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (status, body, "application/json")


def test_who_has_the_state_already_is_answered_304_and_nothing_is_made(ctx: Any) -> None:
    made = []

    @operation("GET", "/x", login=Login.NONE, tagged=True, answers=list[int])
    async def get_x(visit: Visit) -> list[int]:
        """Get."""
        visit.tag("a", 1)
        made.append(visit.conditional)
        return [1]

    client = _client(ctx, get_x)
    first = client.simulate_get("/api/v4/x")
    again = client.simulate_get("/api/v4/x", headers={"If-None-Match": first.headers["etag"]})
    other = client.simulate_get("/api/v4/x", headers={"If-None-Match": 'W/"b"'})
    assert (first.status_code, again.status_code, again.content, other.status_code) == (200, 304, b"", 200)
    assert made == [False, True]


def test_a_word_of_mattermosts_is_no_id(ctx: Any) -> None:
    @operation("GET", "/users/{user_id}")
    async def get_x(_call: Call, user_id: UserId) -> None:
        """Get."""

    client = _client(ctx, get_x)
    assert client.simulate_get("/api/v4/users/known").status_code == 501
    assert client.simulate_delete("/api/v4/users/known").status_code == 405
    assert client.simulate_get("/api/v4/users/unknown", headers=_as_me()).status_code == 400


def test_a_request_knows_its_operation(ctx: Any) -> None:
    """What it is counted as: a name that no client chooses."""
    names = []

    @operation("GET", "/x/{user_id}")
    async def get_x(call: Call, user_id: UserId) -> None:
        """Get."""
        raise AppError("api.context.404.app_error", 404)

    class Counts:
        async def process_response(self, req: Any, _resp: Any, _resource: object, _succeeded: bool) -> None:
            names.append(req.context.operation)

    app = create_app(ctx, [get_x])
    app.add_middleware(Counts())
    client = testing.TestClient(app)
    for path in ("/api/v4/x/me", "/api/v4/x/bad", "/api/v4/y", "/api/v4/users/known"):
        client.simulate_get(path, headers=_as_me())
    assert names == ["get_x", "get_x", "", ""]


# A body that streams -----------------------------------------------------------------------------------------------------


class Upload:
    """A request whose body comes part by part, by ASGI. Its second half comes only when the handler has the first."""

    def __init__(self, app: App[Any, Any], path: str) -> None:
        self.had_first = asyncio.Event()
        self._app, self._path = app, path
        self.sent: list[Any] = []

    async def _parts(self) -> AsyncIterator[dict[str, Any]]:
        yield {"type": "http.request", "body": b"", "more_body": True}
        yield {"type": "http.request", "body": b"first", "more_body": True}
        await asyncio.wait_for(self.had_first.wait(), 5)
        yield {"type": "http.request", "body": b"second", "more_body": False}

    async def run(self) -> tuple[int, Any]:
        parts = self._parts()
        scope = testing.create_scope(method="POST", path=self._path)
        scope["headers"] = [(b"host", b"node"), (b"authorization", b"Bearer t")]

        async def send(event: Any) -> None:
            self.sent.append(event)

        await self._app(scope, cast(Any, lambda: anext(parts)), cast(Any, send))
        return self.sent[0]["status"], json.loads(self.sent[1]["body"])


async def _uploaded(ctx: Any, sessions: Sessions, *, ends: bool) -> tuple[int, Any]:
    upload: Upload

    @operation("POST", "/uploads/{user_id}", streams=True, answers=list[str])
    async def upload_x(call: Call, user_id: UserId) -> list[str]:
        """Take a body as it comes."""
        parts = []
        async for part in call.stream:
            if part:
                parts.append(part.decode())
                upload.had_first.set()
        sessions.ended = ends
        await call.ask_again()
        return parts

    upload = Upload(create_app(ctx, [upload_x]), f"/api/v4/uploads/{ME}")
    return await upload.run()


async def test_what_streams_is_begun_before_its_body_is_here(ctx: Any, sessions: Sessions) -> None:
    assert await _uploaded(ctx, sessions, ends=False) == (200, ["first", "second"])


async def test_what_streams_asks_again_who_sends_it(ctx: Any, sessions: Sessions) -> None:
    status, body = await _uploaded(ctx, sessions, ends=True)
    assert (status, body["id"]) == (401, "api.context.session_expired.app_error")


# What is made of the table -------------------------------------------------------------------------------------------------


def test_every_operation_says_what_it_answers_and_has_an_example() -> None:
    for one in table.EVERY:
        assert one.body is None or one.example.body is not None, one.title
        assert one.summary.endswith("."), one.title
        assert one.answers is not None or one.method in ("POST", "PUT", "DELETE") or one.path.endswith("/websocket")


def test_the_table_of_the_documents_is_what_is_declared() -> None:
    """Else: python -m api.reference."""
    text = API_MD.read_text()
    assert reference.renewed(text) == text


def test_the_openapi_document_has_every_operation_and_every_type() -> None:
    document = openapi.document(table.EVERY)
    described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert described == {one.title for one in table.EVERY}
    text = json.dumps(document)
    assert all(f'"{name}"' in text for name in ("Post", "ChannelMember", "NewUser", "Error"))
    for found in set(text.split('"#/components/schemas/')[1:]):
        assert found.partition('"')[0] in document["components"]["schemas"]
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))


def test_coverage_counts_what_is_there() -> None:
    of_mattermost = known.read()
    lines = coverage.report(table.EVERY, of_mattermost)
    assert any(line.split()[2] == "425" for line in lines)
    lacking = coverage.missing(table.EVERY, of_mattermost)
    assert {"GET /api/v4/saml/metadata", "GET /api/v4/ldap/groups"} <= {one.form for one in lacking}
    assert not {"GET /api/v4/users/{}", "GET /api/v4/users/stats"} & {one.form for one in lacking}
    assert coverage.report((), of_mattermost)[0].split()[0] == "0"


def test_every_page_is_served_and_needs_nothing_from_elsewhere() -> None:
    console = Path(__file__).parents[2] / "console"
    assert sorted(pages.PAGES.values()) == sorted(path.name for path in console.glob("*.html"))
    for name in pages.PAGES.values():
        assert not re.search(r'(src|href|action)="?(https?:)?//| on\w+="', (console / name).read_text()), name
