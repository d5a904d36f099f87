"""Who may connect: real sockets in both directions."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import zmq

from cluster.peers import zap
from cluster.peers.keyring import fingerprint
from cluster.peers.zap import Gate, KeyPair, NoCurve, as_client, as_server

Context = zmq.Context[zmq.Socket[bytes]]
REFUSED_MS = 600


@pytest.fixture
def context() -> Iterator[Context]:
    context: Context = zmq.Context(io_threads=1)
    yield context
    context.term()


class World:
    """A server behind a gate, and clients in a context of their own."""

    def __init__(self, context: Context) -> None:
        self.asked = 0
        self.gate = Gate(context, self.ask)
        self.keys = KeyPair.fresh()
        self.server = context.socket(zmq.ROUTER)
        as_server(self.server, self.keys)
        self.port = self.server.bind_to_random_port("tcp://127.0.0.1")
        self.outside: Context = zmq.Context(io_threads=1)
        self.opened = [self.server]

    def ask(self) -> None:
        self.asked += 1

    def client(self, prepare: Callable[["zmq.Socket[bytes]"], None]) -> "zmq.Socket[bytes]":
        client = self.outside.socket(zmq.DEALER)
        self.opened.append(client)
        prepare(client)
        client.set(zmq.RECONNECT_IVL, 50)
        client.connect(f"tcp://127.0.0.1:{self.port}")
        client.send(b"hello")
        return client

    def member(self, keys: KeyPair) -> "zmq.Socket[bytes]":
        return self.client(lambda client: as_client(client, keys, self.keys.public))

    def close(self) -> None:
        self.gate.close()
        for one in self.opened:
            one.close(linger=0)
        self.outside.term()

    async def receive(self, timeout_ms: int) -> list[zmq.Frame] | None:
        for _ in range(timeout_ms // 10):
            try:
                return self.server.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                await asyncio.sleep(0.01)
        return None

    async def serves(self) -> bool:
        """Whether a member still gets in."""
        keys = KeyPair.fresh()
        self.gate.allow({keys.public: "node2"})
        self.member(keys)
        return await self.receive(10_000) is not None


@pytest.fixture
async def world(context: Context) -> AsyncIterator[World]:
    world = World(context)
    yield world
    world.close()


async def test_a_members_key_is_admitted_and_its_messages_carry_its_id(world: World) -> None:
    keys = KeyPair.fresh()
    world.gate.allow({keys.public: "node2"})
    world.member(keys)
    frames = await world.receive(10_000)
    assert frames is not None
    assert frames[-1].bytes == b"hello"
    assert frames[-1].get("User-Id") == "node2"
    assert (world.gate.admitted, world.gate.refused, world.asked) == (1, 0, 0)


async def test_an_unknown_key_is_refused_named_once_and_asked_about(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zap, "_NEW_S", 0.0)
    world.gate.allow({KeyPair.fresh().public: "node2"})
    strangers = [KeyPair.fresh() for _ in range(3)]
    with caplog.at_level(logging.WARNING):
        for stranger in strangers:
            world.member(stranger)
        assert await world.receive(REFUSED_MS) is None
    assert world.gate.refused >= 3
    assert world.asked == world.gate.refused
    (said,) = caplog.records
    assert vars(said)["key"] in {fingerprint(stranger.public) for stranger in strangers}
    assert not any(key.public in str(vars(said)) or key.secret in str(vars(said)) for key in strangers)
    assert await world.serves()


async def test_a_node_that_was_here_before_its_row_was_read_gets_in_when_it_was_and_nobody_is_warned(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeyPair.fresh()
    world.member(keys)
    while not world.asked:
        await asyncio.sleep(0.01)
    world.gate.allow({keys.public: "node2"})
    assert await world.receive(10_000) is not None
    assert caplog.records == []


async def test_a_key_that_is_taken_back_is_refused_at_the_next_connection(world: World) -> None:
    keys = KeyPair.fresh()
    world.gate.allow({keys.public: "node2"})
    world.member(keys).close()
    assert await world.receive(10_000) is not None
    world.gate.allow({})
    world.member(keys)
    assert await world.receive(REFUSED_MS) is None


async def test_a_client_does_not_talk_to_a_server_with_another_key(world: World) -> None:
    keys = KeyPair.fresh()
    world.gate.allow({keys.public: "node2"})
    world.client(lambda client: as_client(client, keys, KeyPair.fresh().public))
    assert await world.receive(REFUSED_MS) is None
    assert world.gate.admitted == 0
    assert await world.serves()


def _null(client: "zmq.Socket[bytes]") -> None:
    del client


def _plain(client: "zmq.Socket[bytes]") -> None:
    client.set(zmq.PLAIN_USERNAME, b"admin")
    client.set(zmq.PLAIN_PASSWORD, b"admin")


@pytest.mark.parametrize("mechanism", [_null, _plain], ids=["NULL", "PLAIN"])
async def test_what_is_not_encrypted_is_refused(world: World, mechanism: Callable[["zmq.Socket[bytes]"], None]) -> None:
    world.client(mechanism)
    assert await world.receive(REFUSED_MS) is None
    assert world.gate.admitted == 0
    assert await world.serves()


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN"])
async def test_a_socket_that_forgot_to_encrypt_admits_nobody(
    world: World, context: Context, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    careless = context.socket(zmq.ROUTER)
    world.opened.append(careless)
    careless.set(zmq.ZAP_DOMAIN, zap.DOMAIN)
    if mechanism == "PLAIN":
        careless.set(zmq.PLAIN_SERVER, 1)
    world.server, world.port = careless, careless.bind_to_random_port("tcp://127.0.0.1")
    world.client(_plain if mechanism == "PLAIN" else _null)
    assert await world.receive(REFUSED_MS) is None
    assert world.gate.refused >= 1
    assert world.asked == 0
    assert vars(caplog.records[0])["mechanism"] == mechanism


async def test_a_domain_that_is_not_the_clusters_is_refused(world: World) -> None:
    keys = KeyPair.fresh()
    world.gate.allow({keys.public: "node2"})
    world.server.unbind(f"tcp://127.0.0.1:{world.port}")
    world.server.set(zmq.ZAP_DOMAIN, b"other")
    world.port = world.server.bind_to_random_port("tcp://127.0.0.1")
    world.member(keys)
    assert await world.receive(REFUSED_MS) is None


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(48), bytes(100_000), b""],
    ids=["http", "ff", "a greeting, then nothing", "zeros", "silence"],
)
async def test_garbage_on_the_port_is_harmless(world: World, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", world.port)) as raw:
        with contextlib.suppress(ConnectionError):
            raw.sendall(garbage)
        assert await world.receive(200) is None
        assert await world.serves()


async def test_without_a_gate_a_server_admits_nobody(context: Context, world: World) -> None:
    keys = KeyPair.fresh()
    world.gate.allow({keys.public: "node2"})
    world.gate.close()
    world.member(keys)
    assert await world.receive(REFUSED_MS) is None


async def test_there_is_one_gate_a_context(world: World, context: Context) -> None:
    with pytest.raises(zmq.ZMQError, match="in use"):
        Gate(context, world.ask)


async def test_a_library_without_curve_is_refused_at_the_start(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zmq, "has", lambda capability: capability != "curve")
    with pytest.raises(NoCurve, match="CURVE"):
        Gate(context, lambda: None)
    with pytest.raises(NoCurve, match="CURVE"):
        KeyPair.fresh()


def test_the_secret_half_of_a_key_is_not_shown() -> None:
    keys = KeyPair.fresh()
    assert keys.secret not in f"{keys} {keys!r}"
