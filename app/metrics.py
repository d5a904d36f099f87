"""Every metric of a node: its name, type, labels and buckets. What counts is `counting.py`.

The names are Mattermost's where it has the same thing, so that its dashboards work, and `mmnode_…` for all else.
"""

from dataclasses import dataclass
from typing import Literal

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Prometheus' own default buckets, which Mattermost's dashboards are made for."""


@dataclass(frozen=True)
class Metric:
    """One metric of the node. Values of labels are never a client's: each is a series, for ever.

    buckets: of a histogram, the highest value of each but the last one, in ascending order.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """How many numbers a series of it has."""
        return 2 + len(self.buckets) if self.kind == "histogram" else 1


def _counter(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, "counter", help_text, labels)


def _gauge(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, "gauge", help_text, labels)


BUILD = _gauge("mmnode_build_info", "1, with the version of this node.", "version")
UPTIME = _gauge("mmnode_uptime_seconds", "Since the node was started.")
WORKER_UP = _gauge("mmnode_worker_up", "1 while a worker serves.", "worker")
WORKER_RESTARTS = _counter("mmnode_worker_restarts_total", "Processes that took the place of one that ended.", "worker")
LOOP_LAG = _gauge("mmnode_worker_loop_lag_seconds", "By how much a worker's loop was last late.", "worker")
CONFIG_PENDING = _gauge("mmnode_config_pending", "Changed keys that wait for a restart or recycle.", "needs")

REQUESTS = _counter("mattermost_http_requests_total", "Requests below /api that were answered.")
ERRORS = _counter("mattermost_http_errors_total", "Requests below /api that were answered with a status from 400 on.")
API_TIME = Metric(
    "mattermost_api_time",
    "histogram",
    "Seconds from the head of a request to its answer, by operation.",
    ("handler", "method", "status_code"),
    SECONDS,
)
RESPONSES = _counter("mmnode_http_responses_total", "Answers to HTTP requests of any path.", "method", "status")
CONNECTIONS = _gauge("mmnode_http_connections", "HTTP connections that are open.")
SLOW_READERS = _gauge("mmnode_http_slow_readers", "Connections whose client has yet to read its answer.")
SLOW_READERS_CUT = _counter("mmnode_http_slow_readers_cut_total", "Connections that were cut: answers were not read.")
SLOW_SENDERS_CUT = _counter("mmnode_http_slow_senders_cut_total", "Connections that were cut: bodies did not end.")

WEBSOCKETS = _gauge("mattermost_http_websockets_total", "WebSocket connections that are open.")

POSTS = _counter("mattermost_post_total", "Posts that users wrote.")
LOGINS = _counter("mattermost_login_logins_total", "Log-ins that succeeded.")
FAILED_LOGINS = _counter("mattermost_login_logins_fail_total", "Log-ins that failed.")

CLIENT_REPORTS = _counter("mmnode_client_reports_total", "Reports of clients on their performance.", "platform")
CLIENT_TIME = Metric(
    "mmnode_client_seconds", "histogram", "What clients measured of themselves, in seconds.", ("metric",), SECONDS
)

WORK_WAITING = _gauge("mmnode_work_waiting", "Work for threads (hashes, images) that waits or is under way.")

CACHE_HITS = _counter("mattermost_cache_mem_hit_total", "Reads that a cache answered.", "name")
CACHE_MISSES = _counter("mattermost_cache_mem_miss_total", "Reads that a cache did not answer.", "name")
CACHE_STALE = _counter("mmnode_cache_stale_total", "Misses whose copy was there and did not count any more.", "name")

DB_MASTER = _gauge("mattermost_db_master_connections_total", "Connections to the master.")
DB_REPLICAS = _gauge("mattermost_db_read_replica_connections_total", "Connections to replicas.")
DB_LAG = _gauge("mattermost_db_replica_lag_time", "Seconds by which a replica is late.", "node")
DB_UP = _gauge("mmnode_db_up", "1 while the master answers.")
DB_TERM = _gauge("mmnode_db_term", "Number of the master's term.")
OUTBOX_AGE = _gauge("mmnode_outbox_age_seconds", "Since the last poll of the outbox that was applied.")
BARRIER_MISSES = _counter("mmnode_write_barrier_misses_total", "Writes acknowledged before all other nodes knew them.")

RELAYED = _counter("mmnode_bus_messages_total", "Messages that the relay handed out.")
DROPPED = _counter("mmnode_bus_drops_total", "Messages that the relay had no room for.")
REPAIRS = _counter("mmnode_repairs_total", "Times that peers were asked for messages which were lost.")
NODES = _gauge("mmnode_cluster_nodes", "Members of the cluster as this node sees them.", "state")
REASONS = _gauge("mmnode_node_reason", "1 while this reason holds for this node (docs/operations.md).", "reason")
LEADS = _gauge("mmnode_leads", "1 while this node does the jobs of the cluster.")

METRICS: dict[str, Metric] = {one.name: one for one in list(globals().values()) if isinstance(one, Metric)}
"""By name: all of the above."""
