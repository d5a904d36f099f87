"""The protocol between nodes, simulated: nothing is lost unseen, doubled or out of order; who is answered is known."""

import functools
import random

import pytest

from cluster.bus.envelope import Class, Envelope, Kind
from cluster.peers.membership import Liveness
from cluster.peers.mesh import Mesh
from cluster.peers.outputs import Moved, Refused, Through
from tests.cluster.simnet import Recorder, SimNet
from tests.rig.scale import for_each_seed, scale

NODES = ["a", "b", "c"]


def _in_order(net: SimNet) -> None:
    for node in net.nodes.values():
        for stream, numbers in node.seen.items():
            assert numbers == sorted(set(numbers)), (node.mesh.node_id, stream)


def _whole(net: SimNet) -> None:
    """Every live node has come to the end of every live stream."""
    for node in net.nodes.values():
        for peer_id, peer in node.mesh.peers.items():
            other = net.nodes.get(peer_id)
            if other is not None:
                assert peer.intake.synced
                assert (peer.intake.incarnation, peer.intake.last) == (other.mesh.incarnation, other.mesh.tail)


def _states(net: SimNet, node_id: str) -> dict[str, Liveness]:
    members = net.nodes[node_id].mesh.members
    return {one: members.liveness(one) for one in members.node_ids()}


def test_three_nodes_meet_and_every_message_reaches_both_others() -> None:
    net = SimNet(random.Random(1), NODES)
    net.run_until(1002)
    assert all(node.mesh.joined for node in net.nodes.values())
    assert [net.publish("a") for _ in range(5)] == [1, 2, 3, 4, 5]
    net.run_until(1003)
    assert [net.nodes[one].seen["a", 1] for one in "bc"] == [[1, 2, 3, 4, 5]] * 2


def test_a_node_serves_when_a_poll_was_sent_after_it_had_met_the_others() -> None:
    mesh = Mesh("a", "cluster", 1, 0.0)
    mesh.set_members(["a", "b"], 0.0)
    mesh.tick(1.0)
    assert not mesh.may_serve(1.0)
    _met(mesh, "b", now=1.5)
    assert mesh.joined
    assert [(mesh.may_serve(polled_at), mesh.state) for polled_at in (1.4, 1.5)] == [(False, "joining"), (True, "up")]


def test_a_node_alone_joins_when_nobody_answers_for_3_s() -> None:
    net = SimNet(random.Random(1), NODES)
    net.stop("b")
    net.stop("c")
    joined = []
    for when in (1002.5, 1003.5):
        net.run_until(when)
        joined.append(net.nodes["a"].mesh.joined)
    assert joined == [False, True]
    assert _states(net, "a") == {"b": Liveness.DOWN, "c": Liveness.DOWN}


@pytest.mark.parametrize("peers", [[], ["b"], ["b", "c"]])
def test_the_barrier_waits_for_those_that_live(peers: list[str]) -> None:
    net = SimNet(random.Random(1), NODES)
    net.run_until(1002)
    through: list[Through] = []
    net.on_through = lambda _, one: through.append(one)
    for gone in {"b", "c"} - set(peers):
        net.stop(gone)
    net.run_until(1006)
    net.publish("a", ticket=7)
    assert bool(through) == (not peers)
    net.run_until(1006.1)
    assert through == [Through("w", 7)]


def test_a_node_that_is_killed_is_down_within_3_5_s_and_up_again_when_it_returns() -> None:
    net = SimNet(random.Random(1), NODES)
    net.run_until(1002)
    net.stop("c")
    net.run_until(1005.5)
    assert _states(net, "a") == {"b": Liveness.UP, "c": Liveness.DOWN}
    net.start("c")
    net.run_until(1007)
    assert _states(net, "a") == {"b": Liveness.UP, "c": Liveness.UP}


def test_a_cut_between_two_nodes_makes_neither_down_while_a_third_hears_both() -> None:
    net = SimNet(random.Random(1), NODES)
    net.run_until(1002)
    net.cut("a", "b")
    net.cut("b", "a")
    net.publish("a")
    net.run_until(1032)
    assert _states(net, "a") == {"b": Liveness.UP, "c": Liveness.UP}
    net.heal()
    net.run_until(1034)
    assert net.nodes["b"].seen["a", 1] == [1]
    assert net.nodes["b"].lost == []


def test_what_was_cut_off_for_longer_than_the_ring_keeps_is_told_of_as_lost() -> None:
    net = SimNet(random.Random(1), NODES)
    net.run_until(1002)
    net.cut("a", "b")
    net.publish("a")
    net.run_until(1002 + 70)
    net.publish("a")
    net.heal()
    net.run_until(1002 + 73)
    assert net.nodes["b"].seen["a", 1] == [2]
    assert [lost.peer for lost in net.nodes["b"].lost] == ["a"]


def test_a_frozen_node_blames_nobody() -> None:
    net = SimNet(random.Random(1), NODES)
    net.run_until(1002)
    net.freeze("a", 10)
    net.run_until(1014)
    assert [moved for _, moved in net.nodes["a"].moved if moved.change.after is Liveness.DOWN] == []
    assert _states(net, "b")["a"] is Liveness.UP


def test_nobody_speaks_for_another() -> None:
    mesh = Mesh("a", "cluster", 1, 0.0)
    mesh.set_members(NODES, 0.0)
    mesh.out.clear()
    mesh.heard("b", Envelope("cluster", "c", 1, 1, Kind.MESSAGE, Class.RELIABLE), b"", 0.0)
    mesh.told("b", Envelope("other", "b", 1, 1, Kind.MESSAGE, Class.RELIABLE), b"", 0.0)
    mesh.heard("x", Envelope("cluster", "x", 1, 1, Kind.MESSAGE, Class.RELIABLE), b"", 0.0)
    assert [type(one) for one in mesh.out] == [Refused, Refused]


def test_an_earlier_life_of_a_node_is_not_listened_to() -> None:
    net = SimNet(random.Random(1), NODES)
    net.run_until(1002)
    net.stop("b")
    net.run_until(1003)
    net.start("b")
    net.run_until(1005)
    mesh = net.nodes["a"].mesh
    mesh.heard("b", Envelope("cluster", "b", 1, 99, Kind.CHANGED, Class.RELIABLE), b"", net.now)
    assert not mesh.out
    assert mesh.peers["b"].intake.incarnation == 2


def test_a_welcome_to_an_earlier_life_of_ours_is_not_to_us() -> None:
    """The peer does not wait for our acknowledgements yet: it knows only the one that is dead."""
    mesh = Mesh("a", "cluster", 2, 0.0)
    mesh.set_members(["a", "b"], 0.0)
    mesh.told("b", Envelope("cluster", "b", 1, 0, Kind.HELLO, Class.CONTROL), b"", 1.0)
    _welcome(mesh, "b", 1, to=1, now=1.0)
    assert not mesh.joined
    _welcome(mesh, "b", 1, to=2, now=1.1)
    assert mesh.joined


def _storm(chance: random.Random, *, restarts: bool) -> None:
    net = SimNet(chance, NODES, drop=chance.choice([0.0, 0.02, 0.1]))
    waits: dict[tuple[str, int], tuple[int, int]] = {}

    def through(node: Recorder, one: Through) -> None:
        """Whoever serves, and was not cut off of late, has it."""
        me = node.mesh
        for (who, ticket), (incarnation, seq) in list(waits.items()):
            if who != me.node_id or ticket > one.ticket or incarnation != me.incarnation:
                continue
            del waits[who, ticket]
            for other in net.nodes.values():
                pair = (me.node_id, other.mesh.node_id)
                touched = any(p in net.cuts or net.now - net.healed_at.get(p, -99) < 5 for p in (pair, pair[::-1]))
                if other is node or touched or not other.mesh.joined or other.frozen_until + 5 > net.now:
                    continue
                intake = other.mesh.peers[me.node_id].intake
                if intake.incarnation == me.incarnation and intake.synced:  # it did not take us for dead when it joined
                    assert intake.last >= seq, (pair, seq)

    net.on_through = through
    ticket = 0
    while net.now < 1040:
        net.run_until(net.now + chance.expovariate(20))
        what = chance.random()
        node_id = chance.choice(NODES)
        if what < 0.9:
            ticket += 1
            seq = net.publish(node_id, ticket)
            if seq is not None:
                waits[node_id, ticket] = (net.nodes[node_id].mesh.incarnation, seq)
        elif what < 0.92:
            net.cut(*chance.sample(NODES, 2))
        elif what < 0.94:
            net.heal()
        elif what < 0.95:
            net.freeze(node_id, chance.random() * 6)
        elif restarts and what < 0.96:
            net.stop(node_id)
            net.after(chance.random() * 5, functools.partial(net.restart, node_id))
    net.heal()
    net.run_until(net.now + 15)
    for node_id in NODES:
        if node_id not in net.nodes:
            net.start(node_id)
    net.drop = 0.0
    net.run_until(net.now + 15)
    _in_order(net)
    _whole(net)
    for node in net.nodes.values():
        assert set(_states(net, node.mesh.node_id).values()) == {Liveness.UP}
        if restarts:
            continue
        assert node.lost == []
        for peer_id in node.mesh.peers:
            numbers = node.seen.get((peer_id, 1), [])
            assert numbers == list(range(numbers[0] if numbers else 1, net.nodes[peer_id].mesh.tail + 1))


def test_no_message_is_lost_doubled_or_out_of_order_in_a_storm() -> None:
    for_each_seed(scale(25, 3000), lambda chance: _storm(chance, restarts=False))


def test_streams_are_whole_again_after_restarts() -> None:
    for_each_seed(scale(25, 3000), lambda chance: _storm(chance, restarts=True))


def _met(mesh: Mesh, peer: str, incarnation: int = 1, now: float = 0.0) -> None:
    """The peer and this node have greeted each other."""
    mesh.told(peer, Envelope("cluster", peer, incarnation, 0, Kind.HELLO, Class.CONTROL), b"", now)
    _welcome(mesh, peer, incarnation, mesh.incarnation, now)


def _welcome(mesh: Mesh, peer: str, incarnation: int, to: int, now: float) -> None:
    """The peer's answer to a greeting of this node's life `to`."""
    welcome = Envelope("cluster", peer, incarnation, 0, Kind.WELCOME, Class.CONTROL, request_id=str(to))
    mesh.told(peer, welcome, b"", now)


def _waits(mesh: Mesh) -> bool:
    seq = mesh.publish(Kind.CHANGED, Class.RELIABLE, b"", 0.0)
    mesh.wait_for_all(seq, "w", 1, 0.0)
    return not any(isinstance(one, Through) for one in mesh.out)


def _ack(mesh: Mesh, seq: int, of_incarnation: int, now: float) -> bool:
    """Whether this acknowledgement lets the waiting one through."""
    mesh.out.clear()
    envelope = Envelope("cluster", "b", 1, seq, Kind.ACK, Class.CONTROL, request_id=str(of_incarnation))
    mesh.told("b", envelope, b"", now)
    return any(isinstance(one, Through) for one in mesh.out)


def test_an_acknowledgement_of_our_earlier_life_counts_for_nothing() -> None:
    mesh = Mesh("a", "cluster", 2, 0.0)
    mesh.set_members(["a", "b"], 0.0)
    _met(mesh, "b")
    assert _waits(mesh)
    assert not _ack(mesh, 500, 1, 0.1)
    assert _ack(mesh, 1, 2, 0.1)


def test_who_slept_does_not_take_the_others_for_dead_before_it_has_read_what_they_said() -> None:
    mesh = Mesh("a", "cluster", 1, 0.0)
    mesh.set_members(["a", "b", "c"], 0.0)
    _met(mesh, "b")
    _met(mesh, "c")
    assert _waits(mesh)
    mesh.out.clear()
    envelope = Envelope("cluster", "c", 1, 1, Kind.ACK, Class.CONTROL, request_id="1")
    mesh.told("c", envelope, b"", 10.0)  # the first thing it reads after ten seconds
    assert not any(isinstance(one, (Through, Moved)) for one in mesh.out)
    assert _ack(mesh, 1, 1, 10.0)
