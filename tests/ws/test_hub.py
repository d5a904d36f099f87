"""Who hears what: audiences, memberships that change, sessions that end."""

import contextlib
import json
import random
import socket
from collections.abc import Iterator

import pytest

from app.events import messages as events
from app.events.messages import Audience, ChannelMembership, Event, SessionClosed, TeamMembership
from tests.rig.scale import for_each_seed, scale
from ws import hub as hub_module
from ws.close import Close
from ws.fanout import Copies, SharedFrame
from ws.heads import Cursors, Heads
from ws.hub import Hub
from ws.stream import Stream


class FakeClient:
    """Collects what it is sent."""

    def __init__(self, user_id: str, connection_id: str, session_id: str = "") -> None:
        self.user_id = user_id
        self.connection_id = connection_id
        self.session_id = session_id or f"session of {connection_id}"
        self.attached = True
        self.acknowledges = False
        self.administrator = False
        self.looking: str | None = None
        self.cursors: Cursors | None = None
        self.direct: socket.socket | None = None
        self.stream = Stream()
        self.unwritten = b""
        self.got: list[bytes] = []
        self.closed: Close | None = None

    def has_room(self) -> bool:
        return True

    def looks_at(self, channel_id: str) -> bool:
        return self.looking in (None, channel_id)

    def send(self, frame: SharedFrame) -> None:
        self.got.append(frame.body)

    def finish_write(self, rest: bytes) -> None:
        self.unwritten += rest

    def close(self, code: Close) -> None:
        self.closed = code

    def send_away(self) -> None:
        raise AssertionError("nobody is elsewhere")


def _hub() -> Hub:
    return Hub(Heads(), lambda: 0.0, lambda *_: None)


def _read(*channels: str) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(channels, (0, 0))


def _join(hub: Hub, user: str, name: str, channels: tuple[str, ...] = (), teams: tuple[str, ...] = ()) -> FakeClient:
    client = FakeClient(user, name)
    hub.watch_session(client)
    listener = hub.begin_loading(user)
    hub.join(listener, client)
    hub.end_loading(listener, (_read(*channels), teams), client)
    return client


def _send(hub: Hub, audience: Audience, name: str = "e") -> bytes:
    event = events.encoded(name, {}, audience)
    hub.handle(event)
    return event.frame


def test_a_channels_event_goes_to_all_sockets_of_its_members() -> None:
    hub = _hub()
    ann1, ann2, bob = _join(hub, "ann", "a1", ("c",)), _join(hub, "ann", "a2", ("c",)), _join(hub, "bob", "b", ("d",))
    frame = _send(hub, Audience(channel_id="c"))
    assert (ann1.got, ann2.got, bob.got) == ([frame], [frame], [])


def test_everybody_gets_one_of_the_two_copies() -> None:
    """Administrators the sensitive one, all others the other one; both are one event with one number."""
    hub = _hub()
    ann, bob = _join(hub, "ann", "a", ("c",)), _join(hub, "bob", "b", ("c",))
    bob.administrator = True
    event = Event("e", Audience(channel_id="c"), 1, b"{sanitised", b"{sensitive")
    for _ in range(2):
        hub.handle(event)
    assert (ann.got, bob.got) == ([b"{sanitised"], [b"{sensitive"])
    hub.handle(Event("e", Audience(channel_id="c"), 2, b"{same"))
    assert (ann.got[1:], bob.got[1:]) == ([b"{same"], [b"{same"])


def test_who_becomes_an_administrator_gets_the_other_copy_from_then_on() -> None:
    hub = _hub()
    ann = _join(hub, "ann", "a", ("c",))
    for seq, administrator in ((1, False), (2, True), (3, False)):
        ann.administrator = administrator
        hub.handle(Event("e", Audience(channel_id="c"), seq, b"{sanitised", b"{sensitive"))
    assert ann.got == [b"{sanitised", b"{sensitive", b"{sanitised"]


def test_the_first_part_of_an_audience_that_is_set_counts() -> None:
    hub = _hub()
    ann, bob = _join(hub, "ann", "a", ("c",), ("t",)), _join(hub, "bob", "b", ("c",), ("t",))
    _send(hub, Audience(connection_id="b", user_id="ann"))
    assert (len(ann.got), len(bob.got)) == (0, 1)
    _send(hub, Audience(user_id="ann", channel_id="c"))
    assert (len(ann.got), len(bob.got)) == (1, 1)
    _send(hub, Audience(channel_id="other", team_id="t"))
    assert (len(ann.got), len(bob.got)) == (1, 1)
    _send(hub, Audience(team_id="t"))
    assert (len(ann.got), len(bob.got)) == (2, 2)
    _send(hub, Audience())
    assert (len(ann.got), len(bob.got)) == (3, 3)


def test_omitted_users_and_connections_get_nothing() -> None:
    hub = _hub()
    ann1, ann2, bob = _join(hub, "ann", "a1", ("c",)), _join(hub, "ann", "a2", ("c",)), _join(hub, "bob", "b", ("c",))
    _send(hub, Audience(channel_id="c", omit_users=("ann",)))
    assert (len(ann1.got), len(ann2.got), len(bob.got)) == (0, 0, 1)
    _send(hub, Audience(connection_id="a2"))
    assert (len(ann1.got), len(ann2.got), len(bob.got)) == (0, 1, 1)
    ann2.got.clear()
    _send(hub, Audience(channel_id="c", omit_connection_id="a1"))
    assert (len(ann1.got), len(ann2.got), len(bob.got)) == (0, 1, 2)


def test_membership_is_judged_at_delivery() -> None:
    hub = _hub()
    ann = _join(hub, "ann", "a")
    hub.handle(ChannelMembership("ann", "c", joined=True))
    hub.handle(TeamMembership("ann", "t", joined=True))
    _send(hub, Audience(channel_id="c"))
    _send(hub, Audience(team_id="t"))
    assert len(ann.got) == 2
    hub.handle(ChannelMembership("ann", "c", joined=False))
    hub.handle(TeamMembership("ann", "t", joined=False))
    _send(hub, Audience(channel_id="c"))
    _send(hub, Audience(team_id="t"))
    assert len(ann.got) == 2


def test_a_change_that_comes_while_memberships_are_read_holds_over_what_was_read() -> None:
    hub = _hub()
    ann = FakeClient("ann", "a")
    listener = hub.begin_loading("ann")
    hub.handle(ChannelMembership("ann", "joined", joined=True))
    hub.handle(ChannelMembership("ann", "left", joined=False))
    hub.join(listener, ann)
    hub.end_loading(listener, (_read("left", "old"), []), ann)
    for channel in ("joined", "left", "old"):
        _send(hub, Audience(channel_id=channel))
    assert len(ann.got) == 2


def test_a_failed_reading_changes_nothing() -> None:
    hub = _hub()
    ann = _join(hub, "ann", "a", ("c",))
    hub.end_loading(hub.begin_loading("ann"), None)
    _send(hub, Audience(channel_id="c"))
    assert len(ann.got) == 1


def test_an_ended_session_closes_its_sockets_even_before_hello() -> None:
    hub = _hub()
    ann = FakeClient("ann", "a", "s1")
    other = FakeClient("ann", "b", "s2")
    hub.watch_session(ann)
    hub.watch_session(other)
    hub.handle(SessionClosed("s1"))
    assert (ann.closed, other.closed) == (Close.SESSION_ENDED, None)


def test_nothing_is_left_of_those_who_leave() -> None:
    hub = _hub()
    ann1, ann2 = _join(hub, "ann", "a1", ("c",), ("t",)), _join(hub, "ann", "a2", ("c",), ("t",))
    hub.leave(ann1)
    hub.leave(ann1)
    assert (hub.users(), hub.attached("ann")) == (["ann"], 1)
    hub.leave(ann2)
    _send(hub, Audience(channel_id="c"))
    assert hub.users() == []
    assert len(hub) == 0
    leftovers = [index for index in vars(hub).values() if isinstance(index, dict) and index]
    assert not leftovers


def _random_history(chance: random.Random) -> None:
    """Joins, leaves and membership changes in any order: who hears is who belongs, at every moment."""
    hub = _hub()
    truth: dict[str, set[str]] = {user: set() for user in "abc"}
    here: list[FakeClient] = []
    loading: list[tuple[str, object, list[str]]] = []
    for number in range(40):
        user, channel = chance.choice("abc"), chance.choice("xyz")
        match chance.randrange(7):
            case 0:
                here.append(_join(hub, user, str(number), tuple(truth[user])))
            case 1 if here:
                hub.leave(here.pop(chance.randrange(len(here))))
            case 2 | 3:
                joined = chance.random() < 0.6
                (truth[user].add if joined else truth[user].discard)(channel)
                hub.handle(ChannelMembership(user, channel, joined=joined))
            case 4:
                # The read sees the database as it is now; its answer comes later.
                loading.append((user, hub.begin_loading(user), list(truth[user])))
            case 5 if loading:
                user, listener, read = loading.pop(chance.randrange(len(loading)))
                hub.end_loading(listener, (_read(*read), []))  # type: ignore[arg-type]
            case 6 if here:
                old = here.pop(chance.randrange(len(here)))
                here.append(FakeClient(old.user_id, old.connection_id))
                hub.replace(old, here[-1])
        if loading:
            continue
        for one in "xyz":
            for client in here:
                client.got.clear()
            hub.handle(Event("e", Audience(channel_id=one), 0, b"{"))
            assert {client.connection_id for client in here if client.got} == {
                client.connection_id for client in here if one in truth[client.user_id]
            }
            assert all(len(client.got) <= 1 for client in here)


def test_whoever_belongs_hears_whatever_the_history() -> None:
    for_each_seed(scale(1_500, 100_000), _random_history)


def test_a_channel_that_nobody_hears_any_more_is_not_served() -> None:
    heads = Heads()
    hub = Hub(heads, lambda: 0.0, lambda *_: None)
    ann, bob = _join(hub, "ann", "a", ("c", "d")), _join(hub, "bob", "b", ("c",))
    hub.leave(ann)
    assert heads.channel_ids() == ["c"]
    hub.leave(bob)
    assert not heads.channel_ids()


# Events that are alone --------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """100 pairs of connected sockets that do not wait."""
    made = [socket.socketpair() for _ in range(100)]
    for one in (one for pair in made for one in pair):
        one.setblocking(False)
    yield made
    for one in (one for pair in made for one in pair):
        one.close()


def _event(seq: int = 0) -> Event:
    return Event("e", Audience(channel_id="c"), seq, b'{"n":%d' % seq)


def test_an_event_that_is_alone_is_written_at_once(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    hub = _hub()
    clients = [_join(hub, f"u{at}", f"c{at}", ("c",)) for at in range(len(pairs))]
    for client, (ours, _) in zip(clients, pairs, strict=True):
        client.direct = ours
    clients[50].direct = None  # something waits before it
    hub.handle(_event(1), alone=True)
    for at, (client, (_, theirs)) in enumerate(zip(clients, pairs, strict=True)):
        if at == 50:
            assert client.got == [b'{"n":1']
        else:
            assert theirs.recv(100)[2:] == b'{"n":1,"seq":0}'
            assert not client.got
            assert not client.unwritten
    hub.handle(_event(2))
    assert [client.got[-1] for client in clients] == [b'{"n":2'] * len(pairs)


def test_events_that_were_waiting_behind_a_gap_are_not_alone(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    hub = _hub()
    ann = _join(hub, "ann", "a", ("c",))
    ann.direct = pairs[0][0]
    hub.handle(_event(2), alone=True)
    hub.handle(_event(1), alone=True)
    assert ann.got == [b'{"n":1', b'{"n":2']


def test_what_a_socket_does_not_take_is_left_to_the_transport(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    hub = _hub()
    ann, bob, eve = (_join(hub, name, name, ("c",)) for name in ("ann", "bob", "eve"))
    (full, _), (broken, peer), (good, theirs) = pairs[:3]
    ann.direct, bob.direct, eve.direct = full, broken, good
    with contextlib.suppress(BlockingIOError):
        while True:
            full.send(b"x" * 65536)
    peer.close()
    hub.handle(_event(1), alone=True)
    assert ann.unwritten == bob.unwritten == theirs.recv(100) == b'\x81\x0f{"n":1,"seq":0}'


def test_beyond_so_many_sockets_an_event_is_queued(
    pairs: list[tuple[socket.socket, socket.socket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "AT_ONCE", 40)
    hub = _hub()
    clients = [_join(hub, f"u{at}", f"c{at}", ("c",)) for at in range(len(pairs))]
    for client, (ours, _) in zip(clients, pairs, strict=True):
        client.direct = ours
    hub.handle(_event(1), alone=True)
    assert [client.stream.seq for client in clients] == [1] * 40 + [0] * 60
    assert [len(client.got) for client in clients] == [0] * 40 + [1] * 60


def test_what_is_typed_and_reacted_goes_to_who_looks_or_never_said_where() -> None:
    hub = _hub()
    ann, bob, eve = (_join(hub, name, name, ("c", "d")) for name in ("ann", "bob", "eve"))
    bob.looking, eve.looking = "c", "d"
    for name in ("typing", "reaction_added", "posted"):
        hub.deliver(events.encoded(name, {}, Audience(channel_id="c")))
    told = [[json.loads(one + b"}")["event"] for one in client.got] for client in (ann, bob, eve)]
    assert told == [["typing", "reaction_added", "posted"], ["typing", "reaction_added", "posted"], ["posted"]]


def test_who_is_mentioned_and_says_so_is_asked_to_acknowledge() -> None:
    hub = _hub()
    ann = _join(hub, "ann" * 8, "a", ("c",))
    bob, eve = FakeClient("bob" * 8, "b"), FakeClient("eve" * 8, "e")
    for client in (bob, eve):
        client.acknowledges = True
        hub.watch_session(client)
        listener = hub.begin_loading(client.user_id)
        hub.join(listener, client)
        hub.end_loading(listener, (_read("c"), ()), client)
    forged = f'{{"message":"","mentions":"[{eve.user_id}]"}}'
    data = {"post": forged, "mentions": f'["{ann.user_id}","{bob.user_id}"]'}
    hub.deliver(events.encoded("posted", data, Audience(channel_id="c")))
    hub.deliver(events.encoded("posted", {"post": forged}, Audience(channel_id="c")))
    first, second = ([json.loads(client.got[n] + b"}")["data"] for client in (ann, bob, eve)] for n in (0, 1))
    assert first == [data, {"should_ack": True, **data}, data]
    assert second == [{"post": forged}] * 3


def test_who_leaves_loses_what_was_not_written_yet_and_nothing_else() -> None:
    hub = _hub()
    ann = _join(hub, "ann", "a", ("c", "d"), ("t", "u"))
    sent = {"c": Audience(channel_id="c"), "d": Audience(channel_id="d"), "t": Audience(team_id="t"),
            "u": Audience(team_id="u"), "me": Audience(user_id="ann", channel_id="c"), "all": Audience()}  # fmt: skip
    for name, audience in sent.items():
        ann.stream.add(Copies(events.encoded(name, {}, audience)).frame)

    def waiting() -> list[str]:
        return [json.loads(frame.body + b"}")["event"] for frame in ann.stream.events()]

    hub.handle(ChannelMembership("ann", "c", joined=False))
    assert waiting() == ["d", "t", "u", "me", "all"]
    hub.handle(TeamMembership("ann", "t", joined=False))
    assert waiting() == ["d", "u", "me", "all"]
    hub.end_loading(hub.begin_loading("ann"), (_read(), ()))
    assert waiting() == ["me", "all"]
