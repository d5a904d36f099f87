"""Text that no database holds is a bad value on every way to one: not retried, not a lost connection, not a fault."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from db.drivers.pipeline import text_array
from db.model.entities import Channel
from db.model.errors import BadValue
from db.model.ids import ChannelId, PostId, TeamId, UserId, new_id
from db.model.settings import PoolSettings
from db.pool import systems
from db.pool.pool import Database
from db.sql import users
from db.sql.posts import NewPost, Written
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db import rooms
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

BAD = {
    "nul": "a\0b",
    "only nul": "\0",
    "high surrogate": "a\ud800",
    "low surrogate": "\udfff",
    "pair apart": "\ud83d \ude00",
}


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[PostWriter]:
    writer = PostWriter(lambda: connect.connect(database))
    yield writer
    await writer.close()


async def _fetch(database: Database, text: str) -> object:
    return await database.fetch("SELECT 1 FROM systems WHERE name = %s", (text,))


async def _fetch_in_list(database: Database, text: str) -> object:
    return await database.fetch("SELECT 1 FROM systems WHERE name = ANY(%s)", ([text, "other"],))


async def _execute(database: Database, text: str) -> object:
    return await database.execute("UPDATE systems SET value = %s WHERE name = 'n'", (text,))


async def _load(database: Database, text: str) -> object:
    return await users.find(database, UserId(text))


async def _in_a_transaction(database: Database, text: str) -> None:
    async with database.transaction() as tx:
        await systems.claim(tx, "before", "1")
        await systems.claim(tx, text, "1")


WAYS: list[Callable[[Database, str], Awaitable[object]]] = [_fetch, _fetch_in_list, _execute, _load, _in_a_transaction]


@pytest.mark.parametrize("kind", sorted(BAD))
@pytest.mark.parametrize("way", WAYS)
async def test_it_is_refused_at_once(
    database: Database, way: Callable[[Database, str], Awaitable[object]], kind: str
) -> None:
    await database.fetch("SELECT 1")
    for _ in range(5):
        with pytest.raises(BadValue):
            await way(database, BAD[kind])
    assert await systems.find(database, "before") is None
    await systems.claim(database, "after", "1")
    assert await systems.find(database, "after") == "1"
    ann = user("ann")
    await users.insert(database, ann)
    assert await users.find(database, ann.id) == ann


@pytest.mark.parametrize("kind", sorted(BAD))
async def test_in_a_post_it_is_refused_too(database: Database, writer: PostWriter, kind: str) -> None:
    channel = ChannelId(new_id())
    async with database.transaction() as tx:
        await rooms.insert(tx, Channel(channel, 1, 1, 0, TeamId(""), "O", "Channel", channel, "", "", "", 1))

    def post(message: str) -> NewPost:
        return NewPost(PostId(new_id()), channel, UserId(new_id()), "", message, "", "{}", "", (), None, True, False)

    bad, good = await asyncio.gather(writer.write(post(BAD[kind])), writer.write(post("good")), return_exceptions=True)
    assert isinstance(bad, BadValue)
    assert isinstance(good, Written)


def test_an_array_of_texts_holds_no_half_character() -> None:
    with pytest.raises(BadValue):
        text_array(["good", "\ud800"])


@drivers("postgres")
async def test_settings_of_the_connection_string_are_passed_on(settings: PoolSettings) -> None:
    separator = "&" if "://" in settings.dsn else " "
    more = separator.join(["", "search_path=pg_catalog,public", "work_mem=4321kB", "binary_parameters=yes"])
    database = Database(PoolSettings(settings.dsn + more))
    await database.open()
    found = await database.fetch("SELECT current_setting('search_path'), current_setting('work_mem')")
    assert found == [("pg_catalog,public", "4321kB")]
    assert await database.fetch("SELECT current_setting('timezone')") == [("UTC",)]
    await database.close()
