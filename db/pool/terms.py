"""Who is master is a property of each write: under which term it ran, and whether that is still the highest known.

    connection.term ──commit──> others told ──> acknowledge(term): a later one is known -> the outcome is unknown
                                                               not all nodes know it yet -> wait
    before a write ──> ready(): writes wait while the nodes agree on a new master

A later term, known to any process of the node or told by any peer, ends all that was begun before it. The nodes agree
by `cluster/peers/terms.py`; what it finds is on the board.
"""

import asyncio

from db.model import board as boards
from db.model.board import Board, Term
from db.model.errors import ConnectionLost, Unavailable

HOLD_S = 5.0
"""Writes wait for so long at most while the database changes its master."""
LISTENED_NS = 2_000_000_000
"""A node that its peers may call down after 3 s of silence stops to acknowledge before that."""
_LOOK_S = 0.01


class Terms:
    """One process's view. among_nodes: other nodes are to know of a term before anything is acknowledged under it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.among_nodes = False
        self.held = False
        """Nothing is acknowledged: an operator changes the master, and asks what was."""

    def check(self, term: Term) -> None:
        """Raises ConnectionLost when a later term is known: what was written or read so was a former master's."""
        if term < self._board.term():
            raise ConnectionLost("another database has become the master meanwhile")

    @property
    def at_once(self) -> bool:
        """Whether nobody has to be waited for."""
        return not self.among_nodes and not self.held

    async def ready(self) -> None:
        """Wait until what is written now could be acknowledged. Raises Unavailable when that takes too long."""
        if not self._agreed():
            await self._wait(None)

    async def acknowledge(self, term: Term) -> None:
        """Wait until what was committed under this term may be acknowledged. Raises Unavailable: nobody knows whether
        it counts, so it is to be tried again by its key, on the master of now.
        """
        self.check(term)
        if not self._agreed():
            await self._wait(term)

    def _agreed(self) -> bool:
        if self.held or not self.among_nodes:
            return not self.held
        board = self._board
        return board.agreed() >= board.term() and boards.boottime_ns() - board.listened_ns() < LISTENED_NS

    async def _wait(self, term: Term | None) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + HOLD_S
        while not self._agreed():
            if loop.time() >= until:
                raise Unavailable("the nodes do not agree yet on who is the master")
            await asyncio.sleep(_LOOK_S)
            if term is not None:
                self.check(term)
