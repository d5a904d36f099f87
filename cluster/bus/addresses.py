"""Addresses of ws workers: 8 characters that begin the ids of their connections.

Six come from the node's id, two are the worker's number. What two nodes share by chance is sorted out by the answer
"not here": an address is where to ask, never a proof.
"""

import base64
import hashlib
from collections.abc import Iterable

LENGTH = 8
_NODE = 6


def address_of(node_id: str, worker: str) -> str:
    """Of a worker, "ws0" to "ws255"."""
    return f"{node_part(node_id)}{int(worker.removeprefix('ws')):02x}"


def node_part(node_id: str) -> str:
    """What all addresses of a node begin with."""
    return base64.b32encode(hashlib.sha256(node_id.encode()).digest())[:_NODE].decode("ascii").lower()


def worker_at(address: str, node_id: str) -> str | None:
    """The name of the worker if it is one of this node."""
    if len(address) != LENGTH or not address.startswith(node_part(node_id)):
        return None
    try:
        return f"ws{int(address[_NODE:], 16)}"
    except ValueError:
        return None


def node_at(address: str, node_ids: Iterable[str]) -> str | None:
    """Which of these nodes it is on."""
    return next((one for one in node_ids if worker_at(address, one) is not None), None)
