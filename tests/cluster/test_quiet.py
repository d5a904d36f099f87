"""Reads without a master: only while every member says that it has none either."""

from cluster.peers.bodies import Beat
from cluster.peers.membership import Liveness
from cluster.peers.mesh import Mesh
from cluster.peers.quiet import HEARD_S, STRANGER_S, WAKE_S, Quiet, Witness, witnesses

NEVER = float("-inf")


def _awake() -> Quiet:
    """One that has looked for long enough to know what its peers say now."""
    quiet = Quiet()
    for step in range(12):
        quiet.look(step / 4, lost=False, polled_at=0, peers=[], stranger_at=NEVER, most_s=600)
    return quiet


def _look(
    quiet: Quiet,
    now: float,
    *peers: Witness,
    lost: bool = True,
    stranger_at: float = NEVER,
    most_s: float = 600,
    polled_at: float = 0.0,
) -> float | None:
    return quiet.look(now, lost=lost, polled_at=polled_at, peers=peers, stranger_at=stranger_at, most_s=most_s)


def _says(has_master: bool, at: float, liveness: Liveness = Liveness.UP) -> Witness:
    return Witness(liveness, has_master, at)


def test_nobody_can_commit_once_every_member_says_so_and_as_of_the_oldest_word() -> None:
    assert _look(_awake(), 3.0, _says(False, 2.9), _says(False, 2.6)) == 2.6
    assert _look(_awake(), 3.0) == 3.0  # alone


def test_one_member_with_a_master_may_commit() -> None:
    assert _look(_awake(), 3.0, _says(False, 2.9), _says(True, 2.9)) is None
    assert _look(_awake(), 3.0, _says(False, 2.9), lost=False) is None


def test_who_is_not_heard_may_commit_also_who_said_good_bye() -> None:
    assert _look(_awake(), 3.0, _says(False, 3.0 - HEARD_S - 0.01)) is None
    assert _look(_awake(), 3.0, _says(False, 2.9, Liveness.DOWN)) is None
    assert _look(_awake(), 3.0, _says(False, 2.9, Liveness.LEFT)) is None


def test_who_ever_registered_is_a_witness_and_is_named_when_nobody_hears_it() -> None:
    mesh = Mesh("a", "c", 1, 0.0)
    mesh.set_members(["b"], 2.0)
    peer = mesh.peers["b"]
    peer.beat, peer.beat_at, peer.whole_at = Beat(state="up", has_master=False), 2.9, 1.0
    quiet = _awake()
    assert _look(quiet, 3.0, *witnesses(mesh, ["a", "b"])) is None  # what it told before, no poll has told
    assert _look(quiet, 3.0, *witnesses(mesh, ["a", "b"]), polled_at=1.5) == 2.9
    assert not quiet.doubted
    assert _look(quiet, 3.0, *witnesses(mesh, ["a", "b", "left"]), polled_at=1.5) is None
    assert list(quiet.doubted) == ["left"]
    assert _look(quiet, 3.0, *witnesses(mesh, ["a", "left"]), lost=False) is None
    assert not list(quiet.doubted)


def test_a_stranger_may_have_enrolled_where_the_database_is() -> None:
    quiet = _awake()
    assert _look(quiet, 3.0, stranger_at=2.0) is None
    for step in range(1, 40):
        _look(quiet, 3.0 + step / 4, stranger_at=2.0)
    assert _look(quiet, 2.0 + STRANGER_S + 1.0, stranger_at=2.0) is not None


def test_after_a_sleep_nobody_is_believed_for_a_while() -> None:
    quiet = _awake()
    assert _look(quiet, 3.0, _says(False, 3.0)) == 3.0
    woken = 13.0
    assert _look(quiet, woken, _says(False, woken)) is None  # what was sent before the sleep
    at = woken
    while at < woken + WAKE_S - 0.25:
        at += 0.25
        assert _look(quiet, at, _says(False, at)) is None
    assert _look(quiet, at + 0.5, _says(False, at + 0.5)) == at + 0.5


def test_it_ends_after_its_time_and_begins_anew_after_a_master() -> None:
    quiet, at = _awake(), 3.0
    while at < 3.0 + 5.0:
        assert _look(quiet, at, most_s=5.0) == at
        at += 0.25
    assert _look(quiet, at, most_s=5.0) is None
    assert _look(quiet, at + 0.25, lost=False) is None
    assert _look(quiet, at + 0.5, most_s=5.0) == at + 0.5
    assert _look(_awake(), 3.0, most_s=0) is None
