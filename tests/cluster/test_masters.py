"""Whose master is lost, and who has one, by what the beats say."""

from cluster.peers import masters
from cluster.peers.bodies import Beat
from cluster.peers.membership import SUSPECT_S
from cluster.peers.mesh import Mesh

NOW = 1000.0


def _mesh(**beats: Beat) -> Mesh:
    """Whose peers have said this a quarter of a second ago."""
    mesh = Mesh("a", "c", 1, NOW - 10, Beat(state="up", term=(1, 1)))
    mesh.set_members(beats, NOW - 10)
    for node_id, beat in beats.items():
        mesh.peers[node_id].beat, mesh.peers[node_id].beat_at = beat, NOW - 0.25
        mesh.members.heard(node_id, "up", {}, NOW - 0.25)
    mesh.members.tick(NOW)
    return mesh


def _says(ms: int = 100, number: int = 1, *, has_master: bool = True) -> Beat:
    return Beat(state="up", term=(number, 1), has_master=has_master, master_ms=ms)


def test_a_master_that_a_peer_heard_clearly_later_than_we_ours_is_elsewhere() -> None:
    mesh = _mesh(b=_says(100), c=_says(5000, has_master=False))
    answered = NOW - 0.35
    assert masters.is_elsewhere(mesh, answered - masters.SILENT_S - 0.01, NOW)
    assert not masters.is_elsewhere(mesh, answered - masters.SILENT_S + 0.01, NOW)


def test_when_all_lose_theirs_at_once_it_is_nowhere_else_though_all_still_say_that_they_have_it() -> None:
    lost_at = NOW - 1.0
    mesh = _mesh(b=_says(750), c=_says(600))
    assert mesh.peers["b"].beat is not None
    assert mesh.peers["b"].beat.has_master
    assert not masters.is_elsewhere(mesh, lost_at - 0.25, NOW)


def test_a_word_of_long_ago_is_none() -> None:
    mesh = _mesh(b=_says(0))
    assert masters.is_elsewhere(mesh, NOW - 5, NOW)
    assert not masters.is_elsewhere(mesh, NOW - 5, NOW + SUSPECT_S)
    assert not masters.is_elsewhere(_mesh(), NOW - 5, NOW)


def test_a_peer_that_follows_a_former_master_is_not_asked() -> None:
    assert masters.with_one(_mesh(b=_says(number=1), c=_says(number=2)), NOW) == ["c"]
    behind = _mesh(b=_says(number=1))
    behind.about.term = (2, 1)
    assert masters.with_one(behind, NOW) == []


def test_who_has_not_heard_its_master_is_told_how_far_channels_are() -> None:
    assert not masters.is_lost_by_a_peer(_mesh(b=_says(700)))
    assert masters.is_lost_by_a_peer(_mesh(b=_says(100), c=_says(800)))
