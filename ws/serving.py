"""What one socket needs of the worker that serves it."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from app.context import Context
from db.model.ids import TeamId
from db.model.tasks import Tasks
from ws.claims import Claims
from ws.detached import Detached
from ws.fanout import Fanout
from ws.hub import Hub, Positions
from ws.repairs import Repairs
from ws.strangers import Strangers

if TYPE_CHECKING:
    from ws.client import Client


class Server(Protocol):
    """A ws worker, for its sockets."""

    ctx: Context
    hub: Hub
    fanout: Fanout
    repairs: Repairs
    detached: "Detached[Client]"
    strangers: "Strangers[Client]"
    claims: Claims
    loop: asyncio.AbstractEventLoop
    clients: "set[Client]"
    tasks: Tasks
    entering: int
    turnstile: asyncio.Semaphore
    buffer: memoryview
    """Into which every socket is read, one after the other: what a socket may say in one turn of the loop."""

    def find(self, connection_id: str) -> "Client | None":
        """The client of this id."""

    def bound_kept(self, user_id: str) -> None:
        """The user has one connection more: those without a socket give way to it, the oldest first."""

    async def read_memberships(self, user_id: str) -> tuple[Positions, list[TeamId]]:
        """Where a user belongs, and how far those channels are. Raises DatabaseError."""
