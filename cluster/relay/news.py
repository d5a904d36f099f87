"""What operators are told of the nodes: each change of a state is one line of the log. Pure, but for what it remembers.

The line says which node, what it is now and why, and what is to be done. Red is an error, yellow a warning; coming,
going and being well again are neither, whatever a node that is still joining lacks: when that takes long, it is a
warning. What passes within a second is not told. Times: seconds of any clock that goes on.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JOINING = "joining"
LIFE = frozenset({JOINING, "draining", "left"})
"""Reasons that pass by themselves."""
SETTLED_S = 1.0
LONG_S = 30.0
_ELSE = "see docs/operations.md"
DO = {
    "down": "start it, or, if it will not come back, say mmnode cluster remove NODE",
    "config_mismatch": "make its config.json what the others have, then reload or restart it",
    "version_mismatch": "install the version that the others have, or say mmnode cluster upgrade begin",
    "rolling_upgrade": "say mmnode cluster upgrade end when all have the new version",
    "db_master_lost": "see that it reaches the database, or fail over",
    "degraded_reads": "bring a master back: nothing can be written",
    "outbox_stale": "see why its database answers slowly",
    "bus_isolated": "open the three inter-node ports between it and the others",
    "clock_skew": "set its clock (NTP)",
    "worker_crashing": "read its log: a process of it ends at each start",
    "relay_down": "read its log",
    "replica_lag": "see mmnode db status: a replica is gone or late",
    "replicas_not_distinct": "name another server in SqlSettings.DataSourceReplicas",
    "db_host_lost": "bring that database server back: the connection string counts on it",
    "replication_not_synchronous": "bring a replica back that confirms what is written",
    "schema_newer": "upgrade this node: others have brought the schema to a later version",
    "files_error": "make FileSettings.Directory writable",
    "untrusted_proxy": "name it in ServiceSettings.TrustedProxies, if it is yours",
    "removed": "stop it: it is no member any more",
    "waits_for": "see what it waits for",
    "suspect": "wait: it is asked again",
}


_State = tuple[str, tuple[str, ...]]
"""Colour and reasons."""


@dataclass(frozen=True)
class Line:
    """For the log. level: of `logging`."""

    level: int
    fields: Mapping[str, str]


class News:
    """`look` whenever the states may have changed."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[_State, float]] = {}
        """What each node is, and since when."""
        self._told: dict[str, tuple[_State, bool]] = {}
        """What was told of each, and whether as something that takes long."""

    def look(self, members: Sequence[Mapping[str, Any]], now: float) -> list[Line]:
        """members: of `colours.status`."""
        lines = []
        for one in members:
            node_id, state = str(one["id"]), (str(one["state"]), tuple(one["reasons"]))
            if self._seen.get(node_id, (None, 0.0))[0] != state:
                self._seen[node_id] = (state, now)
            since = self._seen[node_id][1]
            long = JOINING in state[1] and now - since >= LONG_S
            told = self._told.get(node_id)
            if now - since < SETTLED_S or told == (state, long):
                continue
            self._told[node_id] = (state, long)
            if told is not None or state != ("green", ()):
                lines.append(_line(one, told[0][0] if told is not None else "new", *state, long=long))
        for gone in self._seen.keys() - {str(one["id"]) for one in members}:
            del self._seen[gone]
            self._told.pop(gone, None)
        return lines


def _line(member: Mapping[str, Any], before: str, state: str, reasons: tuple[str, ...], *, long: bool) -> Line:
    grave = [one for one in reasons if one not in LIFE]
    if JOINING in reasons:
        level = logging.WARNING if long else logging.INFO
    else:
        level = logging.ERROR if state == "red" else logging.WARNING if grave else logging.INFO
    fields = {"node": str(member["id"]), "host": str(member["hostname"]), "before": before, "now": state}
    if reasons:
        fields["reasons"] = " ".join(reasons)
    if member["config_mismatch"]:
        fields["sections"] = " ".join(member["config_mismatch"])
    if grave:
        fields["do"] = "; ".join(dict.fromkeys(DO.get(word(one), _ELSE) for one in grave))
    return Line(level, fields)


def word(reason: str) -> str:
    """A reason without what it says in brackets."""
    return reason.partition(" ")[0]
