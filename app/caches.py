"""What a worker keeps copies of, declared once each (decision 0012). Who needs the truth itself asks `db/<noun>.py`.

Not here: how far members have read and what they are mentioned in (every post changes it), and what is not there.
"""

from dataclasses import dataclass
from typing import NamedTuple

from app import keywords, postlists
from app.events import wire
from app.keywords import Keywords
from app.postlists import Threads
from db.model import shards
from db.model.entities import (
    ChannelInfo,
    Head,
    Preference,
    Session,
    SidebarCategory,
    Status,
    Team,
    TeamMember,
    User,
)
from db.model.ids import ChannelId, SessionId, TeamId, UserId
from db.pool.cache import Cache, Registry
from db.pool.pool import Database
from db.sql import channels, mentionkeys, preferences, sessions, sidebar, statuses, teams, users
from db.sql.channels import Access
from db.sql.teams import OfUser

_CHANNEL_BYTES = 1000
"""About what a copy of a channel takes."""
_PREFERENCE_BYTES = 400
"""About what one of a preference takes, without its value."""


class PageKey(NamedTuple):
    """Which list of posts. since_ms: 0 for a page; then `page` and `per_page` count."""

    channel_id: ChannelId
    since_ms: int
    page: int
    per_page: int
    threads: Threads


@dataclass(frozen=True)
class Page:
    """A list of posts as it is sent. seq: of its channel, when it was read or earlier."""

    seq: int
    body: bytes


class Caches:
    """All caches of a worker."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.registry = registry = Registry(db.stamps, db.board)
        self.sessions_by_token: Cache[str, tuple[Session, User]] = registry.declare(
            "sessions_by_token",
            lambda token_hash: sessions.find_by_token_hash(db, token_hash),
            on=lambda _: (),
            of=_of_session,
            capacity=20_000,
        )
        self.sessions: Cache[SessionId, tuple[Session, User]] = registry.declare(
            "sessions",
            lambda session_id: sessions.find(db, session_id),
            on=lambda session_id: (shards.session(session_id),),
            of=_of_session,
            capacity=20_000,
        )
        self.users: Cache[UserId, User] = registry.declare(
            "users",
            lambda user_id: users.find(db, user_id),
            on=lambda user_id: (shards.user(user_id),),
            capacity=20_000,
        )
        self.access: Cache[tuple[ChannelId, UserId], Access] = registry.declare(
            "access",
            lambda key: channels.find_access(db, *key),
            on=channels.access_shards,
            capacity=50_000,
        )
        self.heads: Cache[ChannelId, Head] = registry.declare(
            "heads",
            lambda channel_id: channels.find_head(db, channel_id),
            on=lambda channel_id: (shards.posts(channel_id),),
            capacity=50_000,
        )
        self.pages: Cache[PageKey, Page] = registry.declare(
            "pages",
            self._read_page,
            on=lambda key: (shards.posts(key.channel_id),),
            capacity=5_000,
            size=lambda page: len(page.body),
            max_bytes=32 << 20,
        )
        self.user_channels: Cache[tuple[UserId, TeamId], tuple[ChannelInfo, ...]] = registry.declare(
            "user_channels",
            self._read_user_channels,
            on=lambda key: (shards.user_channels(key[0]),),
            of=channels.shards_of_all,
            capacity=10_000,
            size=lambda found: _CHANNEL_BYTES * (1 + len(found)),
            max_bytes=32 << 20,
        )
        self.mention_keys: Cache[str, Keywords] = registry.declare(
            "mention_keys",
            self._read_mention_keys,
            on=lambda kind: (shards.mention_keys(kind),),
            capacity=10,
        )
        self.teams: Cache[TeamId, Team] = registry.declare(
            "teams",
            lambda team_id: teams.find(db, team_id),
            on=lambda team_id: (shards.team(team_id),),
            capacity=5_000,
        )
        self.user_teams: Cache[UserId, OfUser] = registry.declare(
            "user_teams",
            lambda user_id: teams.find_of_user(db, user_id),
            on=lambda user_id: (shards.user_teams(user_id),),
            of=lambda found: [shards.team(team_id) for team_id in found.ids],
            capacity=5_000,
        )
        self.team_members: Cache[tuple[TeamId, UserId], TeamMember] = registry.declare(
            "team_members",
            lambda key: teams.find_member(db, *key),
            on=lambda key: (shards.user_teams(key[1]),),
            capacity=20_000,
        )
        self.team_counts: Cache[TeamId, tuple[int, int]] = registry.declare(
            "team_counts",
            lambda team_id: teams.counts(db, team_id),
            on=lambda team_id: (shards.team_members(team_id),),
            capacity=5_000,
        )
        self.preferences: Cache[UserId, tuple[Preference, ...]] = registry.declare(
            "preferences",
            self._read_preferences,
            on=lambda user_id: (shards.preferences(user_id),),
            capacity=10_000,
            size=lambda found: _PREFERENCE_BYTES + sum(_PREFERENCE_BYTES + len(one.value) for one in found),
            max_bytes=32 << 20,
        )
        self.sidebars: Cache[tuple[UserId, TeamId], tuple[SidebarCategory, ...]] = registry.declare(
            "sidebars",
            self._read_sidebar,
            on=lambda key: (shards.sidebar(key[0]),),
            capacity=10_000,
            size=lambda found: _CHANNEL_BYTES + sum(_CHANNEL_BYTES + len(one.channel_ids) for one in found),
            max_bytes=16 << 20,
        )
        self.statuses: Cache[UserId, Status] = registry.declare(
            "statuses",
            self._read_status,
            on=lambda user_id: (shards.status(user_id),),
            capacity=20_000,
        )

    async def heads_of(self, channel_ids: list[ChannelId]) -> dict[ChannelId, Head]:
        """The counters of these channels, as far as there are any."""
        return await self.heads.get_many(channel_ids, lambda missing: channels.find_heads(self._db, missing))

    async def statuses_of(self, user_ids: list[UserId]) -> dict[UserId, Status]:
        """The presence of these users, as far as they were ever seen."""

        async def read(missing: list[UserId]) -> dict[UserId, Status]:
            return {status.user_id: status for status in await statuses.find_many(self._db, missing)}

        return await self.statuses.get_many(user_ids, read)

    async def _read_page(self, key: PageKey) -> Page | None:
        db, channel_id = self._db, key.channel_id
        head = await channels.find_head(db, channel_id)  # before the list: no list is older than what its tag says
        if head is None:
            return None
        if key.since_ms:
            found = await postlists.since(db, channel_id, key.since_ms, key.threads)
        else:
            found = await postlists.page(db, channel_id, page=key.page, per_page=key.per_page, threads=key.threads)
        return Page(head.seq, wire.encode(found.json()))

    async def _read_mention_keys(self, kind: str) -> Keywords:
        return keywords.gathered(await mentionkeys.find(self._db, kind))

    async def _read_user_channels(self, key: tuple[UserId, TeamId]) -> tuple[ChannelInfo, ...]:
        return tuple(await channels.find_of_user(self._db, *key))

    async def _read_preferences(self, user_id: UserId) -> tuple[Preference, ...]:
        return tuple(await preferences.find(self._db, user_id))

    async def _read_sidebar(self, key: tuple[UserId, TeamId]) -> tuple[SidebarCategory, ...]:
        return tuple(await sidebar.find(self._db, *key))

    async def _read_status(self, user_id: UserId) -> Status | None:
        found = await statuses.find_many(self._db, [user_id])
        return found[0] if found else None


def _of_session(found: tuple[Session, User]) -> tuple[shards.Shard, shards.Shard]:
    session, user = found
    return shards.session(session.id), shards.user(user.id)
