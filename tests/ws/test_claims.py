"""Connections that change their worker, as workers ask each other for them."""

import asyncio

from app.events.messages import Claim, Frame, Given, Message
from ws.claims import ANSWER_S, ASKED_AGAIN, KEPT_S, MAX_KEPT, Claims, Forwarding


class Workers:
    """Some workers and the bus between them. silent: addresses where messages get lost."""

    def __init__(self, *addresses: str) -> None:
        self.silent: set[str] = set()
        self.too_large = False
        self.now = 0.0
        self.held: dict[str, set[str]] = {one: set() for one in addresses}
        self.sent: list[tuple[str, Message]] = []
        self.claims = {one: self._make(one) for one in addresses}
        self.now = KEPT_S  # nobody has stopped lately

    def _make(self, address: str) -> Claims:
        workers = self

        class End:
            def publish(self, message: Message) -> None:
                for to in workers.claims:
                    workers.send(address, to, message)

            def send_to(self, to: str, message: Message) -> bool:
                return workers.send(address, to, message)

            def ask_elsewhere(self, message: Message) -> None:
                raise AssertionError("a claim is for one worker")

        def give(claim: Claim) -> Given | None:
            if claim.connection_id not in workers.held[address]:
                return None
            workers.held[address].discard(claim.connection_id)
            return Given(claim.id, True, frames=(Frame(b"one", False),), positions={"c": claim.seq})

        return Claims(End(), address, give, lambda: workers.now)

    def send(self, sender: str, to: str, message: Message) -> bool:
        assert isinstance(message, Claim | Given)
        if self.too_large and isinstance(message, Given) and message.given:
            return False
        self.sent.append((to, message))
        if to not in self.silent:
            asyncio.get_running_loop().call_soon(self.claims[to if to in self.claims else sender].handle, message)
        return True

    async def ask(self, by: str, connection_id: str) -> bool:
        """Whether it got it; then it has it."""
        given = await self.claims[by].ask(connection_id, "user", "session", 7)
        assert given is None or given.positions == {"c": 7}
        if given is not None:
            self.held[by].add(connection_id)
        return given is not None


A, B, C = "aaaaaa00", "bbbbbb00", "cccccc01"


async def test_who_has_it_gives_it_once() -> None:
    workers = Workers(A, B)
    mine = workers.claims[A].new_connection_id()
    assert (mine[:8], len(mine)) == (A, 26)
    workers.held[A].add(mine)
    assert workers.claims[B].may_be_elsewhere(mine)
    assert not workers.claims[A].may_be_elsewhere(mine)
    assert await workers.ask("bbbbbb00", mine)
    assert workers.held == {A: set(), B: {mine}}


async def test_where_it_went_is_told() -> None:
    workers = Workers(A, B, C)
    mine = workers.claims[A].new_connection_id()
    workers.held[A].add(mine)
    for place in (B, C, A, C):
        assert await workers.ask(place, mine)
        assert [place for place, held in workers.held.items() if mine in held] == [place]


async def test_workers_that_name_each_other_are_asked_a_few_times() -> None:
    workers = Workers(A, B, C)
    mine = workers.claims[A].new_connection_id()
    workers.held[A].add(mine)
    assert await workers.ask(B, mine)
    assert await workers.ask(A, mine)
    workers.held[A].clear()
    workers.sent.clear()
    assert not await workers.ask(C, mine)
    assert [to for to, message in workers.sent if isinstance(message, Claim)] == [A, B] * ASKED_AGAIN


async def test_who_said_no_is_asked_again_when_it_is_said_to_have_it_now() -> None:
    """It came there between its answer and that of the worker that stops, which everybody's claim found."""
    workers = Workers(A, B, C)
    mine = workers.claims[A].new_connection_id()
    workers.claims[C].note_leaving()
    asking = asyncio.create_task(workers.ask(C, mine))
    while not any(isinstance(message, Claim) and message.everybody for _, message in workers.sent):
        await asyncio.sleep(0)
    claims = [message for _, message in workers.sent if isinstance(message, Claim)]
    await asyncio.sleep(0.01)
    workers.held[A].add(mine)
    workers.claims[C].handle(Given(claims[0].id, False, moved_to=A))  # as B does, that has just given it away
    assert await asking


async def test_what_comes_back_has_found_nobody() -> None:
    workers = Workers(B)
    before = asyncio.get_running_loop().time()
    assert not await workers.ask(B, "dead" * 6 + "xx")
    assert asyncio.get_running_loop().time() - before < ANSWER_S / 2


async def test_nobody_is_waited_for_longer_than_the_bound_and_a_late_answer_finds_nobody() -> None:
    workers = Workers(A, B)
    workers.silent.add(A)
    before = asyncio.get_running_loop().time()
    assert not await workers.ask(B, A + "x" * 18)
    assert ANSWER_S <= asyncio.get_running_loop().time() - before < ANSWER_S + 0.5
    claim = workers.sent[0][1]
    assert isinstance(claim, Claim)
    workers.claims[B].handle(Given(claim.id, True))


async def test_what_is_too_large_for_the_bus_is_refused() -> None:
    workers = Workers(A, B)
    mine = workers.claims[A].new_connection_id()
    workers.held[A].add(mine)
    workers.too_large = True
    assert not await workers.ask(B, mine)
    assert workers.held[A] == set()


async def test_who_keeps_a_connection_of_a_worker_that_stopped_is_found() -> None:
    workers = Workers(A, B, C)
    workers.held[B].add("dead" * 6 + "xx")
    assert not await workers.ask(C, "dead" * 6 + "xx"), "nobody is asked when no worker stopped lately"
    workers.claims[C].note_leaving()
    assert await workers.ask(C, "dead" * 6 + "xx")
    assert workers.held == {A: set(), B: set(), C: {"dead" * 6 + "xx"}}
    workers.claims[A].note_leaving()
    assert await workers.ask(A, "dead" * 6 + "xx"), "where it went from there is told"
    assert await workers.ask(A, "dead" * 6 + "xx"), "who keeps it itself asks nobody"


async def test_everybody_is_asked_where_the_worker_that_stops_says_nothing_any_more() -> None:
    workers = Workers(A, B, C, "dddddd00")
    workers.claims[C].note_leaving()
    workers.silent.add(A)
    workers.held[B].add(A + "x" * 18)
    assert await workers.ask(C, A + "x" * 18)
    assert sum(isinstance(message, Claim) and message.everybody for _, message in workers.sent) == 4
    assert sum(isinstance(message, Given) for _, message in workers.sent) == 1, "who knows nothing says nothing"


async def test_a_worker_is_asked_for_what_its_predecessor_had() -> None:
    workers = Workers(A, B)
    mine = workers.claims[A].new_connection_id()
    assert not workers.claims[A].may_be_elsewhere(mine)
    workers.claims[A].note_leaving()
    assert workers.claims[A].may_be_elsewhere(mine)
    workers.held[B].add(mine)
    assert await workers.ask(A, mine)


async def test_of_two_who_claim_at_once_one_has_it() -> None:
    workers = Workers(A, B, C)
    workers.held[A].add("dead" * 6 + "xx")
    for one in (B, C):
        workers.claims[one].note_leaving()
    found = await asyncio.gather(*(workers.ask(one, "dead" * 6 + "xx") for one in (B, C)))
    assert any(found)
    assert sum(map(len, workers.held.values())) == 1


async def test_what_an_earlier_version_answers_to_everybody_ends_nothing() -> None:
    """It knows of no such claims, and says that it has nothing."""
    workers = Workers(A, B)
    workers.claims[B].note_leaving()
    asking = asyncio.create_task(workers.ask(B, "dead" * 6 + "xx"))
    await asyncio.sleep(0.01)
    claim = next(one for _, one in workers.sent if isinstance(one, Claim))
    workers.claims[B].handle(Given(claim.id, False))
    workers.claims[B].handle(Given(claim.id, True, positions={"c": 7}))
    assert await asking


def test_where_connections_went_is_forgotten_in_time() -> None:
    forwarding = Forwarding()
    forwarding.add("first", A, 0.0)
    forwarding.add("second", B, 1.0)
    forwarding.add("first", C, KEPT_S)
    assert (forwarding.find("first"), forwarding.find("second"), forwarding.find("third")) == (C, B, "")
    forwarding.add("fourth", A, KEPT_S + 2)
    assert (forwarding.find("first"), forwarding.find("second")) == (C, "")
    for number in range(MAX_KEPT + 5):
        forwarding.add(f"{number}", B, KEPT_S + 3)
    assert len(forwarding) == MAX_KEPT
    assert forwarding.find("first") == ""
