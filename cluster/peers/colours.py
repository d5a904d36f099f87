"""The state of every member as operators see it: green, yellow or red, with the reasons. Pure functions.

Every node computes it from the same beats, so every node answers the same. Colour is for people: liveness decides what
the software does (`membership.py`).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster.peers.bodies import Beat
from cluster.peers.membership import Liveness

RED = frozenset(
    {
        "config_mismatch",
        "version_mismatch",
        "down",
        "db_master_lost",
        "bus_isolated",
        "outbox_stale",
        "clock_skew",
        "worker_crashing",
        "relay_down",
    }
)
"""All other reasons are yellow."""
_AWAY = (Liveness.DOWN, Liveness.LEFT, Liveness.REMOVED)
_TELLING = (Liveness.JOINING, Liveness.DRAINING, Liveness.LEFT, Liveness.REMOVED)
"""States that are their own reason."""
PATIENT_S = 15.0
SKEW_SHOWN_MS, SKEW_RED_MS = 500, 2000


@dataclass(frozen=True)
class Seen:
    """A member as this node sees it. silent_s: for how long nobody heard it. skew_ms: its clock against ours."""

    node_id: str
    liveness: Liveness
    beat: Beat | None
    silent_s: float = 0.0
    skew_ms: int = 0


def colour_of(reasons: Collection[str]) -> str:
    """Of a node for which these hold."""
    return "red" if RED.intersection(reasons) else "yellow" if reasons else "green"


def mismatches(values: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Which keys of whom differ from what most have. With no majority nobody knows who is right: all of them differ."""
    found: dict[str, list[str]] = {one: [] for one in values}
    for key in sorted({key for one in values.values() for key in one}):
        counts = Counter(one.get(key, "") for one in values.values())
        if len(counts) == 1:
            continue
        (most, number), (_, second) = counts.most_common(2)
        for node_id, one in values.items():
            if number == second or one.get(key, "") != most:
                found[node_id].append(key)
    return found


def judge(members: Sequence[Seen], *, patient: bool, upgrading: bool) -> dict[str, tuple[str, list[str], list[str]]]:
    """(colour, reasons, sections of the configuration that differ) of each member."""
    members = [_as_shown(one, patient=patient) for one in members]
    live = {one.node_id: one.beat for one in members if one.beat is not None and one.liveness not in _AWAY}
    sections = _sections(live)
    versions = mismatches({node_id: {"version": beat.version} for node_id, beat in live.items()})
    judged = {}
    for one in members:
        reasons = list(one.beat.reasons) if one.beat is not None and one.liveness not in _AWAY else []
        if one.liveness is Liveness.DOWN or (patient and one.liveness is Liveness.SUSPECT):
            reasons.append(one.liveness.value)
        if sections.get(one.node_id):
            reasons.append("config_mismatch")
        if versions.get(one.node_id):
            reasons.append("rolling_upgrade" if upgrading else "version_mismatch")
        if abs(one.skew_ms) >= SKEW_RED_MS:
            reasons.append("clock_skew")
        if one.liveness in _TELLING:
            reasons.append(one.liveness.value)
        judged[one.node_id] = (colour_of(reasons), sorted(set(reasons)), sections.get(one.node_id, []))
    return judged


def _sections(live: Mapping[str, Beat]) -> dict[str, list[str]]:
    """Whose configuration differs, and where. While the secret is replaced only the hash of the whole can be compared:

    digests of sections are made under the secret that each node holds as its current one.
    """
    whole = mismatches({node_id: {"": beat.config_hash} for node_id, beat in live.items()})
    sections = mismatches({node_id: beat.sections for node_id, beat in live.items()})
    return {node_id: sections[node_id] for node_id, differs in whole.items() if differs}


def _as_shown(member: Seen, *, patient: bool) -> Seen:
    """By the patient policy a silent node is suspected, and asked again, until it was silent for 15 s."""
    early = patient and member.liveness is Liveness.DOWN and member.silent_s < PATIENT_S
    return replace(member, liveness=Liveness.SUSPECT) if early else member


def status(members: Sequence[Seen], *, patient: bool, upgrading: bool) -> list[dict[str, Any]]:
    """Mattermost's array of the cluster's status, with our keys beside its own.

    ipaddress: `host:port` of nodes that share a host, which its console could not tell apart.
    """
    judged = judge(members, patient=patient, upgrading=upgrading)
    answer = []
    shown = [_as_shown(one, patient=patient) for one in members]
    hosts = Counter(one.beat.address for one in members if one.beat is not None)
    for one in sorted(shown, key=lambda seen: seen.node_id):
        colour, reasons, sections = judged[one.node_id]
        beat = one.beat or Beat(state="down")
        answer.append(
            {
                "id": one.node_id,
                "version": beat.version,
                "schema_version": str(beat.schema) if one.beat else "",
                "config_hash": beat.config_hash,
                "ipaddress": beat.url.removeprefix("http://") if hosts[beat.address] > 1 else beat.address,
                "internode_url": beat.url,
                "hostname": beat.hostname,
                "state": colour,
                "reasons": reasons,
                "config_mismatch": sections,
                "liveness": one.liveness.value,
                "is_alive": one.liveness not in _AWAY,
                "last_seen_ms": round(one.silent_s * 1000),
                "clock_skew_ms": one.skew_ms if abs(one.skew_ms) >= SKEW_SHOWN_MS else 0,
                "links": dict(beat.heard_ms),
            }
        )
    return answer
