"""The node page."""

import time
from pathlib import Path

import pytest

from cluster.shm import page
from cluster.shm.page import Page, RelayWatch
from db.model.board import Seen, Term, boottime_ns


def test_what_the_relay_writes_every_worker_reads(tmp_path: Path) -> None:
    path = tmp_path / "page"
    page.create(path)
    relay, worker = Page(path, writable=True), Page(path)
    assert worker.beat_age_s() == float("inf")
    relay.take_over(7)
    relay.advance(41)
    assert (worker.incarnation, worker.head) == (7, 41)
    assert 0 <= worker.beat_age_s() < 3
    time.sleep(0.02)
    before = worker.beat_age_s()
    relay.beat()
    assert worker.beat_age_s() < before
    relay.take_over(8)
    assert (worker.incarnation, worker.head) == (8, 0)


def test_loads_of_api_workers(tmp_path: Path) -> None:
    path = tmp_path / "page"
    page.create(path)
    one, other = Page(path, writable=True), Page(path)
    assert [other.load(worker) for worker in range(3)] == [None, None, None]
    one.set_load(0, 0)
    one.set_load(2, 9)
    assert [other.load(worker) for worker in range(3)] == [0, None, 9]
    one.set_load(2, None)
    assert other.load(2) is None


def test_the_fence_and_whether_there_is_a_master(tmp_path: Path) -> None:
    page.create(tmp_path / "page")
    relay, worker = Page(tmp_path / "page", writable=True), Page(tmp_path / "page")
    assert (worker.polled_ns(), worker.master_lost()) == (0, False)
    relay.set_polled(1 << 50)
    relay.set_master_lost(True)
    assert (worker.polled_ns(), worker.master_lost(), worker.beat_age_s()) == (1 << 50, True, float("inf"))
    relay.set_master_lost(False)
    assert not worker.master_lost()


def test_readers_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "page"
    page.create(path)
    with pytest.raises(TypeError):
        Page(path).beat()


def test_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_bytes(bytes(page.SIZE))
    with pytest.raises(ValueError, match="not a node page"):
        Page(path)


def test_what_the_prober_found_every_worker_reads(tmp_path: Path) -> None:
    path = tmp_path / "page"
    page.create(path)
    relay, worker = Page(path, writable=True), Page(path)
    assert (worker.term(), worker.servers(), worker.replica(7)) == (Term(), 0, Seen())
    relay.set_term(Term(3, 2))
    relay.set_servers(99)
    relay.set_replica(0, Seen(1 << 40, 250, 5))
    relay.set_replica(7, Seen(2, 0, 6))
    assert (worker.term(), worker.servers()) == (Term(3, 2), 99)
    assert [worker.replica(index) for index in (0, 1, 7)] == [Seen(1 << 40, 250, 5), Seen(), Seen(2, 0, 6)]
    relay.set_servers(98)
    assert [worker.replica(index) for index in (0, 7)] == [Seen(), Seen()]
    assert worker.load(255) is None


def test_a_silent_relay_breaks_the_node_only_when_it_stays_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.create(tmp_path / "page")
    clock = [100.0]
    monkeypatch.setattr(page, "boottime_ns", lambda: int(clock[0] * 1e9))
    relay = Page(tmp_path / "page", writable=True)
    watch = RelayWatch(Page(tmp_path / "page"), lambda: clock[0])
    relay.beat()
    assert watch.broken() is None
    clock[0] += 60  # everybody slept
    assert watch.broken() is None
    relay.beat()
    assert watch.broken() is None
    clock[0] += 4
    assert watch.broken() is None
    clock[0] += 1
    assert watch.broken() == "relay_down"
    relay.beat()
    assert watch.broken() is None
    watch.draining = True
    assert watch.broken() == "draining"


def test_a_node_without_a_master_gets_no_traffic_unless_reads_go_on(tmp_path: Path) -> None:
    page.create(tmp_path / "page")
    clock = [100.0]
    relay = Page(tmp_path / "page", writable=True)
    watch = RelayWatch(Page(tmp_path / "page"), lambda: clock[0])
    relay.beat()
    relay.set_master_lost(True)
    assert watch.broken() is None  # another one may be on its way
    clock[0] += 2
    assert watch.broken() == "db_master_lost"
    relay.set_degraded(True)
    assert (watch.broken(), watch.degraded()) == (None, True)
    relay.set_degraded(False)
    assert watch.broken() is None
    clock[0] += 2
    assert watch.broken() == "db_master_lost"
    relay.set_master_lost(False)
    assert watch.broken() is None


def test_who_spoke_like_a_proxy_is_told_of_for_ten_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page.create(tmp_path / "page")
    shared = page.Page(tmp_path / "page", writable=True)
    assert shared.stranger() == ""
    for address in ("10.1.2.3", "fd00::7"):
        shared.set_stranger(address)
        assert shared.stranger() == address
        assert shared.load(0) is None
    late_ns = boottime_ns() + int(page.STRANGER_S * 1e9) + 1
    monkeypatch.setattr(page, "boottime_ns", lambda: late_ns)
    assert shared.stranger() == ""


def test_each_process_says_which_term_it_met_and_the_highest_counts_in_all(tmp_path: Path) -> None:
    path = tmp_path / "page"
    page.create(path, processes=3)
    relay, api, ws = (Page(path, writable=True, process=number) for number in range(3))
    api.raise_term(Term(2, 7))
    ws.raise_term(Term(2, 6))
    api.raise_term(Term(1, 9))
    assert {one.term() for one in (relay, api, ws)} == {Term(2, 7)}
    assert relay.met() == Term()
    relay.set_term(Term(2, 6))
    assert (api.term(), api.met()) == (Term(2, 7), Term(2, 6))
    relay.set_agreement(Term(2, 7), 5)
    assert (ws.agreed(), ws.listened_ns()) == (Term(2, 7), 5)


def test_a_process_that_says_a_term_late_takes_back_no_other_ones_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page"
    page.create(path, processes=2)
    relay, api = (Page(path, writable=True, process=number) for number in range(2))
    monkeypatch.setattr(api, "_get", lambda _: 0)  # it looked before the other one wrote
    relay.raise_term(Term(3, 1))
    api.raise_term(Term(2, 8))
    assert relay.term() == Term(3, 1)
