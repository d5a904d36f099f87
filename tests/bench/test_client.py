"""The reference client: when it comes back, what it asks for, what it fetches."""

import random

import pytest

from bench.client import JITTER_S, MAX_RETRY_S, MIN_RETRY_S, PATIENT_FAILURES, Client, Connection, Verdict
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.wait import until

ONE, OTHER = "a" * 26, "b" * 26


def _connection() -> Connection:
    return Connection(random.Random(1))


def _hello(connection_id: str, seq: int = 0) -> dict[str, object]:
    return {"event": "hello", "data": {"connection_id": connection_id}, "seq": seq}


def _event(seq: int) -> dict[str, object]:
    return {"event": "posted", "data": {}, "seq": seq}


def test_it_comes_back_after_3_s_seven_times_then_more_and_more_rarely_up_to_300_s() -> None:
    connection = _connection()
    waits = [connection.closed() for _ in range(40)]
    assert all(MIN_RETRY_S <= wait <= MIN_RETRY_S + JITTER_S for wait in waits[:PATIENT_FAILURES])
    for number, wait in enumerate(waits, 1):
        if number > PATIENT_FAILURES:
            assert 0 <= wait - min(MAX_RETRY_S, 3.0 * number * number) <= JITTER_S
    assert MAX_RETRY_S <= waits[-1] <= MAX_RETRY_S + JITTER_S


def test_clients_that_lost_their_node_together_do_not_come_back_together() -> None:
    waits = {Connection(random.Random(seed)).closed() for seed in range(100)}
    assert len(waits) == 100
    assert max(waits) - min(waits) > JITTER_S / 2


def test_a_connection_ends_the_patience() -> None:
    connection = _connection()
    for _ in range(20):
        connection.closed()
    connection.opened()
    assert connection.closed() <= MIN_RETRY_S + JITTER_S


def test_the_first_hello_is_nothing_missed() -> None:
    connection = _connection()
    assert connection.query() == "connection_id=&sequence_number=0"
    assert connection.received(_hello(ONE)) is Verdict.EVENT
    assert connection.received(_event(1)) is Verdict.EVENT
    assert connection.query() == f"connection_id={ONE}&sequence_number=2"


def test_without_a_hello_it_goes_on_where_it_was() -> None:
    connection = _connection()
    connection.received(_hello(ONE))
    connection.closed()
    connection.opened()
    assert connection.received(_event(1)) is Verdict.EVENT


def test_another_id_means_that_something_was_missed_once() -> None:
    connection = _connection()
    connection.received(_hello(ONE))
    connection.received(_event(1))
    assert connection.received(_hello(OTHER)) is Verdict.MISSED
    assert connection.received(_event(1)) is Verdict.EVENT
    assert connection.query() == f"connection_id={OTHER}&sequence_number=2"


@pytest.mark.parametrize("seq", [0, 2, 3])
def test_a_wrong_number_is_a_gap_and_the_right_one_is_asked_for_again(seq: int) -> None:
    connection = _connection()
    connection.received(_hello(ONE))
    assert connection.received(_event(seq)) is Verdict.GAP
    assert connection.query() == f"connection_id={ONE}&sequence_number=1"


def test_replies_have_no_number() -> None:
    connection = _connection()
    connection.received(_hello(ONE))
    assert connection.received({"status": "OK", "seq_reply": 1}) is Verdict.REPLY
    assert connection.received(_event(1)) is Verdict.EVENT


@pytest.mark.node
def test_after_the_death_of_its_worker_it_has_every_post() -> None:
    with Node(workers=1, ws_workers=1) as node:
        ann = new_user(node.url, "ann")
        channel = new_channel(ann, new_team(ann))
        client = Client([node.url], ann.token, [channel["id"]])
        try:
            until(lambda: client.connection.connection_id, what="hello")
            before = ann.write(channel["id"], "before")
            until(lambda: before["id"] in client.posts, what="an event")
            first = client.connection.connection_id
            old = node.kill("ws0")
            until(lambda: not client.live.is_set(), what="the break")
            meanwhile = ann.write(channel["id"], "meanwhile")
            node.wait_replaced("ws0", old)
            until(lambda: client.connected == 2, what="another connection")
            after = ann.write(channel["id"], "after")
            wanted = {one["id"] for one in (before, meanwhile, after)}
            until(lambda: wanted <= client.posts.keys(), what="all posts")
            assert client.fetched == 1
            assert client.connection.connection_id != first
        finally:
            client.close()
