"""Sockets that get no connection, or only just: nothing of them stays, and the end of their session is not missed."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from app import errors, sessions
from app.context import Context
from app.events.messages import SessionClosed
from app.permissions import Actor
from app.ports import Upgrade
from db.model.board import LocalBoard
from db.model.entities import Session
from db.model.ids import SessionId, UserId
from tests.db.people import user
from ws.server import WebSocketServer

Recheck = Callable[[str], Awaitable[Actor]]


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> WebSocketServer:
    """For up to two sockets of a user. `rechecking` of its context is what looks at a session."""

    async def nothing(*_: object) -> tuple[dict[str, tuple[int, int]], list[str]]:
        return {}, []

    async def recheck(ctx: Any, session_id: str) -> Actor:
        return await cast(Recheck, ctx.rechecking)(session_id)

    async def good(session_id: str) -> Actor:
        return Actor(Session(SessionId(session_id), "", UserId("ann"), 1, 1 << 60, 1, "", ""), user("ann"))

    monkeypatch.setattr(WebSocketServer, "read_memberships", nothing)
    monkeypatch.setattr(sessions, "recheck", recheck)
    ctx = SimpleNamespace(
        bus=SimpleNamespace(publish=lambda _message: None),
        db=SimpleNamespace(landed=lambda *_: None, board=LocalBoard()),
        config=SimpleNamespace(service_settings=SimpleNamespace(maximum_web_sockets_per_user=2)),
        client_config=SimpleNamespace(version_id="1"),
        hostname="here",
        now_ms=lambda: 1,
        rechecking=good,
    )
    return WebSocketServer(cast(Context, ctx), "test0000")


async def _connect(server: WebSocketServer, session_id: str, target: str = "/") -> socket.socket:
    """The client's end of a socket of ann's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    request = WSConnection(ConnectionType.CLIENT).send(Request(host="test", target=target))
    await server.adopt(ours, Upgrade("ann", session_id, "", request, b""))
    return theirs


async def _settle() -> None:
    """Many turns of the loop, however slow the machine is."""
    for _ in range(20):
        await asyncio.sleep(0.003)


@pytest.mark.parametrize("why", ["its session has ended", "there are too many", "it went away"])
async def test_of_a_socket_that_gets_no_connection_nothing_stays(server: WebSocketServer, why: str) -> None:
    """Whoever has a token could fill the memory with what is left of refused ones, and make its session's end slow."""
    kept = [await _connect(server, "kept") for _ in range(2 if why == "there are too many" else 1)]
    await _settle()
    refused: list[socket.socket] = []

    async def look(_session_id: str) -> Actor:
        if why == "it went away":
            refused[-1].close()
            await _settle()
        raise errors.session_expired()

    if why != "there are too many":
        cast(Any, server.ctx).rechecking = look
    for _ in range(3):
        refused.append(await _connect(server, "refused"))
        await _settle()
    for one in refused:
        one.close()
    await _settle()
    assert server.hub.of_session("refused") == []
    assert len(server.hub.of_session("kept")) == len(server.clients) == len(kept)
    await _end(server, *kept)


async def test_a_session_that_ends_while_its_socket_resumes_ends_that_socket(server: WebSocketServer) -> None:
    before = await _connect(server, "s1")
    await _settle()
    (old,) = server.clients
    good = cast(Any, server.ctx).rechecking
    before.close()
    await _settle()

    async def look(session_id: str) -> Actor:
        found: Actor = await good(session_id)  # it was there when it was read
        server.handle(SessionClosed(session_id))
        return found

    cast(Any, server.ctx).rechecking = look
    after = await _connect(server, "s2", f"/?connection_id={old.connection_id}&sequence_number=1")
    await _settle()
    after.close()
    await _settle()
    assert server.hub.of_session("s2") == []
    assert server.hub.attached("ann") == 0
    assert not server.clients
    await _end(server)


async def test_a_socket_that_resumes_is_watched_once(server: WebSocketServer) -> None:
    before = await _connect(server, "s1")
    await _settle()
    (old,) = server.clients
    before.close()
    await _settle()
    after = await _connect(server, "s1", f"/?connection_id={old.connection_id}&sequence_number=1")
    await _settle()
    assert [one.connection_id for one in server.hub.of_session("s1")] == [old.connection_id]
    await _end(server, after)
    for client in list(server.detached):
        client.forget()
    assert server.hub.of_session("s1") == []


async def _end(server: WebSocketServer, *sockets: socket.socket) -> None:
    for one in sockets:
        one.close()
    await _settle()
    for task in list(server.tasks):
        task.cancel()
    await _settle()
