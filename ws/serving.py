"""What one socket needs of the worker that serves it, and what is asked of a socket on its way to its connection.

Here so that imports run one way: server -> client -> dialogue -> entry -> this. Whose sockets they are stays known to
the types: a `Server[Client]` has sets of `Client`.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol, TypeVar

from app.context import Context
from app.permissions import Actor
from db.model.ids import TeamId
from db.model.tasks import Tasks
from ws.claims import Claims
from ws.detached import Detached
from ws.fanout import Fanout, SharedFrame
from ws.hub import Client, Hub, Positions
from ws.looking import Looking
from ws.repairs import Repairs
from ws.strangers import Strangers
from ws.stream import Stream


@dataclass(frozen=True)
class Wanted:
    """A connection that a client had, and the number of the event that it expects."""

    connection_id: str
    seq: int


class Served(Client, Protocol):
    """A socket, for what gives it its connection and answers what it asks."""

    final: bool
    """Whether it was we who closed."""
    last_active: float
    """When its user was last said to be active."""
    looking: Looking | None
    """Where its user looks, once it has said so."""

    def take_wanted(self) -> Wanted | None:
        """The connection that the upgrade asked for; once."""

    def enter(self) -> None:
        """It is known who this is."""

    def admit(self, connection_id: str, actor: Actor) -> None:
        """The session is good: events may come."""

    def surrender(self, user_id: str, session_id: str, seq: int, actor: Actor | None = None) -> bool:
        """Whether the connection may go on with another socket from this number on."""

    def go_on(self, stream: Stream) -> None:
        """Send what a connection was to be sent."""

    def hold(self) -> None:
        """Write no events until `release`."""

    def release(self, first: SharedFrame | None) -> None:
        """Write events, this one before all others."""

    def charge(self, frames: float) -> bool:
        """Count a request as so many frames more; False: the socket is closed for it."""

    def reply(self, payload: bytes) -> None:
        """Answer a request."""

    def forget(self) -> None:
        """The connection is no more."""

    def is_gone(self) -> bool:
        """Whether there is no socket."""

    def is_over(self) -> bool:
        """Whether nothing can be written any more."""

    def abort(self) -> None:
        """Close at once, without a word."""


ClientT = TypeVar("ClientT", bound=Served)


class Server(Protocol[ClientT]):
    """A ws worker, for its sockets."""

    ctx: Context
    hub: Hub
    fanout: Fanout
    repairs: Repairs
    detached: Detached[ClientT]
    strangers: Strangers[ClientT]
    claims: Claims
    loop: asyncio.AbstractEventLoop
    clients: set[ClientT]
    tasks: Tasks
    entering: int
    turnstile: asyncio.Semaphore
    buffer: memoryview
    """Into which every socket is read, one after the other: what a socket may say in one turn of the loop."""

    def find(self, connection_id: str) -> ClientT | None:
        """The client of this id."""

    def bound_kept(self, user_id: str) -> None:
        """The user has one connection more: those without a socket give way to it, the oldest first."""

    async def read_memberships(self, user_id: str) -> tuple[Positions, list[TeamId]]:
        """Where a user belongs, and how far those channels are. Raises DatabaseError."""
