"""Bundles of the bus: order, classes, sizes."""

from app.events import messages as events
from cluster.bus.bus import Outgoing, class_of, kind_of
from cluster.bus.envelope import MAX_BODY_BYTES, Class, Kind
from db.model.ids import UserId


def _sign(number: int) -> bytes:
    return events.encode(events.active(UserId(str(number))))


def test_messages_of_a_class_stay_in_order_and_the_classes_in_that_of_their_first() -> None:
    outgoing = Outgoing()
    for number, kind_class in enumerate([Class.RELIABLE, Class.BEST_EFFORT, Class.RELIABLE, Class.SECURITY]):
        assert outgoing.add(Kind.MESSAGE, kind_class, _sign(number))
    bundles = outgoing.take()
    assert [(kind_class, number) for _, kind_class, number, _ in bundles] == [
        (Class.RELIABLE, 2),
        (Class.BEST_EFFORT, 1),
        (Class.SECURITY, 1),
    ]
    assert events.unbundle(bundles[0][3]) == [events.active(UserId(one)) for one in "02"]
    assert outgoing.take() == []


def test_no_bundle_is_larger_than_a_body_may_be() -> None:
    outgoing = Outgoing()
    message = _sign(0) + b"x" * 1000
    added = 0
    while outgoing.add(Kind.MESSAGE, Class.RELIABLE, message):
        added += 1
    assert added == (MAX_BODY_BYTES - 3) // len(message)
    assert [len(body) <= MAX_BODY_BYTES for *_, body in outgoing.take()] == [True]
    assert outgoing.add(Kind.MESSAGE, Class.RELIABLE, message)


def test_what_was_admitted_goes_to_api_workers_and_may_be_lost() -> None:
    message = events.Admitted(((b"12345678", 3),))
    assert (kind_of(message), class_of(message)) == (Kind.API_MESSAGE, Class.BEST_EFFORT)
    assert kind_of(events.active(UserId("a"))) == Kind.PRESENCE
    assert kind_of(events.user_activation_status_change()) == Kind.MESSAGE
