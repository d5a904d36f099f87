"""Whether what tells of changes was itself changed: sans-I/O, and a simulation against a server with a coarse clock."""

import random
from dataclasses import replace

import pytest

from db.pool.guards import Seen, Watch
from db.sql.mysql import witnesses
from db.sql.mysql.witnesses import Witnesses
from tests.rig.scale import for_each_seed, scale

WHOLE = Seen(99, False, 7)


def test_the_first_look_finds_nothing_and_neither_does_one_that_sees_the_same() -> None:
    watch = Watch("mysql")
    assert [watch.look(WHOLE) for _ in range(3)] == ["", "", ""]


def test_what_is_not_what_it_was_is_told_once() -> None:
    watch = Watch("postgres")
    other = replace(WHOLE, identity=8)
    assert [bool(watch.look(one)) for one in (WHOLE, other, other)] == [False, True, False]


def test_triggers_that_do_not_fire_are_told_of_at_every_look() -> None:
    watch = Watch("postgres")
    without = replace(WHOLE, triggers=26)
    assert [bool(watch.look(one)) for one in (WHOLE, without, without)] == [False, True, True]


@pytest.mark.parametrize("unsettled", [True, False])
def test_a_table_that_is_just_made_may_be_another_at_the_next_look(unsettled: bool) -> None:
    watch = Watch("mysql")
    watch.look(replace(WHOLE, unsettled=unsettled))
    assert bool(watch.look(WHOLE)) is unsettled


def test_no_truncation_is_missed_however_coarse_the_servers_clock_is() -> None:
    """A reader that flushes when it is told so never holds a copy of what a table was two polls ago."""

    def simulate(rng: random.Random) -> None:
        watch, now = Watch("mysql"), 100.0
        created, content, copy = 0, 0, 0
        watch.look(Seen(99, False, created))  # the first poll, from which copies begin
        for _ in range(200):
            now += rng.choice((0.001, 0.1, 0.4, 1.0, 3.0))
            if rng.random() < 0.4:  # truncated: its time of creation is told in whole seconds
                created, content = int(now), content + 1
            else:
                told = watch.look(Seen(99, created >= int(now), created))
                copy = content if told else copy
                if told == "" and copy != content:
                    raise AssertionError(f"{content} is not told of at {now}")

    for_each_seed(scale(300, 10_000), simulate)


def test_no_copy_outlives_a_truncation_by_a_poll() -> None:
    """Rows come and go between polls and within one; now and then all are truncated away, which nobody tells."""
    place = witnesses.TABLES.index("sessions")

    def simulate(rng: random.Random) -> None:
        ours, rows, untold = Witnesses(), set[str](), set[str]()
        told = set[str]()
        copies = set[str]()

        def change() -> None:
            for _ in range(rng.randrange(4)):
                what = rng.random()
                if what < 0.1:
                    untold.update(rows)
                    rows.clear()
                elif what < 0.5 and rows:
                    told.add(gone := rng.choice(sorted(rows)))
                    rows.discard(gone)
                else:
                    told.add(new := f"{rng.randrange(1 << 30):010}")
                    rows.add(new)
                copies.update(rows)  # by who reads meanwhile

        for _ in range(100):
            change()
            heard = set(told)  # the rows of the outbox are read
            told.clear()
            change()
            asked = ours.parameters()[place]
            row: list[object] = [None] * (2 * len(witnesses.TABLES)) + [1]
            row[2 * place], row[2 * place + 1] = asked in rows, min(rows, default=None)
            wrong = copies & untold - told
            found = ours.look(tuple(row))
            assert found == [] or asked not in rows
            copies -= copies if found else heard
            assert copies & wrong == set()

    for_each_seed(scale(300, 10_000), simulate)


def test_an_outbox_that_begins_anew_is_noticed() -> None:
    ours = Witnesses()
    nothing = [None] * (2 * len(witnesses.TABLES))
    found = [ours.look((*nothing, following)) for following in (7, 7, 12, 1, 2)]
    assert found == [[], [], [], [witnesses.OUTBOX], []]
