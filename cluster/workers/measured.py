"""What workers show as metrics of what they know anyway: the figures of the status commands.

Each role measures twice a second, with its beat; what is counted where it happens (requests, posts) is not here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app import metrics as of
from app.counting import Metrics
from cluster.peers.interlink import Interlink
from cluster.peers.membership import Liveness
from cluster.relay.condition import Condition
from cluster.relay.lease import LeaseRunner
from cluster.relay.relay import Relay
from db.model.board import Term
from db.pool.pool import Database
from db.pool.prober import Prober
from db.sql.outbox import Follower

if TYPE_CHECKING:
    from api.http.server import Server


def database(metrics: Metrics, pool: Database, caches: Mapping[str, Mapping[str, int]]) -> None:
    """The connections of a worker, and its caches as their registry's `figures` has them."""
    usage: Any = pool.usage()
    metrics.gauge(of.DB_MASTER).set(_connections(usage["master"]))
    metrics.gauge(of.DB_REPLICAS).set(sum(_connections(one) for one in usage["replicas"]))
    for name, figures in caches.items():
        metrics.counter(of.CACHE_HITS, name).follow(figures["hits"])
        metrics.counter(of.CACHE_MISSES, name).follow(figures["misses"])
        metrics.counter(of.CACHE_STALE, name).follow(figures["stale"])


def _connections(usage: Mapping[str, int]) -> int:
    return usage.get("open", 0)


def api(metrics: Metrics, server: "Server") -> None:
    """The connections of an api worker."""
    metrics.gauge(of.CONNECTIONS).set(len(server.server_state.connections))
    metrics.gauge(of.SLOW_READERS).set(len(server.readers))
    metrics.counter(of.SLOW_READERS_CUT).follow(server.readers.cut)
    metrics.counter(of.SLOW_SENDERS_CUT).follow(server.senders.cut)


def relay(metrics: Metrics, relay: Relay, condition: Condition, leader: LeaseRunner | None) -> None:
    """What the relay knows of the node."""
    metrics.counter(of.RELAYED).follow(relay.relayed)
    metrics.counter(of.DROPPED).follow(relay.dropped)
    metrics.only(of.REASONS, {reason.partition(" ")[0]: 1 for reason in condition.reasons})
    metrics.gauge(of.DB_UP).set(condition.has_master)
    if leader is not None:
        metrics.gauge(of.LEADS).set(bool(leader.status()["leads"]))


def servers(metrics: Metrics, term: Term, follower: Follower, prober: Prober, replicas: Sequence[str]) -> None:
    """The database's servers. replicas: where they are, in the order of the configuration."""
    metrics.gauge(of.DB_TERM).set(term.number)
    polls: Any = follower.status()
    metrics.gauge(of.OUTBOX_AGE).set(polls["outbox_age_s"])
    found: Any = prober.status()
    states = zip(replicas, found["replica_states"], strict=False)  # a recycle may be under way
    metrics.only(of.DB_LAG, {place: one["lag_ms"] / 1000 for place, one in states if one["state"] == "up"})


def cluster(metrics: Metrics, interlink: Interlink) -> None:
    """The other nodes, as far as this one sees them."""
    metrics.counter(of.REPAIRS).follow(interlink.repairs)
    members = Counter(one.liveness for one in interlink.members())
    metrics.only(of.NODES, {state: members[state] for state in Liveness})
