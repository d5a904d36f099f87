"""Carries packets that are routed into tun devices: drops them, or hands them on late, as the way that they go says.

A packet names its way by the last bytes of its addresses: place P is address P + 1 of its subnet.
"""

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import threading
import time
from dataclasses import dataclass

MTU = 1500
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
_TUNSETIFF = 0x400454CA


@dataclass(frozen=True)
class Way:
    """What happens to packets of one direction.

    delay_s, jitter_s: they come so much later, and up to so much more; in order, unless reorders. loss: this share of
    them is lost. mtu: longer ones are lost, and nobody is told (a black hole for path MTU discovery).
    """

    is_cut: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    reorders: bool = False
    mtu: int = MTU

    def loses(self, packet: bytes) -> bool:
        """Whether this packet is."""
        return self.is_cut or len(packet) > self.mtu or (self.loss > 0 and random.random() < self.loss)


class Pump:
    """Reads from wires, writes to wires, in a thread of its own. ways: by (sender, receiver); may change at any time."""

    def __init__(self, ways: dict[tuple[int, int], Way]) -> None:
        self._ways = ways
        self._wires: dict[int, int] = {}
        self._stop, self._stopped = os.pipe()
        self._thread: threading.Thread | None = None

    def open(self, name: str, *places: int) -> None:
        """A tun device, by which these places are reached. Raises OSError."""
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
        except OSError:
            os.close(descriptor)
            raise
        self._wires |= dict.fromkeys(places, descriptor)

    def start(self) -> None:
        """Once all wires are open."""
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, and remove the devices."""
        os.close(self._stopped)
        if self._thread is not None:
            self._thread.join(5)
        os.close(self._stop)
        for wire in set(self._wires.values()):
            os.close(wire)

    def _carry(self) -> None:
        """Read what was routed into the wires; drop it, or hand it on when it is due."""
        due: list[tuple[float, int, int, bytes]] = []
        last_due: dict[tuple[int, int], float] = {}
        order = itertools.count()
        poll = select.poll()
        for descriptor in (self._stop, *set(self._wires.values())):
            poll.register(descriptor, select.POLLIN)
        while True:
            wait_ms = 1000 * max(0.0, due[0][0] - time.monotonic()) if due else None
            for descriptor, _ in poll.poll(wait_ms):
                if descriptor == self._stop:
                    return
                packet = os.read(descriptor, 65_536)
                if len(packet) < 20 or packet[0] >> 4 != 4:
                    continue
                ends = (packet[15] - 1, packet[19] - 1)
                way = self._ways.get(ends, Way())
                if ends[1] not in self._wires or way.loses(packet):
                    continue
                at = time.monotonic() + way.delay_s + random.uniform(0, way.jitter_s)
                if not way.reorders:
                    at = max(at, last_due.get(ends, 0.0))
                last_due[ends] = at
                heapq.heappush(due, (at, next(order), self._wires[ends[1]], packet))
            while due and due[0][0] <= time.monotonic():
                _, _, wire, packet = heapq.heappop(due)
                with contextlib.suppress(OSError):  # its queue is full, or it is going: packets get lost
                    os.write(wire, packet)
