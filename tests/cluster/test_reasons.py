"""What a node says is not as it should be."""

from dataclasses import replace

import pytest

from cluster.peers.colours import RED
from cluster.relay.reasons import RECENT_S, REPAIRS, RESTARTED_S, Facts, Reasons


def test_all_is_well() -> None:
    assert Reasons().find(Facts(), 0.0) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Facts(master_lost=True, outbox_stale=True, replicas_out=True), ["db_master_lost"]),
        (Facts(master_lost=True, degraded=True), ["db_master_lost", "degraded_reads"]),
        (Facts(outbox_stale=True), ["outbox_stale"]),
        (Facts(replicas_out=True), ["replica_lag"]),
        (Facts(isolated=True), ["bus_isolated"]),
        (Facts(files_bad=True), ["files_error"]),
        (
            Facts(stranger="10.1.2.3"),
            ["untrusted_proxy (10.1.2.3 is not in ServiceSettings.TrustedProxies)"],
        ),
        (Facts(workers_missing=True), ["worker_restarting"]),
        (Facts(crashing=True), ["worker_crashing"]),
        (Facts(config_pending=True), ["config_pending"]),
    ],
)
def test_each_has_its_word(facts: Facts, words: list[str]) -> None:
    assert Reasons().find(facts, 0.0) == words


def test_a_crashing_worker_is_red_and_a_restarted_one_is_not() -> None:
    assert "worker_crashing" in RED
    assert not RED & {
        "worker_restarting",
        "slow_loop",
        "repair_rate",
        "hwm_drop",
        "replica_lag",
        "files_error",
        "config_pending",
    }


@pytest.mark.parametrize(
    ("name", "word", "least", "for_s"),
    [
        ("repairs", "repair_rate", REPAIRS, RECENT_S),
        ("drops", "hwm_drop", 1, RECENT_S),
        ("late_turns", "slow_loop", 1, RECENT_S),
        ("restarts", "worker_restarting", 1, RESTARTED_S),
    ],
)
def test_what_passes_is_told_of_for_a_while(name: str, word: str, least: int, for_s: float) -> None:
    reasons = Reasons()
    few, many = replace(Facts(), **{name: least - 1}), replace(Facts(), **{name: 2 * least})  # type: ignore[arg-type]
    assert reasons.find(few, 0.0) == []
    assert reasons.find(many, for_s) == [word]
    assert reasons.find(many, 2 * for_s - 0.1) == [word]
    assert reasons.find(many, 2 * for_s) == []


def test_repairs_that_are_spread_out_are_the_odd_ones() -> None:
    reasons = Reasons()
    for number in range(10 * REPAIRS):
        assert reasons.find(Facts(repairs=number), number * RECENT_S / (REPAIRS - 1) * 1.01) == []
