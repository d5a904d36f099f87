"""The table of faults: each is one that happens to real clusters, begins, and heals.

    with TABLE["relay killed"](scene, chance) as touched: …

What it touches is what its clients are forgiven; all others are to notice nothing beyond the bounds that are promised.
"""

import contextlib
import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from tests.faults.scene import ALL, Scene, both, pick, repeating
from tests.rig.node import Node
from tests.rig.wire import Way

Dialect = Literal["postgres", "mysql"]
BOTH: tuple[Dialect, ...] = ("postgres", "mysql")
_NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Touched:
    """What a fault concerns.

    nodes: those that it happens to. waits: those whose writers may wait for its end. deaf: those whose open sockets
    nobody can close nor serve meanwhile. channel: one of the scene's of which writers may wait (-1: of none).
    """

    nodes: frozenset[int] = _NOBODY
    waits: frozenset[int] = _NOBODY
    deaf: frozenset[int] = _NOBODY
    channel: int = -1


Act = Callable[[Scene, random.Random], Iterator[Touched]]


@dataclass(frozen=True)
class Fault:
    """An entry. databases: on which it exists. spends: the cluster is not as before at its end, and must be made anew.

    group: of faults with the same one, which undo each other, no two are drawn together ("": of none).
    """

    name: str
    act: Act
    databases: tuple[Dialect, ...] = BOTH
    spends: bool = False
    group: str = ""

    def __call__(self, scene: Scene, chance: random.Random) -> contextlib.AbstractContextManager[Touched]:
        """It begins on entry and heals at the exit. chance: where."""
        return contextlib.contextmanager(self.act)(scene, chance)


TABLE: dict[str, Fault] = {}


def _add(name: str, act: Act, *databases: Dialect, spends: bool = False, group: str = "") -> None:
    assert name not in TABLE
    TABLE[name] = Fault(name, act, databases or BOTH, spends, group)


def draw(chance: random.Random, database: Dialect) -> list[str]:
    """Two faults, in one of ten cases three, that can happen together. Those that spend a cluster come more rarely."""
    drawn: list[Fault] = []
    wanted = 3 if chance.random() < 0.1 else 2
    while len(drawn) < wanted:
        one = TABLE[chance.choice(sorted(TABLE))]
        fits = database in one.databases and not any(one.group == other.group != "" for other in drawn)
        if fits and one not in drawn and (not one.spends or chance.random() < 0.5):
            drawn.append(one)
    return [one.name for one in drawn]


# Processes -----------------------------------------------------------------------------------------------------------


def _killed(name: str, scene: Scene, chance: random.Random) -> Iterator[Touched]:
    (place,) = pick(chance, 1)
    here = frozenset({place})
    scene.signal(place, name, signal.SIGKILL)
    yield Touched(here, waits=here)
    scene.ensure_running(place)


def _frozen(name: str, scene: Scene, chance: random.Random) -> Iterator[Touched]:
    """Until the end, or until the supervisor has killed it (5 s, 10 s)."""
    (place,) = pick(chance, 1)
    here = frozenset({place})
    pids = scene.signal(place, name, signal.SIGSTOP)
    yield Touched(
        here,
        waits=here if name in ("api0", "relay", "node") else _NOBODY,
        deaf=here if name in ("ws0", "node") else _NOBODY,
    )
    scene.resume(place, pids)


def _stopped(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    """In good order, as for an upgrade."""
    (place,) = pick(chance, 1)
    here = frozenset({place})
    scene.signal(place, "supervisor", signal.SIGTERM)
    yield Touched(here, waits=here)
    scene.ensure_running(place)


for _name in ("relay", "ws0", "api0", "fork server", "supervisor", "node"):
    _add(f"{_name} killed", partial(_killed, _name))
    _add(f"{_name} frozen", partial(_frozen, _name))
_add("node stopped", _stopped)


# Ways ----------------------------------------------------------------------------------------------------------------

CUT = Way(is_cut=True)
BAD = Way(delay_s=0.1, jitter_s=0.2, loss=0.05, reorders=True)
NARROW = Way(mtu=600)
_Ends = Callable[[Scene, random.Random], tuple[frozenset[int], frozenset[int], list[tuple[int, int]]]]
"""Nodes that it touches, nodes whose writers may wait, directions."""


def _of_nodes(scene: Scene, chance: random.Random) -> tuple[frozenset[int], frozenset[int], list[tuple[int, int]]]:
    one, other = pick(chance, 2)
    return frozenset({one, other}), _NOBODY, both(one, other)


def _of_a_node(scene: Scene, chance: random.Random) -> tuple[frozenset[int], frozenset[int], list[tuple[int, int]]]:
    one, *others = pick(chance, 3)
    return frozenset({one}), frozenset({one}), [way for other in others for way in both(one, other)]


def _of_the_master(scene: Scene, chance: random.Random) -> tuple[frozenset[int], frozenset[int], list[tuple[int, int]]]:
    (place,) = pick(chance, 1)
    return frozenset({place}), frozenset({place}), both(place, scene.server(0))


def _of_a_replica(scene: Scene, chance: random.Random) -> tuple[frozenset[int], frozenset[int], list[tuple[int, int]]]:
    (place,) = pick(chance, 1)
    return frozenset({place}), _NOBODY, both(place, scene.server(1 + chance.randrange(2)))


def _way(ends: _Ends, way: Way, directions: slice, scene: Scene, chance: random.Random) -> Iterator[Touched]:
    nodes, waits, ways = ends(scene, chance)
    with scene.ways(way, *ways[directions]):
        yield Touched(nodes, waits)


def _flapping(ends: _Ends, scene: Scene, chance: random.Random) -> Iterator[Touched]:
    nodes, waits, ways = ends(scene, chance)

    def flap(number: int) -> None:
        for sender, receiver in ways:
            if number % 2:
                scene.cluster.ways.open(sender, receiver)
            else:
                scene.cluster.ways.set(sender, receiver, CUT)

    try:
        with repeating(flap, 0.6):
            yield Touched(nodes, waits)
    finally:
        flap(1)


_WHOLE, _THERE, _BACK = slice(None), slice(0, None, 2), slice(1, None, 2)
LINKS = {
    "node - node": _of_nodes,
    "node - all nodes": _of_a_node,
    "node - master": _of_the_master,
    "node - replica": _of_a_replica,
}
for _link, _ends in LINKS.items():
    _add(f"{_link}: cut", partial(_way, _ends, CUT, _WHOLE))
    _add(f"{_link}: cut there", partial(_way, _ends, CUT, _THERE))
    _add(f"{_link}: cut back", partial(_way, _ends, CUT, _BACK))
    _add(f"{_link}: slow, lossy, in disorder", partial(_way, _ends, BAD, _WHOLE))
    _add(f"{_link}: no long packets", partial(_way, _ends, NARROW, _WHOLE))
    _add(f"{_link}: flapping", partial(_flapping, _ends))


# Databases -----------------------------------------------------------------------------------------------------------

_EVERYBODY = Touched(ALL, waits=ALL)


def _restarted(how: str, scene: Scene, chance: random.Random) -> Iterator[Touched]:
    master = scene.master
    if how == "crash":
        master.crash()
    else:
        (master.stop if scene.is_postgres else master.end)()
    yield _EVERYBODY
    master.start()


def _backend_killed(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    """PostgreSQL then recovers from its log."""
    ((pid,),) = scene.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'mmnode' LIMIT 1")
    os.kill(pid, signal.SIGKILL)
    yield _EVERYBODY
    scene.until_master()


def _terminated(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    with repeating(lambda _: scene.end_sessions(), 0.5):
        yield _EVERYBODY


_LIMIT = "ALTER USER 'chat'@'10.77.%' WITH MAX_USER_CONNECTIONS {}"
"""Of nodes; replicas come from elsewhere."""


def _no_connections(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    scene.sql("ALTER ROLE mmnode CONNECTION LIMIT 1", _LIMIT.format(1))
    scene.end_sessions()
    yield _EVERYBODY
    scene.sql("ALTER ROLE mmnode CONNECTION LIMIT -1", _LIMIT.format(0))


def _read_only(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    def flip(number: int) -> None:
        if scene.is_postgres:
            scene.master.set("default_transaction_read_only", "off" if number % 2 else "on")
        else:
            scene.sql("", f"SET GLOBAL read_only = {1 - number % 2}")

    try:
        with repeating(flip, 0.8):
            yield _EVERYBODY
    finally:
        if scene.is_postgres:  # a superuser's session is read-only too, and ALTER SYSTEM is no write
            scene.master.set("default_transaction_read_only", "off")
        else:
            scene.sql("", "SET GLOBAL read_only = 0")


def _head_locked(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    with scene.held(f"SELECT seq FROM channel_heads WHERE channel_id = '{scene.channels[0]}' FOR UPDATE"):
        yield Touched(channel=0)


def _table_locked(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    with scene.held(
        "LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE" if scene.is_postgres else "LOCK TABLES sessions WRITE"
    ):
        yield _EVERYBODY


def _master_frozen(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    with scene.frozen(scene.master):
        yield _EVERYBODY


def _replica(how: str, scene: Scene, chance: random.Random) -> Iterator[Touched]:
    server = chance.choice(scene.replicas)
    if how == "killed":
        server.crash()
        yield Touched()
        server.start()
    elif how == "paused":
        server.pause_replay()
        yield Touched()
        server.resume_replay()
    else:
        with scene.frozen(server):
            yield Touched()


def _failed_over(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    """By the command, from a node that it draws. The old master lives. Another fault may be a reason to refuse."""
    heir = scene.replicas[0]
    with contextlib.suppress(OSError):
        scene.cluster.nodes[chance.randrange(3)].ask("failover", to=scene.cluster.dsn(heir))
    yield _EVERYBODY
    if heir.execute("SELECT pg_is_in_recovery()") == [(False,)]:
        scene.now_master = heir


_add("database restarted", partial(_restarted, "stop"), group="master")
_add("database killed", partial(_restarted, "crash"), group="master")
_add("a backend of the database killed", _backend_killed, "postgres", group="master")
_add("all sessions ended", _terminated, group="master")
_add("no connections left", _no_connections, group="master")
_add("read-only flips", _read_only, group="master")
_add("a head locked", _head_locked, group="master")
_add("a table locked", _table_locked, group="master")
_add("database frozen", _master_frozen, group="master")
_add("replica frozen", partial(_replica, "frozen"), group="replica")
_add("replica killed", partial(_replica, "killed"), group="replica")
_add("replica paused", partial(_replica, "paused"), group="replica")
_add("failover by command", _failed_over, "postgres", spends=True, group="master")


# What operators do ---------------------------------------------------------------------------------------------------


def _asked(command: str, scene: Scene, chance: random.Random) -> Iterator[Touched]:
    """In a loop, each time of another node."""

    def ask(number: int) -> None:
        with contextlib.suppress(OSError):  # another fault has stopped it
            scene.cluster.nodes[number % 3].ask(command, timeout_s=5.0)

    with repeating(ask, 0.1):
        yield Touched()


def _configured(scene: Scene, chance: random.Random) -> Iterator[Touched]:
    """Another file and a reload, on each node in turn, and back."""

    def change(node: Node, value: int) -> None:
        scene.cluster.configure(node, {"TeamSettings": {"MaxUsersPerTeam": value}})
        with contextlib.suppress(OSError):
            node.ask("reload", timeout_s=5.0)

    try:
        with repeating(lambda number: change(scene.cluster.nodes[number % 3], 9_000 + number), 0.3):
            yield Touched()
    finally:
        for node in scene.cluster.nodes:
            change(node, 10_000)


def _clock_jumped(hours: float, scene: Scene, chance: random.Random) -> Iterator[Touched]:
    (place,) = pick(chance, 1)
    scene.clocks[place].jump(3600 * hours)
    yield Touched(frozenset({place}))
    scene.clocks[place].jump(0.0)


_add("clock an hour ahead", partial(_clock_jumped, 1))
_add("clock an hour back", partial(_clock_jumped, -1))
_add("recycled in a loop", partial(_asked, "recycle"), group="operator")
_add("reloaded in a loop", partial(_asked, "reload"), group="operator")
_add("caches purged in a loop", partial(_asked, "purge"), group="operator")
_add("another configuration", _configured, group="operator")
