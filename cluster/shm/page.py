"""The node page: two small pages of shared memory that the relay writes and every worker of the node reads.

    offset 0  magic and layout version     8  incarnation of the relay
          16  head: messages the relay has handed out                  24  beat: when the relay's loop last turned, ns
          32  polled: when the last poll of the outbox that was applied had been sent, ns
          40  1 while the master does not answer              48  1 while the relay has not joined the cluster yet
          56  1 while reads go on without a master            64  1 while a child of the node crashes at each start
          72  address (16 bytes) that spoke like a proxy without being one of TrustedProxies, and when, ns
          96  processes of the node                          104  the term on which the nodes agreed
         112  when the relay last had heard all that peers told it, ns
         128  1 while the master is silent here, and that of another node is not
         136  1 while commits on the master wait for no copy of it
         256  what the node waits for before it takes traffic: length in bytes, then UTF-8
         776  what other nodes tell their clients (`app.config.client.Told`): the same

        1024+  connections + 1 of each api worker, 0 while it does not serve
        3072   the term of the master that the prober met: number * 2^32 + timeline
        3080   which replicas the following is about
        3088+  of each replica: replayed position, lag in ms, time of the probe in ns
        4096+  of each process of the node: the highest term that it met or was told of

Every field is an aligned 8-byte integer with one writer at a time, so a read is never torn (but for the stranger, whom
any api worker may write: of two at once it may show a mixture until the next one). Times are CLOCK_BOOTTIME, which goes
on while the machine sleeps. The file is made by the supervisor and outlives every process but it.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from db.model.board import MAX_REPLICAS, Seen, Term, boottime_ns

SIZE = 2 * mmap.PAGESIZE
_MAGIC = 0x6D6D6E6F64650003
_FIELD = struct.Struct("=Q")
(
    _MAGIC_AT,
    _INCARNATION_AT,
    _HEAD_AT,
    _BEAT_AT,
    _POLLED_AT,
    _LOST_AT,
    _JOINING_AT,
    _DEGRADED_AT,
    _CRASHING_AT,
    _STRANGER_AT,
    _PROCESSES_AT,
    _AGREED_AT,
    _LISTENED_AT,
    _ELSEWHERE_AT,
    _SYNCHRONOUS_AT,
    _WAITS_AT,
    _TOLD_AT,
    _LOADS_AT,
) = (
    0,
    8,
    16,
    24,
    32,
    40,
    48,
    56,
    64,
    72,
    96,
    104,
    112,
    128,
    136,
    256,
    776,
    1024,
)
_MET_AT, _SERVERS_AT, _REPLICAS_AT, _TERMS_AT = 3072, 3080, 3088, 4096
MAX_PROCESSES = (SIZE - _TERMS_AT) // _FIELD.size
_REPLICA_BYTES = 3 * _FIELD.size
_RELAY_SILENT_S = 3.0
_LOST_S = 2.0
_WAKE_S = 1.0
_WAITS_BYTES = 512
_TOLD_BYTES = 240
STRANGER_S = 600.0
"""For so long a peer is told of that spoke like a proxy."""


def create(path: Path, processes: int = 1) -> None:
    """Make the file, with nobody's beat in it. processes: that will map it to write, at most MAX_PROCESSES."""
    data = bytearray(SIZE)
    _FIELD.pack_into(data, _MAGIC_AT, _MAGIC)
    _FIELD.pack_into(data, _PROCESSES_AT, min(processes, MAX_PROCESSES))
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


class Page:
    """A mapping of the page. process: the number of the one that writes, among those of the node."""

    def __init__(self, path: Path, *, writable: bool = False, process: int = 0) -> None:
        descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, SIZE, access=access)
        finally:
            os.close(descriptor)
        if self._get(_MAGIC_AT) != _MAGIC:
            raise ValueError(f"{path} is not a node page of this version")
        processes = self._get(_PROCESSES_AT)
        self._terms = struct.Struct(f"={processes}Q")
        self._highest = (0, Term())
        self._own_term_at = _TERMS_AT + process % processes * _FIELD.size

    def _get(self, offset: int) -> int:
        return int(_FIELD.unpack_from(self._map, offset)[0])

    def _set(self, offset: int, value: int) -> None:
        _FIELD.pack_into(self._map, offset, value)

    @property
    def incarnation(self) -> int:
        """Of the relay that wrote last."""
        return self._get(_INCARNATION_AT)

    @property
    def head(self) -> int:
        """How many messages that relay has handed out."""
        return self._get(_HEAD_AT)

    def beat_age_s(self) -> float:
        """How long ago the relay's loop last turned; infinite before its first turn."""
        beat = self._get(_BEAT_AT)
        return (boottime_ns() - beat) / 1e9 if beat else float("inf")

    def take_over(self, incarnation: int) -> None:
        """A relay begins to write."""
        self._set(_HEAD_AT, 0)
        self._set(_INCARNATION_AT, incarnation)
        self.beat()

    def advance(self, head: int) -> None:
        """Raise the head."""
        self._set(_HEAD_AT, head)

    def beat(self) -> None:
        """The relay's loop has turned."""
        self._set(_BEAT_AT, boottime_ns())

    @property
    def joining(self) -> bool:
        """Whether this node does not yet hear all that its peers say."""
        return bool(self._get(_JOINING_AT))

    def set_joining(self, joining: bool) -> None:
        """By the relay."""
        self._set(_JOINING_AT, int(joining))

    def waits_for(self) -> str:
        """What the node waits for before it takes traffic; '' when for nothing."""
        return self._text(_WAITS_AT, _WAITS_BYTES)

    def set_waits_for(self, what: str) -> None:
        """By the relay."""
        self._set_text(_WAITS_AT, _WAITS_BYTES, what)

    def told(self) -> str:
        """What other nodes tell their clients; '' while there are none. Of a change just now it may be a mixture."""
        return self._text(_TOLD_AT, _TOLD_BYTES)

    def set_told(self, what: str) -> None:
        """By the relay."""
        if what != self.told():
            self._set_text(_TOLD_AT, _TOLD_BYTES, what)

    def _text(self, offset: int, most: int) -> str:
        at = offset + _FIELD.size
        return self._map[at : at + min(self._get(offset), most)].decode("utf-8", "replace")

    def _set_text(self, offset: int, most: int, text: str) -> None:
        data = text.encode()[:most]
        at = offset + _FIELD.size
        self._set(offset, 0)
        self._map[at : at + len(data)] = data
        self._set(offset, len(data))

    @property
    def degraded(self) -> bool:
        """Whether reads of copies go on although there is no master."""
        return bool(self._get(_DEGRADED_AT))

    def set_degraded(self, degraded: bool) -> None:
        """By the relay."""
        self._set(_DEGRADED_AT, int(degraded))

    @property
    def crashing(self) -> bool:
        """Whether a child of the node cannot be kept alive."""
        return bool(self._get(_CRASHING_AT))

    def set_crashing(self, crashing: bool) -> None:
        """By the supervisor."""
        self._set(_CRASHING_AT, int(crashing))

    def stranger(self) -> str:
        """Who spoke like a proxy lately without being one of TrustedProxies; '' while nobody did."""
        seen_ns = self._get(_STRANGER_AT + 2 * _FIELD.size)
        if not seen_ns or boottime_ns() - seen_ns > STRANGER_S * 1e9:
            return ""
        address = ip_address(self._map[_STRANGER_AT : _STRANGER_AT + 2 * _FIELD.size])
        assert isinstance(address, IPv6Address)
        return str(address.ipv4_mapped or address)

    def set_stranger(self, address: str) -> None:
        """By an api worker."""
        spoken = ip_address(address)
        packed = spoken.packed if spoken.version == 6 else b"\0" * 10 + b"\xff\xff" + spoken.packed
        self._map[_STRANGER_AT : _STRANGER_AT + 2 * _FIELD.size] = packed
        self._set(_STRANGER_AT + 2 * _FIELD.size, boottime_ns())

    def load(self, worker: int) -> int | None:
        """Connections of an api worker; None while it does not serve."""
        value = self._get(_LOADS_AT + worker * _FIELD.size)
        return value - 1 if value else None

    def set_load(self, worker: int, connections: int | None) -> None:
        """Say how many connections an api worker has: by itself, or None by the supervisor when it is gone."""
        self._set(_LOADS_AT + worker * _FIELD.size, 0 if connections is None else connections + 1)

    # What the prober found: `db.model.board.Board` -------------------------------------------------------------------

    def term(self) -> Term:
        """See `Board`."""
        packed = max(self._terms.unpack_from(self._map, _TERMS_AT))
        if packed != self._highest[0]:
            self._highest = (packed, _unpacked(packed))
        return self._highest[1]

    def met(self) -> Term:
        """See `Board`."""
        return _unpacked(self._get(_MET_AT))

    def agreed(self) -> Term:
        """See `Board`."""
        return _unpacked(self._get(_AGREED_AT))

    def listened_ns(self) -> int:
        """See `Board`."""
        return self._get(_LISTENED_AT)

    def servers(self) -> int:
        """See `Board`."""
        return self._get(_SERVERS_AT)

    def replica(self, index: int) -> Seen:
        """See `Board`."""
        at = _REPLICAS_AT + index * _REPLICA_BYTES
        return Seen(self._get(at), self._get(at + _FIELD.size), self._get(at + 2 * _FIELD.size))

    def polled_ns(self) -> int:
        """See `Board`."""
        return int(_FIELD.unpack_from(self._map, _POLLED_AT)[0])

    def master_lost(self) -> bool:
        """See `Board`."""
        return self._get(_LOST_AT) != 0

    def set_master_lost(self, lost: bool) -> None:
        """See `Board`."""
        self._set(_LOST_AT, int(lost))

    def master_elsewhere(self) -> bool:
        """See `Board`."""
        return self._get(_ELSEWHERE_AT) != 0

    def set_master_elsewhere(self, elsewhere: bool) -> None:
        """See `Board`."""
        self._set(_ELSEWHERE_AT, int(elsewhere))

    def synchronous(self) -> bool:
        """See `Board`."""
        return self._get(_SYNCHRONOUS_AT) == 0

    def set_synchronous(self, synchronous: bool) -> None:
        """See `Board`."""
        self._set(_SYNCHRONOUS_AT, int(not synchronous))

    def set_polled(self, sent_ns: int) -> None:
        """See `Board`."""
        self._set(_POLLED_AT, sent_ns)

    def raise_term(self, term: Term) -> None:
        """See `Board`."""
        packed = _packed(term)
        if packed > self._get(self._own_term_at):
            self._set(self._own_term_at, packed)

    def set_term(self, term: Term) -> None:
        """See `Board`."""
        self.raise_term(term)
        self._set(_MET_AT, _packed(term))

    def set_agreement(self, agreed: Term, listened_ns: int) -> None:
        """See `Board`."""
        self._set(_AGREED_AT, _packed(agreed))
        self._set(_LISTENED_AT, listened_ns)

    def set_servers(self, fingerprint: int) -> None:
        """See `Board`."""
        self._set(_SERVERS_AT, 0)
        for index in range(MAX_REPLICAS):
            self.set_replica(index, Seen())
        self._set(_SERVERS_AT, fingerprint)

    def set_replica(self, index: int, seen: Seen) -> None:
        """See `Board`. The time goes first to 0 and last in, so that no field is taken for that of another probe."""
        at = _REPLICAS_AT + index * _REPLICA_BYTES
        self._set(at + 2 * _FIELD.size, 0)
        self._set(at, seen.replayed)
        self._set(at + _FIELD.size, seen.lag_ms)
        self._set(at + 2 * _FIELD.size, seen.probed_ns)

    def close(self) -> None:
        """Unmap."""
        self._map.close()


def _packed(term: Term) -> int:
    return term.number << 32 | term.timeline


def _unpacked(packed: int) -> Term:
    return Term(packed >> 32, packed & 0xFFFFFFFF)


class RelayWatch:
    """Fulfils `app.ports.NodeHealth` by the node page. now: seconds of any monotonic clock."""

    def __init__(self, page: Page, now: Callable[[], float] = time.monotonic) -> None:
        self._page = page
        self._now = now
        self._silent_since: float | None = None
        self._lost_since: float | None = None
        self.draining = False

    def degraded(self) -> bool:
        """See `app.ports.NodeHealth`."""
        return self._page.degraded

    def waits_for(self) -> str:
        """See `app.ports.NodeHealth`."""
        return self._page.waits_for()

    def broken(self) -> str | None:
        """See `app.ports.NodeHealth`.

        A relay that is found silent once may have slept together with us (a paused machine): it has a second to wake.
        """
        if self.draining:
            return "draining"
        if self._page.beat_age_s() <= _RELAY_SILENT_S:
            self._silent_since = None
            return "joining" if self._page.joining else "db_master_lost" if self._is_lost() else None
        if self._silent_since is None:
            self._silent_since = self._now()
        return "relay_down" if self._now() - self._silent_since >= _WAKE_S else None

    def _is_lost(self) -> bool:
        """Whether there has been no master for a while, and reads do not go on without one."""
        if not self._page.master_lost() or self._page.degraded:
            self._lost_since = None
            return False
        if self._lost_since is None:
            self._lost_since = self._now()
        return self._now() - self._lost_since >= _LOST_S
