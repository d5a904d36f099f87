"""Tasks that have an owner: none is lost, none fails in silence."""

import asyncio
import gc
import re
from pathlib import Path

import pytest

from db.model.tasks import Tasks

ROOT = Path(__file__).parents[2]


async def test_a_task_is_kept_until_it_ends() -> None:
    tasks, go_on = Tasks(), asyncio.Event()

    async def work() -> int:
        await go_on.wait()
        return 7

    task = tasks.start(work())
    await asyncio.sleep(0)
    gc.collect()
    assert list(tasks) == [task]
    go_on.set()
    assert await task == 7
    await asyncio.sleep(0)
    assert not tasks


async def test_one_that_fails_is_said_so_at_once_and_one_that_is_cancelled_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks()

    async def fails() -> None:
        raise ValueError("of this test")

    tasks.start(fails())
    tasks.start(asyncio.sleep(60)).cancel()
    while tasks:
        await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.message == "a task has failed"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "of this test"
    assert getattr(record, "task", "").endswith("fails")


def test_nobody_keeps_a_set_of_tasks_by_hand() -> None:
    """The next one is to use `Tasks`. Left out: uvicorn's own set, one a batch, and what counts with them."""
    kept = {"api/http/connection.py", "db/pool/batching.py", "cluster/sockets/handover.py"}
    found = {
        str(path.relative_to(ROOT))
        for folder in ("api", "app", "cluster", "db", "ws")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"tasks\.add\(|tasks\.discard\b", path.read_text())
    }
    assert found <= kept
