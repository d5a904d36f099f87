"""What is not as it should be with this node, in the words of the cluster status. Sans-I/O.

What passes (a message that was lost, a loop that was late) is told of for a while afterwards, so that it is seen.
"""

from collections import deque
from dataclasses import dataclass

REPAIRS = 10
"""Repairs within `RECENT_S` that are more than the odd one."""
RECENT_S = 30.0
RESTARTED_S = 10.0


@dataclass(frozen=True)
class Facts:
    """Of now; the counters only grow."""

    master_lost: bool = False
    degraded: bool = False
    outbox_stale: bool = False
    replicas_out: bool = False
    unsynchronous: bool = False
    hosts_lost: str = ""
    """Hosts of a connection string with several that do not answer."""
    indistinct: str = ""
    """Entries of DataSourceReplicas that reach a server which another entry, or DataSource, reaches as well."""
    schema_newer: int = 0
    isolated: bool = False
    files_bad: bool = False
    workers_missing: bool = False
    crashing: bool = False
    stranger: str = ""
    """Who speaks like a proxy and is not in TrustedProxies; '': nobody."""
    config_pending: bool = False
    repairs: int = 0
    drops: int = 0
    late_turns: int = 0
    restarts: int = 0


class Growth:
    """Whether a counter that began at 0 has grown by `least` within the last `window_s`."""

    def __init__(self, window_s: float, least: int = 1) -> None:
        self._window_s = window_s
        self._least = least
        self._seen: deque[tuple[float, int]] = deque([(float("-inf"), 0)])

    def see(self, value: int, now: float) -> bool:
        """The counter shows this now."""
        if value != self._seen[-1][1]:
            self._seen.append((now, value))
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._window_s:
            self._seen.popleft()
        return value - self._seen[0][1] >= self._least


class Reasons:
    """`find` twice a second."""

    def __init__(self) -> None:
        self._repairs = Growth(RECENT_S, REPAIRS)
        self._drops = Growth(RECENT_S)
        self._late_turns = Growth(RECENT_S)
        self._restarts = Growth(RESTARTED_S)

    def find(self, facts: Facts, now: float) -> list[str]:
        """The words that apply. now: seconds of any clock that goes on."""
        restarted = self._restarts.see(facts.restarts, now)
        found = {
            "db_master_lost": facts.master_lost,
            "degraded_reads": facts.degraded,
            "outbox_stale": facts.outbox_stale and not facts.master_lost,
            "bus_isolated": facts.isolated,
            "worker_crashing": facts.crashing,
            "replica_lag": facts.replicas_out and not facts.master_lost,
            "replication_not_synchronous": facts.unsynchronous,
            f"db_host_lost ({facts.hosts_lost[:200]})": bool(facts.hosts_lost) and not facts.master_lost,
            f"replicas_not_distinct ({facts.indistinct[:200]})": bool(facts.indistinct),
            f"schema_newer (version {facts.schema_newer})": facts.schema_newer > 0,
            "repair_rate": self._repairs.see(facts.repairs, now),
            "hwm_drop": self._drops.see(facts.drops, now),
            "slow_loop": self._late_turns.see(facts.late_turns, now),
            "worker_restarting": facts.workers_missing or restarted,
            "files_error": facts.files_bad,
            "config_pending": facts.config_pending,
            f"untrusted_proxy ({facts.stranger} is not in ServiceSettings.TrustedProxies)": bool(facts.stranger),
        }
        return [word for word, applies in found.items() if applies]
