"""Green, yellow, red: the same from every node, with reasons."""

from cluster.peers.bodies import Beat
from cluster.peers.colours import Seen, judge, mismatches, status
from cluster.peers.membership import Liveness


def _beat(**about: object) -> Beat:
    return Beat(state="up", version="1", **about)  # type: ignore[arg-type]


def _seen(node_id: str, beat: Beat | None = None, liveness: Liveness = Liveness.UP, silent_s: float = 0.0) -> Seen:
    return Seen(node_id, liveness, beat or _beat(), silent_s)


def _judged(*members: Seen, patient: bool = False, upgrading: bool = False) -> dict[str, tuple[str, list[str]]]:
    found = judge(members, patient=patient, upgrading=upgrading)
    return {node_id: (colour, reasons) for node_id, (colour, reasons, _) in found.items()}


def test_all_is_well() -> None:
    assert _judged(_seen("a"), _seen("b")) == {"a": ("green", []), "b": ("green", [])}


def test_who_differs_from_most_is_named_with_the_section() -> None:
    same, other = {"TeamSettings": "1", "SqlSettings": "1"}, {"TeamSettings": "2", "SqlSettings": "1"}
    found = judge(
        [
            _seen("a", _beat(sections=same, config_hash="1")),
            _seen("b", _beat(sections=other, config_hash="2")),
            _seen("c", _beat(sections=same, config_hash="1")),
        ],
        patient=False,
        upgrading=False,
    )
    assert found == {
        "a": ("green", [], []),
        "b": ("red", ["config_mismatch"], ["TeamSettings"]),
        "c": ("green", [], []),
    }


def test_while_the_secret_is_replaced_digests_differ_and_nobody_is_red() -> None:
    one, other = _beat(sections={"x": "1"}, config_hash="h"), _beat(sections={"x": "2"}, config_hash="h")
    assert _judged(_seen("a", one), _seen("b", other)) == {"a": ("green", []), "b": ("green", [])}


def test_of_two_that_differ_nobody_knows_who_is_right() -> None:
    assert mismatches({"a": {"x": "1"}, "b": {"x": "2"}}) == {"a": ["x"], "b": ["x"]}
    assert mismatches({"a": {"x": "1"}, "b": {}}) == {"a": ["x"], "b": ["x"]}


def test_another_version_is_red_unless_an_upgrade_was_declared() -> None:
    members = [_seen("a"), _seen("b"), _seen("c", Beat(state="up", version="2"))]
    assert _judged(*members)["c"] == ("red", ["version_mismatch"])
    assert _judged(*members, upgrading=True)["c"] == ("yellow", ["rolling_upgrade"])


def test_a_dead_node_is_red_at_once_or_after_15_s_by_the_patient_policy() -> None:
    dead = _seen("b", liveness=Liveness.DOWN, silent_s=4)
    assert _judged(_seen("a"), dead)["b"] == ("red", ["down"])
    assert _judged(_seen("a"), dead, patient=True)["b"] == ("yellow", ["suspect"])
    early, late = (
        status([_seen("b", liveness=Liveness.DOWN, silent_s=silent_s)], patient=True, upgrading=False)[0]
        for silent_s in (14, 16)
    )
    assert (early["state"], early["liveness"], early["is_alive"]) == ("yellow", "suspect", True)
    assert (late["state"], late["liveness"], late["is_alive"]) == ("red", "down", False)
    assert _judged(_seen("a"), _seen("b", liveness=Liveness.DOWN, silent_s=16), patient=True)["b"][0] == "red"


def test_a_dead_node_does_not_take_part_in_the_comparison() -> None:
    gone = _seen("b", _beat(sections={"x": "2"}), Liveness.DOWN, 4)
    assert _judged(_seen("a", _beat(sections={"x": "1"})), gone)["a"] == ("green", [])


def test_a_removed_node_that_still_runs_is_compared_with_nobody() -> None:
    gone = _seen("b", _beat(sections={"x": "2"}), Liveness.REMOVED)
    found = _judged(_seen("a", _beat(sections={"x": "1"})), gone)
    assert found == {"a": ("green", []), "b": ("yellow", ["removed"])}


def test_what_a_node_says_of_itself_and_its_clock() -> None:
    assert _judged(_seen("a", _beat(reasons=["replica_lag"])))["a"] == ("yellow", ["replica_lag"])
    assert _judged(_seen("a", _beat(reasons=["db_master_lost"])))["a"] == ("red", ["db_master_lost"])
    assert _judged(Seen("a", Liveness.UP, _beat(), skew_ms=-2100))["a"] == ("red", ["clock_skew"])


def test_nodes_of_one_host_are_told_apart_by_their_ports() -> None:
    """The console shows the address and the host's name, and nothing else by which to tell them apart."""
    places = {"a": ("10.0.0.1", 8075), "b": ("10.0.0.1", 8085), "c": ("10.0.0.2", 8075)}
    answer = status(
        [_seen(one, _beat(address=host, url=f"http://{host}:{port}")) for one, (host, port) in places.items()],
        patient=False,
        upgrading=False,
    )
    assert [one["ipaddress"] for one in answer] == ["10.0.0.1:8075", "10.0.0.1:8085", "10.0.0.2"]


def test_the_status_has_mattermosts_keys_and_lists_the_dead() -> None:
    answer = status(
        [_seen("b", liveness=Liveness.DOWN, silent_s=9.0), _seen("a", _beat(schema=3, config_hash="h"))],
        patient=False,
        upgrading=False,
    )
    assert [one["id"] for one in answer] == ["a", "b"]
    assert {"id", "version", "schema_version", "config_hash", "ipaddress", "internode_url", "hostname"} <= set(
        answer[0]
    )
    assert (answer[0]["is_alive"], answer[0]["schema_version"], answer[0]["config_hash"]) == (True, "3", "h")
    assert (answer[1]["is_alive"], answer[1]["state"], answer[1]["last_seen_ms"]) == (False, "red", 9000)
