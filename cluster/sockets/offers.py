"""Whom a socket is offered to, and how long is waited: longer, the later we and they are. No sockets in here.

    ask the first ──200 ms without an answer──> ask the next as well ──> … ──> 1.5 s: nobody has it
        └── who says yes first gets it; the others are told that it is gone ──┘

Who is frozen or dead is passed over, who is only busy is not given up; a socket is refused only when all refuse it or
nobody answers. Both times grow by the lateness of our own loop, which its waits show, and by how long the last answers
of those who are asked took.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

TAKE_TIMEOUT_S = 0.2
"""Until another is asked as well, where nobody is late."""
OFFER_S = 1.5
"""Until a socket is given up that nobody takes or refuses, where nobody is late."""
MAX_LATE_S = 3.0
"""How much later it may become. Clients wait for 5 s and more."""


class Offered(Protocol):
    """An offer that was made."""

    answer: "asyncio.Future[bool]"
    """True: it would be taken; False: there is no room, or nobody any more."""

    def go(self) -> bool:
        """It is theirs; False: they are gone."""

    def void(self) -> None:
        """It is not theirs."""

    def look(self) -> None:
        """Take an answer that has come already and that this loop was too late to read."""


class Taker(Protocol):
    """Whom a socket may be offered to."""

    answer_s: float
    """How long its last answers took: the longest, fading."""

    def ask(self, fd: int, payload: bytes) -> Offered:
        """Offer a duplicate of `fd`. Raises OSError when there is nobody."""


class Patience:
    """How long one offer may take. Sans-I/O; seconds of any clock that goes on."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._ours_s = 0.0
        self._theirs_s = 0.0

    def asked(self, answer_s: float) -> None:
        """Somebody was asked whose last answers took so long."""
        self._theirs_s = max(self._theirs_s, answer_s)

    def waited(self, asked_s: float, real_s: float) -> None:
        """A wait that should have ended after `asked_s` took `real_s`: so late are we."""
        self._ours_s += max(0.0, real_s - asked_s)

    def until_next_s(self) -> float:
        """How long to wait before another is asked."""
        return TAKE_TIMEOUT_S + min(self._theirs_s, MAX_LATE_S / 4)

    def left_s(self, now: float) -> float:
        """How long to wait still, at all."""
        return self._began + OFFER_S + min(self._ours_s + self._theirs_s, MAX_LATE_S) - now


async def offer(fd: int, payload: bytes, takers: Sequence[Taker]) -> bool:
    """Offer a duplicate of `fd` to these, in this order. True: it is a taker's now. False: nobody has it, or will."""
    now = asyncio.get_running_loop().time
    patience, rest = Patience(now()), list(takers)
    open_: list[Offered] = []
    try:
        while rest or open_:
            if rest:
                taker = rest.pop(0)
                with contextlib.suppress(OSError):  # nobody is there, or its queue is full
                    open_.append(taker.ask(fd, payload))
                    patience.asked(taker.answer_s)
            await _wait(open_, patience, now, last=not rest)
            for one in [one for one in open_ if one.answer.done()]:
                open_.remove(one)
                if one.answer.result() and one.go():
                    return True
            if patience.left_s(now()) <= 0:
                return False
        return False
    finally:
        for one in open_:
            one.void()


async def _wait(offers: Sequence[Offered], patience: Patience, now: Callable[[], float], *, last: bool) -> None:
    """Until one is answered, or it is time to ask another, or to give up."""
    if not offers or any(one.answer.done() for one in offers):
        return
    began = now()
    wait_s = max(0.0, patience.left_s(began))
    if not last:
        wait_s = min(wait_s, patience.until_next_s())
    done, _ = await asyncio.wait([one.answer for one in offers], timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        patience.waited(wait_s, now() - began)
        for one in offers:
            one.look()
