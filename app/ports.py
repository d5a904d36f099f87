"""What the rules need from the outside; `cluster` fulfils it."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from app.events.messages import Message

Tag = Callable[..., None]
"""Names the state of what is asked for, by its parts; does not come back (it raises) where the asker has it already."""


class Publisher(Protocol):
    """A way to all workers."""

    def publish(self, message: Message) -> None:
        """Send to all that need it. Never blocks; the fast path only, nothing depends on it for correctness."""


class Bus(Publisher, Protocol):
    """The way to every other worker."""

    def send_to(self, address: str, message: Message) -> bool:
        """Send to one ws worker; it may be lost, and comes back when there is nobody at that address.

        False: it is too large.
        """

    def ask_elsewhere(self, message: Message) -> None:
        """Send to one ws worker of another node that says it has a master; it may be lost."""


class NodeHealth(Protocol):
    """What a worker can tell of its node without asking anybody."""

    def broken(self) -> str | None:
        """Why this node should get no traffic, in one word; None while all is well."""

    def waits_for(self) -> str:
        """What a node that is joining waits for, in words; '' when for nothing."""

    def degraded(self) -> bool:
        """Whether reads of copies go on although there is no master, because nothing can be written anywhere."""


class Operator(Protocol):
    """Commands for the whole node, whichever worker they land in."""

    async def command(self, name: str, **arguments: object) -> dict[str, Any]:
        """Let the node do it: `reload`, `recycle`, `purge`, `save` (values of the configuration), `environment`
        (which of them it decides) or `cluster` (its members).

        The answer holds `ok`, and `error` where it is False. With cluster=True every node does it: `nodes` of the
        answer has what each said.
        """


class Upgrade(msgspec.Struct, array_like=True, frozen=True):
    """A connected socket on its way from an api worker to a ws worker.

    user_id, session_id: who asks, '' when no valid session came with the request. client: the peer's address.
    request: the head of the HTTP request, as strict parsing left it. tail: bytes that followed it in the same read.
    """

    user_id: str
    session_id: str
    client: str
    request: bytes
    tail: bytes


class Loads(Protocol):
    """How many connections each api worker of the node has; every worker sees what the others say of themselves."""

    def read(self) -> list[int | None]:
        """By worker; None: that worker does not serve at the moment."""

    def write(self, connections: int) -> None:
        """Say how many this worker has."""


class Peers(Protocol):
    """The way of a fresh connection to another api worker of the node."""

    async def offer(self, fd: int, received: bytes, worker: int) -> bool:
        """Give a duplicate of `fd`, and what was read of it, to that worker.

        True: it has it, and the caller must let go of its own.
        """


class Handover(Protocol):
    """The way of a socket to a ws worker."""

    async def offer(self, fd: int, upgrade: Upgrade) -> bool:
        """Give a duplicate of `fd` to a ws worker. True: it has it, and the caller must let go of its own.

        False: no ws worker took it in time, and none will.
        """


@dataclass(frozen=True)
class Limits:
    """What a request to elsewhere may take. Seconds: until there is a connection, between two reads, in all.

    max_bytes: of the answer's body, unpacked. cut: give what fits of a longer one instead of failing. redirects: how
    many are followed; 0: they are answers like others.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 30.0
    max_bytes: int = 1 << 20
    cut: bool = False
    redirects: int = 3


@dataclass(frozen=True)
class Reply:
    """What somebody elsewhere answered. headers: by lower-case name. url: whose answer it is, after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Failed(Exception):
    """There is no answer from elsewhere; `text` is fit for people, and `why` for programs."""

    Why = Literal[
        "url", "forbidden", "unreachable", "tls", "timeout", "protocol", "redirects", "too_large", "busy"
    ]  # fmt: skip

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why
        self.text = text


class Outbound(Protocol):
    """HTTP requests to elsewhere."""

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limits: Limits | None = None,
    ) -> Reply:
        """Ask; whatever the status is, an answer is an answer. Never asks what is inside (see `Failed`, "forbidden"),
        unless ServiceSettings.AllowedUntrustedInternalConnections names it.

        Headers that the connection needs are the client's own: ValueError. Raises Failed when there is no answer.
        """


@dataclass(frozen=True)
class Stored:
    """What was written. sha256: in hexadecimal digits."""

    size: int
    sha256: str


class BlobFailed(Exception):
    """Something with a file did not come about; `text` is fit for people, and `why` for programs.

    missing: there is no such file. full: no room, or a quota. unavailable: it cannot be reached, or refuses.
    """

    Why = Literal["key", "range", "missing", "too_large", "full", "unavailable", "busy"]

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why
        self.text = text


class Blob(Protocol):
    """A file that is read. descriptor: of the file on this machine (for sendfile), valid while it is open."""

    size: int
    descriptor: int

    def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """That part, at most up to the end, in chunks of bounded size. Raises BlobFailed."""


class Blobs(Protocol):
    """Files by key: names between slashes, none of them '', '.' or '..'. All raise BlobFailed."""

    async def put(self, key: str, parts: AsyncIterable[bytes], *, max_bytes: int) -> Stored:
        """Write a file, in place of one that has the key. When it returns the file is durable.

        When it raises, the key has what it had (or, if the disk failed at the very end, all of the new file), and of
        what came nothing is left.
        """

    def open(self, key: str) -> AbstractAsyncContextManager[Blob]:
        """A block in which the file can be read, whoever replaces or deletes it meanwhile."""

    async def delete(self, key: str) -> bool:
        """Whether there was one."""

    async def exists(self, key: str) -> int | None:
        """Its size; None when there is none."""
