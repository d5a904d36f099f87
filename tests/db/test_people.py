"""People are found by indexes: no list and no search looks at all users."""

from typing import Any

import pytest

from db.drivers import Parameters, Row
from db.model.ids import ChannelId, TeamId, UserId, new_id
from db.model.tables import USERS
from db.pool.pool import Database
from db.sql import people, statuses, users
from db.sql.people import Among
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

MANY = 4000
TEAM, CHANNEL = TeamId("t" * 26), ChannelId("c" * 26)


class Explained:
    """A database that says how it would read, and reads nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.plans: list[str] = []

    async def fetch(self, sql: str, parameters: Parameters = (), **_: Any) -> list[Row]:
        rows = await self._database.fetch(f"EXPLAIN {sql}", parameters)
        self.plans.append("\n".join(" ".join(map(str, row)) for row in rows))
        return []

    async def fetch_one(self, sql: str, parameters: Parameters = (), **_: Any) -> Row | None:
        await self.fetch(sql, parameters)
        return None

    def scans(self) -> list[str]:
        """The plans that look at all rows of a large table."""
        if self.dialect == "postgres":
            return [one for one in self.plans if "Seq Scan on users" in one or "Seq Scan on statuses" in one]
        rows = [line.split() for one in self.plans for line in one.splitlines()]
        return [" ".join(row) for row in rows if row[2] in ("u", "users", "statuses") and row[3] == "ALL"]


@pytest.fixture
async def explained(database: Database) -> Explained:
    rows = ", ".join(f"({', '.join(['%s'] * USERS.width)})" for _ in range(500))
    for _ in range(MANY // 500):
        batch = [USERS.values(user(new_id()[:6])) for _ in range(500)]
        await database.execute(
            f"INSERT INTO users ({USERS.names()}) VALUES {rows}", [value for one in batch for value in one]
        )
    await database.execute(
        "INSERT INTO team_members (team_id, user_id, create_at) SELECT %s, id, 1 FROM users WHERE id < 'b'", (TEAM,)
    )
    await database.execute("INSERT INTO statuses (user_id, status, last_activity_at) SELECT id, 'online', 1 FROM users")
    for table in ("users", "team_members", "channel_members", "statuses"):
        await database.fetch(f"ANALYZE TABLE {table}") if database.dialect == "mysql" else await database.execute(
            f"ANALYZE {table}"
        )
    return Explained(database)


@pytest.mark.parametrize(
    "among",
    [
        Among(words=("ann",), names=True, emails=True, active=True),
        Among(words=("ann", "lee"), names=True),
        Among(words=("ann",), names=True, in_team=TEAM),
        Among(words=("ann",), names=True, in_channel=CHANNEL),
        Among(in_team=TEAM),
        Among(in_channel=CHANNEL),
        Among(in_team=TEAM, not_in_channel=CHANNEL, active=True),
        Among(role="system_admin"),
        Among(roles=("system_admin", "system_guest")),
        Among(inactive=True),
        Among(),
    ],
    ids=str,
)
async def test_no_list_looks_at_all_users(explained: Explained, among: Among) -> None:
    db: Any = explained
    await people.find(db, among, 100)
    assert len(explained.plans) == 1
    assert not explained.scans(), explained.plans


async def test_nothing_else_looks_at_all_users(explained: Explained) -> None:
    db: Any = explained
    await people.find_outside(db, Among(words=("ann",), in_team=TEAM), CHANNEL, 25)
    await people.find_admins_first(db, Among(in_channel=CHANNEL), 60)
    await people.find_by_usernames(db, ["ann", "bob"])
    await people.find_known_ids(db, UserId(new_id()))
    await people.find_sharing(db, UserId(new_id()), [UserId(new_id())])
    await people.find_of_group_channels(db, [CHANNEL], UserId(new_id()))
    await users.find_ended_statuses(db, 5, 100)
    await statuses.end_dnd(db, 5, 100)
    assert len(explained.plans) > 7
    assert not explained.scans(), explained.scans()
