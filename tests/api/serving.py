"""The product's HTTP server over an application of tests: everything below the routes, without a database.

GET …?size=N    JSON of N bytes        GET …?wait=S    after S seconds
POST …?early=S  status S at once, the body unread      POST …    {"size": how long the body was}
GET …?fault=F   begins an answer, then fails: raises, returns, or gives a header with a line break
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs

import psutil
import uvloop

from api.http import connection, readers
from api.http import server as api_server
from api.http.balance import Balance
from api.http.upgrade import Upgrader
from api.proxies import Trust
from app.config.settings import Config, RateLimitSettings, ServiceSettings
from app.counting import Metrics
from app.errors import AppError
from cluster.host.spawn import ALLOCATOR
from tests.rig.lateness import idle_s

PATH = "/api/v4/system/ping"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """See the module."""
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    status, size = 200, 0
    if "early" in query:
        status = int(query["early"])
    elif scope["method"] == "POST":
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            if not message["more_body"]:
                break
    await asyncio.sleep(float(query.get("wait", 0)))
    body = json.dumps({"size": size}).encode()
    if "size" in query:
        body = (b'["' + b"x1y2z3w4v5" * (int(query["size"]) // 10 + 1))[: int(query["size"]) - 2] + b'"]'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if "etag" in query:
        headers.append((b"etag", b'W/"1"'))
    if query.get("fault") == "header":
        headers.append((b"location", b"/a\r\nset-cookie: b"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if query.get("fault") == "return":
        return
    if query.get("fault") == "raise":
        raise OSError("the page cannot be read")
    await send({"type": "http.response.body", "body": body, "more_body": False})


class _Loads:
    def read(self) -> list[int | None]:
        return [0]

    def write(self, connections: int) -> None:
        pass


class _Upgrader:
    """Refuses every upgrade, after a while."""

    def start(self, transport: Any, _request: Any, refuse: Any) -> None:
        transport.pause_reading()
        transport.set_protocol(asyncio.Protocol())
        error = AppError("api.web_socket.connect.upgrade.app_error", 400)
        asyncio.get_running_loop().call_later(0.05, refuse, error)


def create(service: dict[str, Any]) -> tuple[api_server.Server, Any, Trust]:
    """The server for this loop, its context, and whom it trusts."""
    config = Config(service_settings=ServiceSettings(**service), rate_limit_settings=RateLimitSettings())
    ctx: Any = SimpleNamespace(config=config, metrics=Metrics())
    trust = Trust(lambda: config)
    balance = Balance(0, _Loads(), cast(Any, None))
    server = api_server.create_server(cast(Any, application), ctx, cast(Upgrader, _Upgrader()), balance, trust)
    return server, ctx, trust


async def _serve(service: dict[str, Any], constants: dict[str, float]) -> None:
    for name, value in constants.items():
        module, _, name = name.partition(".")
        assert hasattr({"connection": connection, "readers": readers}[module], name)
        setattr({"connection": connection, "readers": readers}[module], name, value)
    server, ctx, trust = create(service)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    await api_server.serve(server, listener, ctx, trust)


class Serving:
    """A process of it. Use as a context manager.

    descriptors: how many it may have. constants: of the product, with other values, by `module.NAME`. service: fields
    of ServiceSettings.
    """

    def __init__(self, descriptors: int = 0, constants: Mapping[str, float] | None = None, **service: Any) -> None:
        limit = ["prlimit", f"--nofile={descriptors}"] if descriptors else []
        arguments = [json.dumps(service), json.dumps(dict(constants or {}))]
        self._command = [*limit, sys.executable, "-m", "tests.api.serving", *arguments]

    def __enter__(self) -> "Serving":
        environment = {**os.environ, **ALLOCATOR, "PYTHONPATH": os.getcwd()}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, env=environment)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self._usage = psutil.Process(self._process.pid)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def cpu_s(self) -> float:
        """Seconds of CPU that it has taken."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def memory_mib(self) -> float:
        """What it holds."""
        return float(self._usage.memory_info().rss) / (1 << 20)

    def descriptors(self) -> int:
        """How many it has open."""
        return int(self._usage.num_fds())

    def connect(self, receive_bytes: int = 0) -> socket.socket:
        """A connection. receive_bytes: a small window, if not 0."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def ping_s(self) -> float:
        """How long another client's ping takes, on a connection of its own; in seconds of an idle machine."""
        began = time.monotonic()
        with self.connect() as sock:
            sock.sendall(get())
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        return idle_s(began)


def get(query: str = "", headers: str = "") -> bytes:
    """A request."""
    return f"GET {PATH}?{query} HTTP/1.1\r\nHost: node\r\n{headers}\r\n".encode()


if __name__ == "__main__":
    uvloop.run(_serve(json.loads(sys.argv[1]), json.loads(sys.argv[2])))
