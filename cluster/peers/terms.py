"""On which term the nodes agree: what a node knows of masters, who of its peers confirmed. Sans-I/O (decision 0036).

    met by a process, or told by a peer ──learn──> known ──every message──> peers ──they say the same──> agreed

Whatever a node sends names the highest term that it knows. A peer that names it, too, acknowledges nothing under an
earlier one any more. When all have that may be serving, the node acknowledges under the new one: so no acknowledgement
under a term follows one under a later term, while nodes hear each other.

A node that its peers may call down, because it was silent for 3 s, must have stopped by then: it acknowledges for 2 s
after its relay last had heard all that it was told (`db/pool/terms.py`). Who slept must hear anew first.
"""

from collections.abc import Iterable
from typing import Protocol

from db.model.board import Board, Term

WAKE_S = 1.0
"""So long after a sleep what peers said meanwhile may still wait to be read."""


class Terms:
    """What one node knows."""

    def __init__(self) -> None:
        self.known = Term()
        self.agreed = Term()
        self._said: dict[str, Term] = {}

    def learn(self, term: Term) -> bool:
        """There is a master of this term; whether that is the highest by now."""
        if term <= self.known:
            return False
        self.known = term
        return True

    def hear(self, peer: str, term: Term) -> None:
        """A peer knows of this term."""
        if term > self._said.get(peer, Term()):
            self._said[peer] = term
        self.learn(term)

    def forget(self, peer: str) -> None:
        """It began a new life, or is no member any more: what it said counts no more."""
        self._said.pop(peer, None)

    def said(self, peer: str) -> Term:
        """The highest term that a peer named in its present life."""
        return self._said.get(peer, Term())

    def look(self, serving: Iterable[str]) -> Term:
        """The term that all know. serving: peers that may be."""
        if all(self.said(peer) >= self.known for peer in serving):
            self.agreed = self.known
        return self.agreed


class Node(Protocol):
    """The part of `mesh.Mesh` that `share` needs."""

    terms: Terms

    def beat(self, now: float) -> None:
        """Say now what else is said twice a second."""

    def may_serve_peers(self) -> list[str]:
        """Peers that may be serving."""

    def listens(self, now: float) -> bool:
        """Whether all that peers said until now was read."""


def share(node: Node, board: Board, now: float) -> None:
    """Between reading what peers said and sending anything: the processes of this node come to know what its relay
    knows, and the other way round. now: s of the board's clock.
    """
    terms = node.terms
    fresh = terms.learn(board.term())
    if terms.known > board.term():
        board.raise_term(terms.known)
        fresh = True
    if fresh:
        node.beat(now)
    listened_ns = int(now * 1e9) if node.listens(now) else board.listened_ns()
    board.set_agreement(terms.look(node.may_serve_peers()), listened_ns)
