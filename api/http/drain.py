"""The end of a listening socket that costs no client anything.

Who closes a listening socket resets the connections that wait to be accepted, with the requests that came with them. So
beginnings of connections are turned away first, unheard (a proxy tries another node after its connect timeout, or when
the socket is closed a moment later), while those that had begun are still accepted and served.
"""

import ctypes
import socket
import struct

from app.config.settings import Config

_SO_ATTACH_FILTER = 26
_TCP_FLAGS_AT, _SYN = 13, 0x02
_LOAD_BYTE, _JUMP_IF_BIT, _RETURN = 0x30, 0x45, 0x06
_ALL = 0xFFFFFFFF
_NO_SYN = (
    (_LOAD_BYTE, 0, 0, _TCP_FLAGS_AT),
    (_JUMP_IF_BIT, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _ALL),
)
"""A classic BPF program (socket(7)): code, jump if true, jump if false, constant. It sees the TCP header."""


def grace_s(config: Config) -> float:
    """How long a node that stops goes on serving, while load balancers learn of it: nothing when it stands alone."""
    cluster = config.cluster_settings
    return cluster.drain_grace_s if cluster.enable else 0


def refuse_new(listener: socket.socket) -> None:
    """Drop every SYN to this socket, whoever else holds it; what has begun goes on. Raises OSError."""
    program = b"".join(struct.pack("=HBBI", *step) for step in _NO_SYN)
    buffer = ctypes.create_string_buffer(program, len(program))
    listener.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_NO_SYN), ctypes.addressof(buffer))
    )
