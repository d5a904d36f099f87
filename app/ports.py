"""What the rules need from the outside; `cluster` fulfils it."""

from collections.abc import Callable
from typing import Any, Protocol

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
        """Let the node do it: `reload`, `recycle`, `purge` or `cluster` (its members).

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
