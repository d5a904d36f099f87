"""What one node does for all: what goes, what stays, and what a process without the lease leaves as it was."""

import asyncio
import dataclasses
import importlib
import json
import pkgutil
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

import app
from app import customstatus, jobs
from app.config.settings import AuditSettings, Config
from app.events import messages as events
from app.events.messages import Message
from app.jobs import Duty, Job
from db.model.entities import Session
from db.model.errors import Fenced, Unavailable
from db.model.ids import SessionId, UserId, new_id
from db.order.clock import NOW_MS
from db.pool.pool import Database
from db.sql import leases, outbox, sessions, statuses, users
from db.sql.leases import Fence
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

HOUR_MS = 3_600_000


class Told:
    """A bus that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, message: Message) -> None:
        self.messages.append(message)


@pytest.fixture
async def duty(database: Database) -> Duty:
    fence = await leases.acquire(database, "jobs", "node", 60_000)
    assert fence is not None
    return Duty(database, Told(), fence, Config)


@pytest.fixture
async def now_ms(database: Database) -> int:
    row = await database.fetch_one(f"SELECT {NOW_MS[database.dialect]}")
    assert row is not None
    return int(row[0])


async def channel(database: Database, now_ms: int, ages_ms: dict[int, int], *, trimmed: int = 0) -> str:
    """A channel with changes (number -> age)."""
    channel_id = new_id()
    await database.execute(
        "INSERT INTO channel_heads (channel_id, seq, trimmed_seq) VALUES (%s, %s, %s)",
        (channel_id, max(ages_ms), trimmed),
    )
    for seq, age_ms in ages_ms.items():
        await database.execute(
            "INSERT INTO channel_events (channel_id, seq, create_at, kind, ref) VALUES (%s, %s, %s, 'user_added', '')",
            (channel_id, seq, now_ms - age_ms),
        )
    return channel_id


async def state(database: Database, channel_id: str) -> tuple[int, list[int]]:
    """(trimmed_seq, numbers of the changes that are there)."""
    head = await database.fetch_one("SELECT trimmed_seq FROM channel_heads WHERE channel_id = %s", (channel_id,))
    rows = await database.fetch("SELECT seq FROM channel_events WHERE channel_id = %s ORDER BY seq", (channel_id,))
    assert head is not None
    return head[0], [row[0] for row in rows]


async def test_old_changes_of_channels_go_and_their_heads_say_so(database: Database, duty: Duty, now_ms: int) -> None:
    old = await channel(database, now_ms, {1: 3 * HOUR_MS, 4: 2 * HOUR_MS, 9: 1000})
    young = await channel(database, now_ms, {1: 1000, 2: 0})
    further = await channel(database, now_ms, {7: 2 * HOUR_MS}, trimmed=8)
    assert await jobs.trim_events.run(duty) == 3
    assert await state(database, old) == (4, [9])
    assert await state(database, young) == (0, [1, 2])
    assert await state(database, further) == (8, [])
    assert await jobs.trim_events.run(duty) == 0


async def test_everything_up_to_the_trimmed_number_goes(database: Database, duty: Duty, now_ms: int) -> None:
    """A clock that was put back leaves younger rows below older ones: what `trimmed_seq` says must hold for them."""
    channel_id = await channel(database, now_ms, {1: 1000, 2: 2 * HOUR_MS, 3: 1000})
    await jobs.trim_events.run(duty)
    assert await state(database, channel_id) == (2, [3])


async def test_many_changes_go_batch_by_batch_also_of_channels_without_a_head(
    database: Database, duty: Duty, now_ms: int
) -> None:
    channels = [await channel(database, now_ms, {1: 2 * HOUR_MS, 2: 2 * HOUR_MS}) for _ in range(7)]
    await database.execute("DELETE FROM channel_heads WHERE channel_id = %s", (channels[0],))
    assert await jobs.trim_events.run(dataclasses.replace(duty, batch=3)) == 14
    assert [await state(database, one) for one in channels[1:]] == [(2, [])] * 6


async def session(database: Database, user_id: UserId, expires_at: int) -> SessionId:
    session_id = SessionId(new_id())
    await sessions.insert(database, Session(session_id, new_id(), user_id, 1, expires_at, 1, "", ""))
    return session_id


async def test_expired_sessions_end_and_are_told_of(database: Database, duty: Duty, now_ms: int) -> None:
    ann = user("ann").id
    gone = {await session(database, ann, now_ms - HOUR_MS - n) for n in range(5)}
    kept = {await session(database, ann, expires_at) for expires_at in (0, now_ms - 1000, now_ms + HOUR_MS)}
    witness = kept.pop()  # on MySQL, where the loss of that one would count as everything
    await database.execute("UPDATE sessions SET id = '0' WHERE id = %s", (witness,))
    kept.add(SessionId("0"))
    reader = outbox.Outbox(database)
    await reader.poll()
    async with asyncio.timeout(10):
        while await reader.poll() is None:  # tables of the last second might yet become others
            await asyncio.sleep(0.1)
    assert await jobs.end_sessions.run(dataclasses.replace(duty, batch=2)) == 5
    assert {row[0] for row in await database.fetch("SELECT id FROM sessions")} == kept
    poll = await reader.poll()
    assert poll is not None
    assert set(poll.changes) == {("session", one) for one in gone}


async def test_what_ends_by_itself_ends_once_and_is_told(database: Database, duty: Duty, now_ms: int) -> None:
    """Of do-not-disturb and of custom statuses: what is over, and nothing else, batch by batch."""
    told = Told()
    duty = dataclasses.replace(duty, bus=told, batch=2)
    over, later = now_ms - 1000, now_ms + HOUR_MS
    ended, kept = [user("ann") for _ in range(5)], [user("bob") for _ in range(3)]
    for one, ends_at in [*((one, over) for one in ended), *((one, later) for one in kept[:2]), (kept[2], 0)]:
        at = datetime.fromtimestamp((ends_at or later) / 1000, UTC).isoformat()
        status = customstatus.CustomStatus(emoji="tea", text="x", expires_at=at)
        props = json.dumps(customstatus.with_current({"theme": "dark"}, status))
        await users.insert(database, replace(one, props=props))
        await database.execute("UPDATE users SET custom_status_ends_at = %s WHERE id = %s", (ends_at, one.id))
        await statuses.set_by_user(database, one.id, "dnd", 1, manual=True, dnd_end_time=ends_at // 1000)
    astray = user("cat")  # whose props were replaced by hand
    await users.insert(database, astray)
    await database.execute("UPDATE users SET custom_status_ends_at = %s WHERE id = %s", (over, astray.id))
    assert await jobs.end_dnd.run(duty) == 5
    restated = [one for message in told.messages for one in getattr(message, "user_ids", ())]
    assert sorted(restated) == sorted(one.id for one in ended)
    found = {one.user_id: one for one in await statuses.find_many(database, [one.id for one in (*ended, *kept)])}
    for one in ended:
        assert (found[one.id].status, found[one.id].manual, found[one.id].dnd_end_time) == ("offline", False, 0)
    assert [(found[one.id].status, found[one.id].manual) for one in kept] == [("dnd", True)] * 3
    told.messages.clear()
    assert await jobs.clear_custom_statuses.run(duty) == 6
    assert len(told.messages) == 10
    for one in (*ended, *kept):
        stored = await users.find(database, one.id)
        assert stored is not None
        props = json.loads(stored.props)
        assert (bool(props["customStatus"]), props["theme"]) == (one in kept, "dark")
    rows = await database.fetch("SELECT count(*) FROM users WHERE custom_status_ends_at BETWEEN 1 AND %s", (now_ms,))
    assert rows == [(0,)]
    assert await jobs.clear_custom_statuses.run(duty) == await jobs.end_dnd.run(duty) == 0
    assert len(told.messages) == 10


async def test_the_outbox_is_trimmed(database: Database, duty: Duty, now_ms: int) -> None:
    for age_ms in (2 * HOUR_MS, 0):
        await database.execute(
            'INSERT INTO cluster_log (namespace, "key", create_at) VALUES (%s, %s, %s)', ("user", str(age_ms), now_ms - age_ms)
        )  # fmt: skip
    assert await jobs.trim_log.run(duty) == 1
    assert await database.fetch('SELECT "key" FROM cluster_log') == [("0",)]


async def test_without_the_lease_nothing_is_done(database: Database, duty: Duty, now_ms: int) -> None:
    channel_id = await channel(database, now_ms, {1: 2 * HOUR_MS})
    await session(database, user("ann").id, 5)
    await leases.release(database, duty.fence)
    assert await leases.acquire(database, "jobs", "other", 60_000)
    for job in jobs.JOBS:
        with pytest.raises(Fenced):
            await job.run(duty)
    assert await state(database, channel_id) == (0, [1])
    assert len(await database.fetch("SELECT 1 FROM sessions")) == 1


async def test_jobs_are_done_in_turn_and_one_that_fails_does_not_end_the_others() -> None:
    done: list[str] = []

    async def good(_: Duty) -> int:
        done.append("good")
        return 1

    async def bad(_: Duty) -> int:
        done.append("bad")
        if done.count("bad") == 3:
            raise Fenced("over")
        raise Unavailable("away")

    nothing: Any = None
    idle = Duty(nothing, nothing, Fence("jobs", 1), Config)
    with pytest.raises(Fenced):
        async with asyncio.timeout(10):
            await jobs.run_for_ever(idle, (Job("bad", 0.02, bad), Job("good", 0.005, good)))
    assert done.count("bad") == 3
    assert done.count("good") >= 2


async def test_a_job_reads_settings_and_publishes_what_it_wrote_under_the_lease(database: Database, duty: Duty) -> None:
    """Each time the configuration of then; and of what the lease undid nothing is told."""
    told, config = Told(), Config()
    duty = dataclasses.replace(duty, bus=told, settings=lambda: config)

    @jobs.job(every_s=1.0)
    async def greet(duty: Duty) -> int:
        await duty.write(lambda tx: tx.execute("INSERT INTO systems (name, value) VALUES ('greeted', 'yes')"))
        duty.bus.publish(events.new_user(UserId(str(duty.config.audit_settings.retention_days))))
        return 1

    assert (greet.name, greet.every_s) == ("greet", 1.0)
    config = Config(audit_settings=AuditSettings(retention_days=7))
    assert await greet.run(duty) == 1
    assert told.messages == [events.new_user(UserId("7"))]
    await database.execute("DELETE FROM systems WHERE name = 'greeted'")
    await leases.release(database, duty.fence)
    assert await leases.acquire(database, "jobs", "other", 60_000)
    with pytest.raises(Fenced):
        await greet.run(duty)
    assert len(told.messages) == 1
    assert not await database.fetch("SELECT 1 FROM systems WHERE name = 'greeted'")


def test_every_job_is_done() -> None:
    found = set()
    for module in pkgutil.walk_packages(app.__path__, "app."):
        found |= {one for one in vars(importlib.import_module(module.name)).values() if isinstance(one, Job)}
    assert found == set(jobs.JOBS)
    assert len({one.name for one in found}) == len(found)
