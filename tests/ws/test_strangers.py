"""Sockets of which nobody knows yet who is at their other end."""

from ws.strangers import Strangers


def test_of_too_many_who_has_been_silent_for_longest_goes() -> None:
    strangers: Strangers[str] = Strangers(2)
    assert strangers.add("a") is None
    assert strangers.add("b") is None
    assert strangers.add("c") == "a"
    strangers.discard("b")
    assert strangers.add("d") is None
    assert len(strangers) == 2
    assert strangers.add("e") == "c"
