"""Passwords: argon2id, the same time for unknown users, a bounded queue."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import AppError
from app.passwords import CHEAP_VARIABLE, Hasher


def _cheap(**options: Any) -> Hasher:
    return Hasher(memory_kib=64, passes=1, **options)


async def test_a_hash_verifies_its_password_only() -> None:
    hasher = _cheap()
    stored = await hasher.hash("secret")
    assert stored.startswith("$argon2id$")
    assert await hasher.verify(stored, "secret") == stored
    assert await hasher.verify(stored, "Secret") is None
    assert await hasher.verify("not a hash", "secret") is None
    hasher.close()


async def test_new_hashes_have_owasps_parameters() -> None:
    hasher = Hasher()
    assert "$m=19456,t=2,p=1$" in await hasher.hash("secret")
    hasher.close()


async def test_a_weaker_hash_is_replaced_at_the_next_login() -> None:
    weak, strong = _cheap(), Hasher(memory_kib=128, passes=1)
    stored = await weak.hash("secret")
    better = await strong.verify(stored, "secret")
    assert better is not None
    assert better != stored
    assert await strong.verify(better, "secret") == better
    weak.close()
    strong.close()


async def test_an_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    hasher = Hasher(memory_kib=32_768, passes=2)
    stored = await hasher.hash("secret")
    assert await hasher.verify(None, "secret") is None  # makes the hash that nobody has
    least = {stored: float("inf"), None: float("inf")}
    for _ in range(10):  # by turns: what runs beside it makes some slow, but not the best ones of either
        for one in (stored, None):
            began = time.process_time()
            assert await hasher.verify(one, "wrong") is None
            least[one] = min(least[one], time.process_time() - began)
    assert 0.5 < least[stored] / least[None] < 2
    hasher.close()


async def _log_ins(hasher: Hasher, source: str, number: int) -> list[object]:
    return list(await asyncio.gather(*(hasher.hash("secret", source) for _ in range(number)), return_exceptions=True))


async def test_a_flood_from_one_source_keeps_nobody_else_waiting() -> None:
    hasher = _cheap()
    flood = asyncio.create_task(_log_ins(hasher, "flood", 200))
    await asyncio.sleep(0)
    good = await _log_ins(hasher, "home", 3)
    assert all(isinstance(one, str) for one in good)
    assert sum(isinstance(one, str) for one in await flood) <= 10
    assert hasher.waiting == 0
    hasher.close()


async def test_a_flood_from_more_sources_than_there_are_places_keeps_known_people_out_no_more_than_one() -> None:
    """Nor do many who are known, or say so by the accounts that they have, keep out everybody else."""
    for known in (True, False):
        hasher = _cheap()
        sources = itertools.count()
        turns: list[str] = []

        async def log_in(source: str, *, known: bool, hasher: Hasher = hasher, turns: list[str] = turns) -> None:
            async with hasher.turn(source, known=known) as verify:
                await verify(None, "secret")
                turns.append(source)

        async def flood(*, known: bool, log_in: Any = log_in, sources: Iterator[int] = sources) -> None:
            while True:
                with contextlib.suppress(AppError):
                    await log_in(f"flood {next(sources)}", known=known)
                await asyncio.sleep(0)

        flooding = [asyncio.create_task(flood(known=not known)) for _ in range(200)]
        await asyncio.sleep(0.1)
        for _ in range(5):
            before = len(turns)
            await log_in("home", known=known)
            assert len(turns) - before <= 5
        for task in flooding:
            task.cancel()
        await asyncio.gather(*flooding, return_exceptions=True)
        assert hasher.waiting == 0
        hasher.close()


async def test_who_loses_their_place_to_another_source_is_told_to_come_back() -> None:
    hasher = _cheap(max_waiting=6)
    flood = asyncio.create_task(_log_ins(hasher, "flood", 6))
    await asyncio.sleep(0)
    assert isinstance((await _log_ins(hasher, "home", 1))[0], str)
    refused = [one for one in await flood if not isinstance(one, str)]
    assert [(one.id, one.status) for one in refused if isinstance(one, AppError)] == [
        ("api.user.login.busy.app_error", 429)
    ]
    hasher.close()


async def test_who_goes_away_leaves_their_turn_to_the_next() -> None:
    hasher = _cheap()
    tasks = [asyncio.create_task(hasher.hash("secret")) for _ in range(8)]
    await asyncio.sleep(0)
    for task in tasks[2:7]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, str) for one in done) == 3
    assert hasher.waiting == 0
    assert await hasher.hash("secret")
    hasher.close()


@pytest.mark.parametrize("when", ["before it came", "when it had come"])
async def test_a_turn_of_somebody_who_goes_away_goes_on(when: str) -> None:
    """All in one step of the loop, in which nobody else can notice anything."""
    hasher = _cheap()
    entered, leave = asyncio.Semaphore(0), asyncio.Event()

    async def hold(*, ends: bool) -> None:
        async with hasher.turn("home"):
            entered.release()
            await leave.wait()
            if ends and when == "before it came":
                gone.cancel()
        if ends and when == "when it had come":
            gone.cancel()

    holders = [asyncio.create_task(hold(ends=ends)) for ends in (True, False)]
    for _ in holders:
        await entered.acquire()
    gone, waits = (asyncio.create_task(hasher.hash("secret")) for _ in range(2))
    await asyncio.sleep(0)
    leave.set()
    assert await waits
    await asyncio.gather(*holders)
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert hasher.waiting == 0
    hasher.close()


async def test_beyond_the_queue_a_login_is_told_to_come_back() -> None:
    hasher = Hasher(max_waiting=2)
    results = await asyncio.gather(*(hasher.hash("secret") for _ in range(5)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, AppError)]
    assert len(refused) == 3
    assert all((error.status, error.retry_after_s) == (429, 1) for error in refused)
    assert hasher.waiting == 0
    hasher.close()


@pytest.mark.parametrize("password", ["", "x" * 10_000, "pässwörd ☃", "\ud800"])
async def test_any_text_can_be_hashed_or_is_just_wrong(password: str) -> None:
    hasher = _cheap()
    try:
        assert await hasher.verify(await hasher.hash("other"), password) is None
    finally:
        hasher.close()


async def test_only_the_node_that_the_variable_names_hashes_cheaply(tmp_path: Path) -> None:
    real = "$argon2id$v=19$m=19456,t=2,p=1$"
    for environment in ({}, {CHEAP_VARIABLE: ""}, {CHEAP_VARIABLE: "1"}, {CHEAP_VARIABLE: "/another"}):
        hasher = Hasher.of(environment, tmp_path)
        assert (await hasher.hash("password")).startswith(real), environment
        hasher.close()
    cheap = Hasher.of({CHEAP_VARIABLE: str(tmp_path)}, tmp_path)
    assert "m=64,t=1" in await cheap.hash("password")
    cheap.close()


async def test_a_cheap_node_leaves_hashes_of_others_as_they_are(tmp_path: Path) -> None:
    hasher = Hasher()
    stored = await hasher.hash("password")
    hasher.close()
    cheap = Hasher.of({CHEAP_VARIABLE: str(tmp_path)}, tmp_path)
    assert await cheap.verify(stored, "password") == stored
    assert await cheap.verify(stored, "another") is None
    cheap.close()
