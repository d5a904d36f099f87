"""The caches of a worker on real databases: whatever a copy was made of, a change of it is seen after the next poll."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from app.caches import Caches, PageKey
from app.postlists import Threads
from db.model import entities
from db.model.entities import Channel, Session, Team
from db.model.ids import ChannelId, SessionId, TeamId, new_id
from db.pool.pool import Database
from db.sql import sessions, statuses, users
from db.sql.outbox import Follower
from tests.db import rooms
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")


class World:
    """A user with a session in a team and its channel, which has a post."""

    def __init__(self, database: Database) -> None:
        self.db = database
        self.caches = Caches(database)
        self.follower = Follower(database)
        self.user = user("ann")
        self.session = Session(
            SessionId(new_id()), new_id(), self.user.id, 1, int(time.time() + 999) * 1000, 1, "", new_id()
        )
        team_id = TeamId(new_id())
        self.team = Team(team_id, 1, 1, 0, "Team", f"t{team_id}", "", "", "O", "", "", new_id(), True, 0)
        channel_id = ChannelId(new_id())
        self.channel = Channel(channel_id, 1, 1, 0, team_id, "O", "Channel", f"c{channel_id}", "", "", "", 1)
        self.reads: dict[str, Callable[[], Awaitable[Any]]] = {
            "sessions_by_token": lambda: self.caches.sessions_by_token.get(self.session.token_hash),
            "sessions": lambda: self.caches.sessions.get(self.session.id),
            "users": lambda: self.caches.users.get(self.user.id),
            "access": lambda: self.caches.access.get((channel_id, self.user.id)),
            "heads": lambda: self.caches.heads.get(channel_id),
            "pages": lambda: self.caches.pages.get(PageKey(channel_id, 0, 0, 60, Threads())),
            "user_channels": lambda: self.caches.user_channels.get((self.user.id, team_id)),
            "mention_keys": lambda: self.caches.mention_keys.get("words"),
            "teams": lambda: self.caches.teams.get(team_id),
            "user_teams": lambda: self.caches.user_teams.get(self.user.id),
            "team_members": lambda: self.caches.team_members.get((team_id, self.user.id)),
            "team_counts": lambda: self.caches.team_counts.get(team_id),
            "preferences": lambda: self.caches.preferences.get(self.user.id),
            "sidebars": lambda: self.caches.sidebars.get((self.user.id, team_id)),
            "statuses": lambda: self.caches.statuses.get(self.user.id),
        }

    async def fill(self) -> None:
        await users.insert(self.db, self.user)
        await sessions.insert(self.db, self.session)
        await rooms.insert_team(self.db, self.team, self.user.id)
        async with self.db.transaction() as tx:
            await rooms.insert(tx, self.channel)
            await rooms.join(tx, self.channel.id, self.user.id)
        await statuses.set_by_user(self.db, self.user.id, "dnd", 1, manual=True)
        await self.sql(
            "INSERT INTO posts (id, channel_id, seq, create_at, update_at, user_id, message)"
            " VALUES ('{post}', '{channel}', 2, 1, 1, '{user}', 'hello')"
        )
        await self.sql("INSERT INTO preferences (user_id, category, name, value) VALUES ('{user}', 'c', 'n', 'v')")
        await self.sql(
            "INSERT INTO sidebar_categories (user_id, team_id, id, sort_order, type, channel_ids)"
            " VALUES ('{user}', '{team}', 'one', 0, 'custom', '[]')"
        )
        await self.poll()

    async def sql(self, text: str) -> None:
        """By hand: nobody says what it changes."""
        head = {"mysql": "changed_at = unix_timestamp() * 1000", "postgres": "changed_xid = pg_current_xact_id()"}
        await self.db.execute(
            text.format(
                user=self.user.id, session=self.session.id, team=self.team.id, channel=self.channel.id, post="p" * 26,
                head=head[self.db.dialect],
            )
        )  # fmt: skip

    async def poll(self) -> None:
        await self.follower._poll(asyncio.get_running_loop().time())

    def hits(self, name: str) -> int:
        return self.caches.registry.figures()[name]["hits"]


@pytest.fixture
async def world(database: Database) -> World:
    world = World(database)
    await world.fill()
    return world


NICKNAME = "UPDATE users SET nickname = 'changed' WHERE id = '{user}'"
TOPIC = "UPDATE channels SET header = 'changed' WHERE id = '{channel}'"
LEAVE_TEAM = "UPDATE team_members SET delete_at = 9 WHERE user_id = '{user}'"
LEAVE = "DELETE FROM channel_members WHERE user_id = '{user}'"
TEAM_NAME = "UPDATE teams SET display_name = 'changed' WHERE id = '{team}'"
HEAD = "UPDATE channel_heads SET seq = seq + 1, {head} WHERE channel_id = '{channel}'"
CHANGES = {
    "sessions_by_token": [NICKNAME, "UPDATE sessions SET csrf_token = 'x' WHERE id = '{session}'"],
    "sessions": [NICKNAME, "UPDATE sessions SET expires_at = 5 WHERE id = '{session}'"],
    "users": [NICKNAME, "DELETE FROM users WHERE id = '{user}'"],
    "access": [TOPIC, LEAVE, LEAVE_TEAM, "UPDATE channel_members SET roles = 'x' WHERE user_id = '{user}'"],
    "heads": [HEAD],
    "pages": [HEAD],
    "user_channels": [TOPIC, LEAVE],
    "mention_keys": ["INSERT INTO mention_keys (kind, keyword, user_id) VALUES ('words', 'x', '{user}')"],
    "teams": [TEAM_NAME],
    "user_teams": [TEAM_NAME, LEAVE_TEAM, "UPDATE teams SET delete_at = 9 WHERE id = '{team}'"],
    "team_members": [LEAVE_TEAM],
    "team_counts": [LEAVE_TEAM, "UPDATE users SET delete_at = 9 WHERE id = '{user}'"],
    "preferences": [
        "UPDATE preferences SET value = 'w' WHERE user_id = '{user}'",
        "DELETE FROM preferences WHERE user_id = '{user}'",
    ],
    "sidebars": [
        "UPDATE sidebar_categories SET muted = TRUE WHERE user_id = '{user}'",
        "DELETE FROM sidebar_categories WHERE user_id = '{user}'",
    ],
    "statuses": ["UPDATE statuses SET status = 'away' WHERE user_id = '{user}'"],
}


@pytest.mark.parametrize(("name", "change"), [(name, change) for name, some in CHANGES.items() for change in some])
async def test_a_copy_is_used_until_a_poll_tells_of_any_change_of_it(world: World, name: str, change: str) -> None:
    read = world.reads[name]
    before = await read()
    assert before is not None
    assert await read() == before  # the second read of what is known only by its row is kept
    hits = world.hits(name)
    assert await read() is await read()
    assert world.hits(name) == hits + 2
    await world.sql(change)
    assert await read() == before
    await world.poll()
    assert await read() != before


async def test_an_archived_team_that_comes_back_ends_the_copy_that_it_is_not_in(world: World) -> None:
    archive = "UPDATE teams SET delete_at = {at} WHERE id = '{{team}}'"
    await world.sql(archive.format(at=9))
    await world.poll()
    for _ in range(3):
        found = await world.reads["user_teams"]()
        assert found.shown == ()
    await world.sql(archive.format(at=0))
    await world.poll()
    assert [team.id for team, _ in (await world.reads["user_teams"]()).shown] == [world.team.id]


async def test_every_cache_is_tested_here(world: World) -> None:
    assert set(world.caches.registry.names) == set(world.reads) == set(CHANGES)


async def test_a_purge_empties_every_cache(world: World) -> None:
    for read in world.reads.values():
        await read()
    assert all(one["copies"] == 1 for one in world.caches.registry.figures().values())
    world.caches.registry.purge()
    assert all(one["copies"] == 0 for one in world.caches.registry.figures().values())


async def test_the_first_poll_of_a_relay_ends_all_copies(world: World) -> None:
    await world.reads["users"]()
    await world.sql(NICKNAME)
    world.follower = Follower(world.db)  # the one that would have told of it is dead
    await world.poll()
    found = await world.reads["users"]()
    assert found.nickname == "changed"


async def test_another_master_ends_all_copies(world: World) -> None:
    read = world.reads["users"]
    before = await read()
    await world.sql("INSERT INTO systems (name, value) VALUES ('db_generation', '7 other/1')")
    await world.poll()
    hits = world.hits("users")
    assert await read() == before
    assert world.hits("users") == hits


async def test_what_is_acknowledged_is_seen_at_once(world: World) -> None:
    for name in ("users", "sessions", "statuses"):
        assert await world.reads[name]() is not None
    await users.count_failed_attempt(world.db, world.user.id)
    assert (await world.reads["users"]()).failed_attempts == 1
    assert (await world.reads["sessions"]())[0].last_activity_at == 1
    await sessions.touch(world.db, world.session.id)
    assert (await world.reads["sessions"]())[0].last_activity_at > 77
    await sessions.delete(world.db, world.session.id)
    assert await world.reads["sessions"]() is None
    await statuses.set_by_user(world.db, world.user.id, "away", 1, manual=True)
    assert (await world.reads["statuses"]()).status == "away"


def test_nobody_can_change_a_copy() -> None:
    kinds = [kind for kind in vars(entities).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    assert len(kinds) > 8
    assert all(kind.__struct_config__.frozen for kind in kinds)
