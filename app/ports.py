"""What the rules need from the outside; `cluster` fulfils it."""

from typing import Protocol

from app.events import Message


class Bus(Protocol):
    """The way to every other worker."""

    def publish(self, message: Message) -> None:
        """Send to all that need it. Never blocks; the fast path only, nothing depends on it for correctness."""


class NodeHealth(Protocol):
    """What a worker can tell of its node without asking anybody."""

    def broken(self) -> str | None:
        """Why this node should get no traffic, in one word; None while all is well."""
