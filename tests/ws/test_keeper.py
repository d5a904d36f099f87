"""What is kept for workers that have stopped: packed, kept within bounds, given to whom it belongs."""

import msgspec
import pytest

from app.events.messages import Audience, Claim, Event, Frame, Given, Parcels, bundle, encode, unbundle
from ws.keeper import KEPT_S, LOG_EVENTS, MAX_BYTES, Keeper
from ws.parcels import DEAD_BYTES, PART_BYTES, Snapshot, pack

LEAVER = "aaaaaa00"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(clock: Clock) -> Keeper:
    keeper = Keeper(clock)
    keeper.listen(LEAVER)
    return keeper


def _frame(text: str, room: str = "") -> Frame:
    return Frame(text.encode(), False, room)


def _snapshot(number: int = 0, *, seq: int = 5, since: float = 1000.0, user: str = "ann") -> Snapshot:
    dead = [None, *(_frame(f"{one}") for one in range(seq - 3, seq))]
    return Snapshot(f"id{number}", user, f"of {user}", seq, dead, [_frame("queued")], [("c", 7), ("d", 9)], since)


def _parcels(*snapshots: Snapshot, now: float = 1000.0) -> Parcels:
    """As they come over the bus."""
    (part,) = pack(snapshots, now)
    sent = Parcels("1", LEAVER, tuple(part.frames), tuple(part.heads), tuple(part.parcels))
    (parcels,) = unbundle(bundle([encode(sent)]))
    assert isinstance(parcels, Parcels)
    return parcels


def _claim(seq: int, number: int = 0, user: str = "ann", session: str = "of ann") -> Claim:
    return Claim("claim", "bbbbbb00", f"id{number}", user, session, seq)


def _bodies(given: Given | None) -> list[str]:
    assert given is not None
    return [frame.body.decode() for frame in given.frames]


@pytest.mark.parametrize(("seq", "lacks"), [(5, []), (4, ["4"]), (2, ["2", "3", "4"])])
def test_a_client_gets_what_it_lacks(keeper: Keeper, seq: int, lacks: list[str]) -> None:
    assert keeper.take(_parcels(_snapshot()), 10)
    given = keeper.give(_claim(seq))
    assert _bodies(given) == [*lacks, "queued"]
    assert given is not None
    assert given.positions == {"c": 7, "d": 9}
    assert keeper.give(_claim(seq)) is None, "twice"
    assert len(keeper) == 0


@pytest.mark.parametrize("seq", [-1, 0, 1, 6, 10**17])
def test_a_number_that_is_not_known_makes_a_new_connection(keeper: Keeper, seq: int) -> None:
    keeper.take(_parcels(_snapshot()), 10)
    assert keeper.give(_claim(seq)) is None
    assert len(keeper) == 0


@pytest.mark.parametrize(("user", "session"), [("bob", "of ann"), ("ann", "another"), ("bob", "of bob")])
def test_nobody_gets_or_ends_what_is_not_theirs(keeper: Keeper, user: str, session: str) -> None:
    keeper.take(_parcels(_snapshot()), 10)
    assert keeper.give(_claim(5, user=user, session=session)) is None
    assert keeper.give(_claim(5)) is not None


def test_what_has_no_number_is_told_as_well_and_once(keeper: Keeper) -> None:
    both = Event("e", Audience(), 0, b"queued")
    other = Keeper(Clock())
    other.leave()
    other.note(both)
    keeper.note(both)
    keeper.note(Event("e", Audience(), 0, b"before it came"))
    keeper.take(msgspec.structs.replace(_parcels(_snapshot()), told=other.told()), 10)
    keeper.note(Event("e", Audience(), 0, b"to all", sensitive=b"to administrators"))
    keeper.note(Event("e", Audience(user_id="ann"), 0, b"to ann"))
    keeper.note(Event("e", Audience(team_id="t"), 0, b"to a team"))
    keeper.note(Event("e", Audience(user_id="bob"), 0, b"to bob"))
    keeper.note(Event("e", Audience(omit_users=("ann",)), 0, b"not to ann"))
    keeper.note(Event("e", Audience(omit_connection_id="id0"), 0, b"not to this one"))
    keeper.note(Event("e", Audience(connection_id="id7"), 0, b"to another one"))
    keeper.note(Event("posted", Audience(channel_id="c"), 8, b"the database tells that"))
    keeper.note(Event("typing", Audience(channel_id="c"), 0, b"that is not owed"))
    given = keeper.give(_claim(5))
    assert _bodies(given) == ["queued", "before it came", "to administrators", "to ann", "to a team"]
    assert given is not None
    assert given.frames[2].plain == b"to all"
    assert [frame.room for frame in given.frames] == ["", "", "", "", "t"]


def test_who_would_miss_something_gets_a_new_connection(keeper: Keeper) -> None:
    keeper.take(_parcels(_snapshot(0), _snapshot(1)), 10)
    for number in range(LOG_EVENTS):
        keeper.note(Event("e", Audience(), 0, b"event %d" % number))
    assert len(_bodies(keeper.give(_claim(5)))) == LOG_EVENTS + 1
    keeper.note(Event("e", Audience(), 0, b"one more"))
    assert keeper.give(_claim(5, 1)) is None


def test_a_session_that_ends_takes_its_connections_with_it(keeper: Keeper) -> None:
    keeper.take(_parcels(_snapshot(0), _snapshot(1), _snapshot(2, user="bob")), 10)
    keeper.end_session("of ann")
    assert list(keeper) == ["id2"]
    keeper.end_session("of nobody")
    keeper.end_all()
    assert len(keeper) == 0


def test_what_is_kept_is_forgotten_in_time(keeper: Keeper, clock: Clock) -> None:
    keeper.take(_parcels(_snapshot(0, since=900.0), _snapshot(1)), 10)
    clock.now += KEPT_S - 50
    keeper.sweep()
    assert list(keeper) == ["id1"]
    clock.now += 51
    keeper.sweep()
    assert len(keeper) == 0
    assert not keeper.take(_parcels(_snapshot()), 10), "what was said since it asked is forgotten"


def test_nobody_keeps_what_was_not_announced() -> None:
    assert not Keeper(Clock()).take(_parcels(_snapshot()), 10)


@pytest.mark.parametrize("wrong", ["dead", "queue", "heads", "seq"])
def test_what_points_at_nothing_is_refused(keeper: Keeper, wrong: str) -> None:
    parcels = _parcels(_snapshot())
    parcel = parcels.parcels[0]
    values = {name: getattr(parcel, name) for name in parcel.__struct_fields__}
    values[wrong] = 1 if wrong == "seq" else (-2,)
    broken = type(parcel)(**values)
    assert not keeper.take(Parcels("1", LEAVER, parcels.frames, parcels.heads, (broken,)), 10)
    assert len(keeper) == 0


def test_the_copy_that_was_taken_later_counts(keeper: Keeper) -> None:
    keeper.take(_parcels(_snapshot(seq=50, since=999.0)), 10)
    keeper.take(_parcels(_snapshot(seq=40, since=998.0)), 10)
    assert keeper.give(_claim(50)) is not None
    keeper.take(_parcels(_snapshot(seq=40, since=998.0)), 10)
    keeper.take(_parcels(_snapshot(seq=50, since=999.0)), 10)
    assert keeper.give(_claim(50)) is not None


def test_a_user_and_all_users_have_so_many_and_the_oldest_go(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ws.keeper.MAX_KEPT", 50)
    keeper.take(_parcels(*map(_snapshot, range(5))), 3)
    assert list(keeper) == ["id2", "id3", "id4"]
    for number in range(50):
        keeper.take(_parcels(_snapshot(100 + number, user=f"{number}")), 3)
    assert len(keeper) == 50
    assert "id4" not in keeper


def test_memory_is_bounded(keeper: Keeper) -> None:
    for number in range(40):
        snapshot = _snapshot(number, user=f"{number}")
        snapshot.queue = [_frame("x" * (MAX_BYTES // 16))]
        keeper.take(_parcels(snapshot), 3)
    assert len(keeper) == 15
    for connection_id in keeper:
        keeper.discard(connection_id)
    assert keeper._bytes == 0


def test_what_connections_share_crosses_the_bus_once() -> None:
    shared = [_frame("x" * 500) for _ in range(100)]
    snapshots = [
        Snapshot(f"id{one}", "u", "s", 100, shared, [], [(f"c{channel}", 1) for channel in range(100)], 0.0)
        for one in range(100)
    ]
    (part,) = pack(snapshots, 0.0)
    assert (len(part.frames), len(part.heads)) == (100, 100)
    assert len(encode(Parcels("1", LEAVER, tuple(part.frames), tuple(part.heads), tuple(part.parcels)))) < PART_BYTES


def test_messages_stay_small_and_nothing_is_left_out_but_what_was_written_long_ago() -> None:
    snapshots = [
        Snapshot(f"id{one}", "u", "s", 100, [_frame("x" * 1000) for _ in range(100)], [], [], 0.0) for one in range(50)
    ]
    parts = list(pack(snapshots, 0.0))
    assert [one.connection_id for part in parts for one in part.parcels] == [f"id{one}" for one in range(50)]
    for part in parts:
        sent = Parcels("1", LEAVER, tuple(part.frames), tuple(part.heads), tuple(part.parcels))
        assert len(encode(sent)) < PART_BYTES + 2 * DEAD_BYTES
        assert {len(one.dead) for one in part.parcels} == {DEAD_BYTES // 1040}
