"""What the mesh wants done: sent to peers, handed to this node, told of."""

from dataclasses import dataclass

from cluster.bus.envelope import Envelope
from cluster.peers.bodies import Answer, Request
from cluster.peers.membership import Change


@dataclass(frozen=True)
class Broadcast:
    """To all peers, by the reliable or the lossy lane."""

    lossy: bool
    header: bytes
    body: bytes


@dataclass(frozen=True)
class Direct:
    """To one peer."""

    peer: str
    header: bytes
    body: bytes


@dataclass(frozen=True)
class Deliver:
    """A numbered message of a peer, in its order."""

    envelope: Envelope
    body: bytes


@dataclass(frozen=True)
class Lost:
    """Messages of a peer are gone for good: anything may have changed."""

    peer: str
    reason: str


@dataclass(frozen=True)
class Through:
    """Every node that serves knows of what this worker told up to this ticket."""

    worker: str
    ticket: int


@dataclass(frozen=True)
class Met:
    """A peer hears us from now on."""

    peer: str


@dataclass(frozen=True)
class Moved:
    """A peer is in another state."""

    change: Change


@dataclass(frozen=True)
class Asked:
    """A peer asks for something; answer with `answer`."""

    peer: str
    request_id: str
    request: Request


@dataclass(frozen=True)
class Answered:
    """A peer's answer to our request."""

    peer: str
    request_id: str
    answer: Answer


@dataclass(frozen=True)
class Refused:
    """A peer sent something that is not of this protocol."""

    peer: str
    reason: str


Output = Broadcast | Direct | Deliver | Lost | Through | Met | Moved | Asked | Answered | Refused
