"""A round: witnesses use a cluster, some faults begin and heal, and what was seen is judged.

with Arena("postgres") as arena:
    arena.round(["relay killed", "node - node: cut"], seed=7)
"""

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults import checker
from tests.faults.checker import Forgiven
from tests.faults.scene import NODES, Scene
from tests.faults.table import TABLE, Dialect, Touched
from tests.faults.witnesses import Editor, Poller, Revoker, Witness, Writer
from tests.rig import backends
from tests.rig.clocks import Clock
from tests.rig.cluster import Cluster, is_alive
from tests.rig.follower import Follower
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.wait import until

REPLICAS = 2
_WARM_S, _SETTLE_S = 1.5, 1.0
_PEOPLE = 11
_PAUSE_S = 0.25


@dataclass
class Result:
    """Of a round. violations: texts; none is good. figures: what was measured, in s, and counts."""

    seed: int
    faults: Sequence[str]
    violations: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    times: list[tuple[float, str]] = field(default_factory=list)
    """What happened when, in s since the beginning of the round."""

    def __str__(self) -> str:
        """The line of the record; and all that is wrong."""
        figures = " ".join(f"{name}={value:.2f}".removesuffix(".00") for name, value in self.figures.items())
        lines = [f"{'BAD ' if self.violations else 'good'} seed {self.seed}: {' + '.join(self.faults)}: {figures}"]
        if self.violations:
            lines.append("    " + "; ".join(f"{at:.1f} s {what}" for at, what in self.times))
        return "\n".join([*lines, *(f"    {one}" for one in self.violations)])


class Arena:
    """Three nodes over a master and two replicas, all joined by ways that can be broken. A context manager."""

    def __init__(self, driver: Dialect) -> None:
        self.driver: Dialect = driver
        self._stack = contextlib.ExitStack()
        self._broken = True
        self.cluster: Cluster
        self._clocks: list[Clock] = []
        self._people: list[Rest] = []
        self._team: dict[str, Any] = {}

    def __enter__(self) -> "Arena":
        self._renew()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _renew(self) -> None:
        """Servers, nodes and people anew, if the last round has spent them."""
        if not self._broken:
            return
        self._stack.close()
        servers = backends.servers(self.driver, REPLICAS, everywhere=True)
        self._stack.enter_context(servers)
        database = servers.new_database()
        if self.driver == "postgres":
            servers.master.execute("GRANT EXECUTE ON FUNCTION pg_promote TO mmnode", database)
        cluster = Cluster(servers, database=database, routed=True)
        self._clocks = [Clock(node) for node in cluster.nodes]
        self.cluster = self._stack.enter_context(cluster)
        self._people = [new_user(self.cluster.nodes[0].url, f"witness{number}") for number in range(_PEOPLE)]
        self._team = new_team(self._people[0], *self._people[1:])
        self._broken = False

    def round(self, faults: Sequence[str], seed: int, hold_s: float = 0.0) -> Result:
        """One round. seed: draws where they happen and when. hold_s: how long all last together (0.0: by chance)."""
        self._renew()
        result = Result(seed, faults)
        try:
            _Round(Scene(self.cluster, clocks=self._clocks), self._people, self._team, result).run(hold_s)
        except Exception as error:
            result.violations.append(f"the round broke off: {error!r:.3000}")
        self._broken = any(TABLE[name].spends for name in faults) or bool(result.violations)
        return result


class _Round:
    """See `Arena.round`."""

    def __init__(self, scene: Scene, people: Sequence[Rest], team: dict[str, Any], result: Result) -> None:
        self._scene, self._result = scene, result
        self._cluster = cluster = scene.cluster
        self._chance = random.Random(f"{result.seed} {' '.join(result.faults)}")
        self._began = time.monotonic()
        channels = [str(new_channel(people[0], team, *people[1:])["id"]) for _ in range(2)]
        scene.channels[:] = channels

        self._clients: list[Rest] = []

        def of(who: Rest) -> list[Rest]:
            """On each node, by connections of their own."""
            found = [cluster.client(who, place) for place in NODES]
            self._clients += found
            return found

        owners = [(place, channel_id) for channel_id in channels for place in (*NODES, -1)]
        self._writers = [Writer(of(people[n]), *own, _PAUSE_S) for n, own in enumerate(owners)]
        self._pollers = [Poller(who, place, channels, 0.3) for place, who in enumerate(of(people[8]))]
        self._editor = Editor(of(people[9]), channels[1], random.Random(result.seed), 0.2)
        urls = [node.url for node in cluster.nodes]
        self._revoker = Revoker(urls, people[10].user["username"], random.Random(result.seed), 0.2)
        self._followers = [Follower(of(people[n]), n, channels) for n in range(6)]
        until(lambda: all(one.live.is_set() and one.begun for one in self._followers), 20, "open sockets")

    @property
    def _witnesses(self) -> list[Witness]:
        return [*self._writers, *self._pollers, self._editor, self._revoker]

    def _note(self, what: str) -> None:
        self._result.times.append((time.monotonic() - self._began, what))

    def run(self, hold_s: float) -> None:
        touched: list[Touched] = []
        try:
            for one in self._witnesses:
                one.start()
            time.sleep(_WARM_S)
            logged = [node.log for node in self._cluster.nodes]
            self._break(touched, hold_s)
            try:
                self._recover()
            except AssertionError as error:  # and what the witnesses saw is judged all the same
                self._result.violations.append(f"{error}; {self._states()}")
            self._finish(touched)
        finally:
            for one in self._witnesses:
                one.stop()
            for follower in self._followers:
                follower.close()
            for client in self._clients:
                client.close()
        now = [node.log for node in self._cluster.nodes]
        self._result.violations += checker.logs([text[len(before) :] for text, before in zip(now, logged, strict=True)])
        if not self._result.violations and not self._spent:
            self._cluster.restore()

    @property
    def _spent(self) -> bool:
        return any(TABLE[name].spends for name in self._result.faults)

    def _break(self, touched: list[Touched], hold_s: float) -> None:
        """All begin, one after the other, and heal in an order that is drawn."""
        chance, running = self._chance, []
        try:
            for name in self._result.faults:
                fault = TABLE[name](self._scene, chance)
                touched.append(fault.__enter__())
                running.append((name, fault))
                self._note(f"{name} {sorted(touched[-1].nodes)}")
                time.sleep(0.0 if hold_s else chance.uniform(0.0, 2.0))
            time.sleep(hold_s or chance.uniform(2.0, 7.0))
            chance.shuffle(running)
        finally:
            while running:
                name, fault = running.pop()
                fault.__exit__(None, None, None)
                self._note(f"healed: {name}")
                if not hold_s:
                    time.sleep(chance.uniform(0.0, 0.5))

    def _recover(self) -> None:
        """Green, and everybody is answered again."""
        healed = time.monotonic()
        for place in NODES:
            self._scene.ensure_running(place)
        if not self._spent:
            until(self._cluster.is_green, checker.GREEN_S, "a green cluster")
        self._result.figures["green_s"] = time.monotonic() - healed

        def go_on() -> bool:
            return all(any(post.acked and post.began > healed for post in one.posts[-20:]) for one in self._writers)

        until(go_on, 10, "every writer to be answered again")
        time.sleep(_SETTLE_S)

    def _states(self) -> str:
        """What each node says of all."""
        said = []
        for place in NODES:
            try:
                members = self._cluster.members(place).items()
                said.append(
                    f"node {place}: " + ", ".join(f"{at} {one['state']} {one['reasons']}" for at, one in members)
                )
            except (OSError, AssertionError) as error:
                said.append(f"node {place}: {error!r:.200}")
        return "; ".join(said)

    def _finish(self, touched: Sequence[Touched]) -> None:
        """Stop all, wait until it has arrived, and judge."""
        stopped = time.monotonic()
        for one in self._witnesses:
            one.stop()
        for one in self._witnesses:
            one.join()
        posts = [post for one in self._writers for post in one.posts]
        acked = {post.post_id for post in posts if post.acked}
        with contextlib.suppress(AssertionError):  # what is missing is judged below
            until(lambda: all(acked <= one.heard.keys() for one in self._followers), 10, "every post at every client")
        for follower in self._followers:
            follower.close()
        channels, forgiven = self._scene.channels, Forgiven(touched)
        rows = self._scene.rows(
            "SELECT id, channel_id, pending_post_id, create_at, message FROM posts"
            f" WHERE channel_id IN ('{channels[0]}', '{channels[1]}') ORDER BY channel_id, seq"
        )
        orders = {one: [row[0] for row in rows if row[1] == one] for one in channels}
        read = [page for one in self._pollers for page in one.pages]
        found, figures = self._result.violations, self._result.figures
        figures["acked"] = len(acked)
        found += [fault for one in self._witnesses for fault in one.faults[:5]]
        found += checker.exactly_once(posts, rows) + checker.in_order(self._followers, posts, orders)
        for name, (bad, figure) in {
            "late_s": checker.late(self._followers, posts, forgiven),
            "page_age_s": checker.pages(read, posts, orders),
            "edit_age_s": checker.edits(self._editor, rows),
            "session_age_s": checker.sessions(self._revoker),
            "wait_s": checker.blocked(posts, stopped, channels, forgiven),
        }.items():
            found += bad
            figures[name] = figure
        figures["revoked"] = self._revoker.ended
        found += [f"an orphan on node {place}: {what}" for place in NODES for what in self._orphans(place)]

    def _orphans(self, place: int) -> list[str]:
        """Processes in a node's namespace that are not its own."""
        command = ["ip", "netns", "pids", self._cluster.ways.names[place]]
        there = {int(pid) for pid in subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()}
        strange = [pid for pid in there - set(self._cluster.pids(place)) if is_alive(pid)]
        time.sleep(0.1 * bool(strange))  # a child that was started meanwhile
        mine = set(self._cluster.pids(place))
        return [f"{pid} {_command(pid)}" for pid in strange if pid not in mine and is_alive(pid)]


def _command(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as file:
        return file.read().replace("\0", " ")
    return ""


def base_seed() -> int:
    """MMNODE_FAULTS_SEED, or one of the clock's."""
    return int(os.environ.get("MMNODE_FAULTS_SEED") or time.time())
