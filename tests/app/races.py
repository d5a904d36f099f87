"""Rules that change at the last moment, and all writes that they concern: what `test_races.py` makes pairs of.

`WRITES` has every verb of app/ that writes what rules are about; each says of whom it asks what, so that the table tells
for every rule whether it is still allowed once that rule has changed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from app import channels, edits, leaving, posts, reactions, statuses, teamchanges, teams, unread
from app.channels import NewChannel
from app.config.settings import Config, TeamSettings
from app.context import Context
from app.edits import Patch, Update
from app.events.kinds import PostDeleted
from app.permissions import Actor
from app.posts import Draft
from app.reactions import NewReaction
from app.roles import Scheme
from app.teams import NewTeam
from db.model.entities import Channel, ChannelType, Post, Session, Team, TeamMember, User
from db.model.ids import ChannelId, SessionId, TeamId, UserId, new_id
from db.order import changes, locks
from db.pool.pool import Database
from db.pool.queryable import Queryable, Transaction
from db.sql import edits as edits_db
from db.sql import members, users
from db.sql import teams as teams_db
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db import rooms
from tests.db.people import user
from tests.rig.lateness import SLOWEST

MOST_MEMBERS, MOST_CHANNELS = 6, 5
_CONFIG = Config(team_settings=TeamSettings(max_users_per_team=MOST_MEMBERS, max_channels_per_team=MOST_CHANNELS))


class Silent:
    """A bus on which nobody listens."""

    def publish(self, message: object) -> None:
        """Nobody hears it."""


class Told:
    """A bus that keeps in mind what kinds of messages it was given."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def publish(self, message: object) -> None:
        """Remember it."""
        self.kinds.append(str(getattr(message, "name", type(message).__name__)))


@dataclass
class World:
    """A team and its channel. ann: their administrator, who wrote the root and reacted to it. bob: member of both.

    cat: member of the team only. dan: of nothing. tea: administrator of the team only.
    """

    ctx: Context
    team: Team
    channel: Channel
    people: dict[str, User]
    root: Post = field(init=False)

    def id(self, name: str) -> UserId:
        """Of the user whom the tests call so."""
        return self.people[name].id

    def actor(self, name: str) -> Actor:
        """The same, asking for something."""
        who = self.people[name]
        return Actor(Session(SessionId(new_id()), "", who.id, 1, 2, 1, "", ""), who)


@asynccontextmanager
async def contexts(database: Database) -> AsyncIterator[Context]:
    """What verbs work with."""
    writer = PostWriter(lambda: connect.connect(database))
    nothing = cast(Any, None)
    try:
        yield Context(_CONFIG, database, writer, cast(Any, Silent()), *[nothing] * 5)
    finally:
        await writer.close()


async def build(ctx: Context) -> World:
    """A world of its own, in the same database."""
    people = {name: user(name) for name in ("ann", "bob", "cat", "dan", "tea")}
    for one in people.values():
        await users.insert(ctx.db, one)
    team_id, channel_id = new_id(), ChannelId(new_id())
    world = World(
        ctx,
        rooms.team(team_id),
        Channel(channel_id, 1, 1, 0, TeamId(team_id), "O", "C", f"c{channel_id}", "", "", "", 0),
        people,
    )
    await rooms.insert_team(ctx.db, world.team, *(world.id(name) for name in ("ann", "bob", "cat")))
    async with ctx.db.transaction() as tx:
        lock = await locks.team(tx, world.team.id)
        await teams_db.add_member(tx, lock, _member(world, "tea", admin=True))
        await rooms.insert(tx, world.channel)
        await rooms.join(tx, world.channel.id, world.id("ann"), admin=True)
        await rooms.join(tx, world.channel.id, world.id("bob"))
    world.root, _ = await posts.create(
        ctx, world.actor("ann"), Draft(channel_id=channel_id, message=f"@{people['bob'].username}")
    )
    await posts.create(
        ctx,
        world.actor("bob"),
        Draft(channel_id=channel_id, message=f"@{people['ann'].username}", root_id=world.root.id),
    )
    await _react(world)
    return world


def _member(world: World, name: str, *, admin: bool = False) -> TeamMember:
    return TeamMember(world.team.id, world.id(name), 1, 0, "", True, admin, False)


# Rules, each changed under the locks that its verb takes, and under no other. who: whom the write is by, or about -----

Rule = Callable[[World, Transaction, UserId], Awaitable[object]]


async def _leaves_channel(world: World, tx: Transaction, who: UserId) -> None:
    await rooms.leave(tx, world.channel.id, who)


async def _leaves_team(world: World, tx: Transaction, who: UserId) -> None:
    await teams_db.remove_member(tx, await locks.team(tx, world.team.id), who, 5)
    for channel_id in await members.find_channel_ids(tx, world.team.id, who):
        await rooms.leave(tx, channel_id, who)


async def _is_deactivated(world: World, tx: Transaction, who: UserId) -> None:
    await users.set_delete_at(tx, who, 5, 5)


async def _is_no_administrator(world: World, tx: Transaction, who: UserId) -> None:
    await locks.team(tx, world.team.id)
    await rooms.place(tx, world.channel.id)
    for table in ("channel_members", "team_members"):
        await tx.execute(f"UPDATE {table} SET scheme_admin = FALSE WHERE user_id = %s", (who,))


async def _channel_is_archived(world: World, tx: Transaction, who: UserId) -> None:
    await rooms.place(tx, world.channel.id)
    await tx.execute("UPDATE channels SET delete_at = 5 WHERE id = %s", (world.channel.id,))


async def _team_is_archived(world: World, tx: Transaction, who: UserId) -> None:
    await tx.execute("UPDATE teams SET delete_at = 5 WHERE id = %s", (world.team.id,))


async def _root_is_deleted(world: World, tx: Transaction, who: UserId) -> None:
    place = await rooms.place(tx, world.channel.id)
    await edits_db.delete(tx, world.root, place, world.id("ann"))
    await changes.record(tx, place, PostDeleted(world.root.id, world.id("ann")))


async def _team_is_full(world: World, tx: Transaction, who: UserId) -> None:
    lock = await locks.team(tx, world.team.id)
    for _ in range(MOST_MEMBERS - 4):
        new = user("x")
        await users.insert(tx, new)
        member = TeamMember(world.team.id, new.id, 1, 0, "", True, False, False)
        await teams_db.add_member(tx, lock, member)


async def _channels_are_full(world: World, tx: Transaction, who: UserId) -> None:
    await locks.team(tx, world.team.id)
    for _ in range(MOST_CHANNELS - 1):
        channel_id = ChannelId(new_id())
        await rooms.insert(tx, Channel(channel_id, 1, 1, 0, world.team.id, "O", "X", channel_id, "", "", "", 0))


async def _name_is_taken(world: World, tx: Transaction, who: UserId) -> None:
    await locks.team(tx, world.team.id)
    await rooms.insert(tx, Channel(ChannelId(new_id()), 1, 1, 0, world.team.id, "O", "X", "new", "", "", "", 0))
    taken = rooms.team(new_id(), name=f"n{world.team.id}")
    await teams_db.insert(tx, locks.Accounts(frozenset()), taken)


RULES: dict[str, Rule] = {
    "actor leaves the channel": _leaves_channel,
    "actor leaves the team": _leaves_team,
    "actor is no administrator": _is_no_administrator,
    "target leaves the channel": _leaves_channel,
    "target leaves the team": _leaves_team,
    "target is deactivated": _is_deactivated,
    "channel is archived": _channel_is_archived,
    "team is archived": _team_is_archived,
    "root is deleted": _root_is_deleted,
    "team is full": _team_is_full,
    "channels are full": _channels_are_full,
    "name is taken": _name_is_taken,
}

# Writes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """verb: what it calls, as `module.function` of app/. target: about whom it is. refused: status by rule."""

    verb: str
    actor: str
    target: str
    run: Callable[[World], Awaitable[object]]
    refused: dict[str, int]


def _react(world: World) -> Awaitable[object]:
    new = NewReaction(user_id=world.id("ann"), post_id=world.root.id, emoji_name="eyes")
    return reactions.add(world.ctx, world.actor("ann"), new)


def _post(world: World, root_id: str = "") -> Awaitable[object]:
    return posts.create(
        world.ctx, world.actor("ann"), Draft(channel_id=world.channel.id, message="new", root_id=root_id)
    )


def _add(actor: str, target: str) -> Callable[[World], Awaitable[object]]:
    return lambda w: channels.add_member(w.ctx, w.actor(actor), w.channel.id, w.id(target))


def _join(actor: str, target: str) -> Callable[[World], Awaitable[object]]:
    return lambda w: teams.add_member(w.ctx, w.actor(actor), w.team.id, w.id(target))


def _leave(actor: str, target: str) -> Callable[[World], Awaitable[object]]:
    return lambda w: leaving.leave_channel(w.ctx, w.actor(actor), w.channel.id, w.id(target))


def _leave_team(actor: str, target: str) -> Callable[[World], Awaitable[object]]:
    return lambda w: leaving.leave_team(w.ctx, w.actor(actor), w.team.id, w.id(target))


_AS_MEMBER = {"actor leaves the channel": 403, "actor leaves the team": 403}
_ON_POST = {**_AS_MEMBER, "channel is archived": 400, "root is deleted": 404}
_INTO_TEAM = {"target is deactivated": 403, "team is archived": 404, "team is full": 400}
_ON_TEAM = {"actor leaves the team": 403, "actor is no administrator": 403}
_INTO_CHANNEL = {"target leaves the team": 400, "target is deactivated": 403, "channel is archived": 400}

WRITES: dict[str, Write] = {
    "post": Write("posts.create", "ann", "ann", _post, {**_AS_MEMBER, "channel is archived": 400}),
    "reply": Write(
        "posts.create",
        "ann",
        "ann",
        lambda w: _post(w, w.root.id),
        {**_AS_MEMBER, "channel is archived": 400, "root is deleted": 400},
    ),
    "update": Write(
        "edits.update",
        "ann",
        "ann",
        lambda w: edits.update(w.ctx, w.actor("ann"), w.root.id, Update(id=w.root.id, message="other")),
        _ON_POST,
    ),
    "patch": Write(
        "edits.patch",
        "ann",
        "ann",
        lambda w: edits.patch(w.ctx, w.actor("ann"), w.root.id, Patch(message="other")),
        _ON_POST,
    ),
    "pin": Write(
        "edits.pin", "ann", "ann", lambda w: edits.pin(w.ctx, w.actor("ann"), w.root.id, pinned=True), _ON_POST
    ),
    "delete": Write("edits.delete", "ann", "ann", lambda w: edits.delete(w.ctx, w.actor("ann"), w.root.id), _ON_POST),
    "mark as unread": Write(
        "unread.set_unread",
        "ann",
        "ann",
        lambda w: unread.set_unread(w.ctx, w.actor("ann"), w.id("ann"), w.root.id),
        {**_AS_MEMBER, "root is deleted": 404},
    ),
    "react": Write(
        "reactions.add",
        "bob",
        "bob",
        lambda w: reactions.add(
            w.ctx, w.actor("bob"), NewReaction(user_id=w.id("bob"), post_id=w.root.id, emoji_name="ox")
        ),
        {**_ON_POST, "channel is archived": 403},
    ),
    "take a reaction back": Write(
        "reactions.remove",
        "ann",
        "ann",
        lambda w: reactions.remove(w.ctx, w.actor("ann"), w.id("ann"), w.root.id, "eyes"),
        {**_ON_POST, "channel is archived": 403},
    ),
    "add to the channel": Write(
        "channels.add_member",
        "ann",
        "cat",
        _add("ann", "cat"),
        {**_AS_MEMBER, **_INTO_CHANNEL, "team is archived": 404},
    ),
    "join the channel": Write(
        "channels.add_member",
        "cat",
        "cat",
        _add("cat", "cat"),
        {**_INTO_CHANNEL, "actor leaves the team": 403, "target leaves the team": 403, "team is archived": 404},
    ),
    "create a channel": Write(
        "channels.create",
        "ann",
        "ann",
        lambda w: channels.create(
            w.ctx,
            w.actor("ann"),
            NewChannel(team_id=w.team.id, name="new", display_name="New", type=ChannelType.PRIVATE),
        ),
        {
            "actor leaves the team": 403,
            "target leaves the team": 403,
            "target is deactivated": 403,
            "team is archived": 404,
            "channels are full": 400,
            "name is taken": 400,
        },
    ),
    "open a direct channel": Write(
        "channels.create_direct",
        "ann",
        "dan",
        lambda w: channels.create_direct(w.ctx, w.actor("ann"), [w.id("ann"), w.id("dan")]),
        {},
    ),
    "create a team": Write(
        "teams.create",
        "ann",
        "ann",
        lambda w: teams.create(w.ctx, w.actor("ann"), NewTeam(name=f"n{w.team.id}", display_name="New", type="O")),
        {"target is deactivated": 403, "name is taken": 400},
    ),
    "join the team": Write("teams.join", "dan", "dan", _join("dan", "dan"), _INTO_TEAM),
    "add to the team": Write(
        "teams.join", "ann", "dan", _join("ann", "dan"), {**_INTO_TEAM, "actor leaves the team": 403}
    ),
    "join the team by invitation": Write(
        "teams.join",
        "dan",
        "dan",
        lambda w: teams.join(w.ctx, w.team, w.people["dan"], requestor=w.people["dan"]),
        _INTO_TEAM,
    ),
    "add several to the team": Write(
        "teams.add_members",
        "ann",
        "dan",
        lambda w: teams.add_members(w.ctx, w.actor("ann"), w.team.id, [w.id("cat"), w.id("dan")], graceful=False),
        {**_INTO_TEAM, "actor leaves the team": 403},
    ),
    "join the team by its link": Write(
        "teams.join",
        "dan",
        "dan",
        lambda w: teams.join_by_invitation(w.ctx, w.actor("dan"), w.team.invite_id, ""),
        _INTO_TEAM,
    ),
    "update the team": Write(
        "teamchanges.update",
        "tea",
        "tea",
        lambda w: teamchanges.update(
            w.ctx, w.actor("tea"), w.team.id, teamchanges.Update(id=w.team.id, display_name="Other")
        ),
        _ON_TEAM,
    ),
    "patch the team": Write(
        "teamchanges.patch",
        "tea",
        "tea",
        lambda w: teamchanges.patch(w.ctx, w.actor("tea"), w.team.id, teamchanges.Patch(display_name="Other")),
        _ON_TEAM,
    ),
    "close the team": Write(
        "teamchanges.set_privacy",
        "tea",
        "tea",
        lambda w: teamchanges.set_privacy(w.ctx, w.actor("tea"), w.team.id, "I"),
        _ON_TEAM,
    ),
    "make another invitation": Write(
        "teamchanges.regenerate_invitation",
        "tea",
        "tea",
        lambda w: teamchanges.regenerate_invitation(w.ctx, w.actor("tea"), w.team.id),
        _ON_TEAM,
    ),
    "archive the team": Write(
        "teamchanges.archive",
        "tea",
        "tea",
        lambda w: teamchanges.archive(w.ctx, w.actor("tea"), w.team.id, permanent=False),
        _ON_TEAM,
    ),
    "take the team back": Write(
        "teamchanges.restore",
        "tea",
        "tea",
        lambda w: teamchanges.restore(w.ctx, w.actor("tea"), w.team.id),
        _ON_TEAM,
    ),
    "choose a status": Write(
        "statuses.set_own", "ann", "ann", lambda w: statuses.set_own(w.ctx, w.id("ann"), "dnd", manual=True), {}
    ),
    "leave the channel": Write(
        "leaving.leave_channel",
        "bob",
        "bob",
        _leave("bob", "bob"),
        dict.fromkeys([f"{who} leaves the {what}" for who in ("actor", "target") for what in ("channel", "team")], 404),
    ),
    "remove from the channel": Write(
        "leaving.leave_channel",
        "ann",
        "bob",
        _leave("ann", "bob"),
        {**_AS_MEMBER, "target leaves the channel": 404, "target leaves the team": 404},
    ),
    "leave the team": Write(
        "leaving.leave_team",
        "bob",
        "bob",
        _leave_team("bob", "bob"),
        {"actor leaves the team": 404, "target leaves the team": 404},
    ),
    "remove from the team": Write(
        "leaving.leave_team",
        "tea",
        "bob",
        _leave_team("tea", "bob"),
        {"actor leaves the team": 403, "actor is no administrator": 403, "target leaves the team": 404},
    ),
    "give roles in the channel": Write(
        "leaving.set_channel_roles",
        "ann",
        "bob",
        lambda w: leaving.set_channel_roles(
            w.ctx, w.actor("ann"), w.channel.id, w.id("bob"), Scheme(scheme_user=True, scheme_admin=True)
        ),
        {
            **_AS_MEMBER,
            "actor is no administrator": 403,
            "target leaves the channel": 404,
            "target leaves the team": 404,
        },
    ),
    "give roles in the team": Write(
        "leaving.set_team_roles",
        "tea",
        "bob",
        lambda w: leaving.set_team_roles(
            w.ctx, w.actor("tea"), w.team.id, w.id("bob"), Scheme(scheme_user=True, scheme_admin=True)
        ),
        {"actor leaves the team": 403, "actor is no administrator": 403, "target leaves the team": 404},
    ),
}
"""Where the target is the actor, the rules of both are the same: see `refusal`."""


def refusal(rule: str, write: Write) -> int | None:
    """The status by which the write is refused once the rule has changed; None: it is not."""
    refused = write.refused
    if write.actor == write.target and rule.startswith("target leaves"):
        rule = rule.replace("target", "actor", 1) if rule not in refused else rule
    return refused.get(rule)


# Both at once ------------------------------------------------------------------------------------------------------


_WAITING = {
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p"
    " ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = database()",
}

# InnoDB renews what it shows only for who did not look for a tenth of a second.
_LOOK_AGAIN_S = {"postgres": 0.005, "mysql": 0.12}


async def until_it_waits(database: Database, holder: Transaction, writing: "asyncio.Future[Any]") -> bool:
    """Whether the write has come to a lock that `holder` holds, which is kept busy; False: it ended without."""
    async with asyncio.timeout(10.0 * SLOWEST):
        while not writing.done():
            await asyncio.sleep(_LOOK_AGAIN_S[database.dialect])
            await holder.fetch("SELECT 1")  # who is idle for 2 s is ended
            row = await database.fetch_one(_WAITING[database.dialect])
            if row is not None and row[0]:
                return True
    return False


INVARIANTS = {
    "every reply that lives has a root that lives": """
        SELECT p.id FROM posts p LEFT JOIN posts r ON r.id = p.root_id AND r.channel_id = p.channel_id
        WHERE p.root_id <> '' AND p.delete_at = 0 AND (r.id IS NULL OR r.delete_at <> 0 OR r.root_id <> '')
    """,
    "every member of a team's channel is a member of the team": """
        SELECT m.channel_id, m.user_id FROM channel_members m JOIN channels c ON c.id = m.channel_id AND c.team_id <> ''
        LEFT JOIN team_members t ON t.team_id = c.team_id AND t.user_id = m.user_id AND t.delete_at = 0
        WHERE t.user_id IS NULL
    """,
    "nobody posts, edits, deletes or reacts after they were removed": """
        SELECT e.ref, c.seq FROM channel_events e JOIN (
            SELECT channel_id, user_id AS who, seq FROM posts WHERE type = ''
            UNION ALL SELECT p.channel_id, v.ended_by, v.seq FROM post_versions v JOIN posts p ON p.id = v.post_id
            UNION ALL SELECT channel_id, substr(payload, 13, 26), seq FROM channel_events WHERE kind LIKE 'reaction%'
        ) c ON c.channel_id = e.channel_id AND c.who = e.ref AND c.seq > e.seq
        WHERE e.kind = 'user_removed' AND NOT EXISTS (SELECT 1 FROM channel_events a WHERE a.channel_id = e.channel_id
            AND a.kind = 'user_added' AND a.ref = e.ref AND a.seq > e.seq AND a.seq < c.seq)
    """,
    "no team has more members than it may": f"""
        SELECT team_id FROM team_members WHERE delete_at = 0 GROUP BY team_id HAVING count(*) > {MOST_MEMBERS}
    """,
    "no team has more channels than it may": f"""
        SELECT team_id FROM channels WHERE delete_at = 0 AND team_id <> '' GROUP BY team_id
        HAVING count(*) > {MOST_CHANNELS}
    """,
    "who is deactivated is offline": """
        SELECT s.user_id FROM statuses s JOIN users u ON u.id = s.user_id WHERE u.delete_at <> 0 AND s.status <> 'offline'
    """,
    "nobody is mentioned in what is deleted": """
        SELECT x.user_id FROM post_mentions x JOIN posts p ON p.channel_id = x.channel_id AND p.seq = x.seq
        WHERE p.delete_at <> 0
    """,
}


async def violations(db: Queryable) -> list[str]:
    """The invariants that do not hold."""
    return [name for name, sql in INVARIANTS.items() if await db.fetch(sql.replace("%", "%%"))]


async def picture(db: Queryable) -> tuple[Any, ...]:
    """What a write that is refused leaves as it was."""
    row = await db.fetch_one(
        "SELECT (SELECT sum(seq) FROM channel_heads), (SELECT count(*) FROM channel_members),"
        " (SELECT count(*) FROM team_members WHERE delete_at = 0), (SELECT count(*) FROM channels),"
        " (SELECT count(*) FROM teams), (SELECT count(*) FROM posts WHERE delete_at = 0),"
        " (SELECT count(*) FROM posts WHERE is_pinned), (SELECT count(*) FROM reactions),"
        " (SELECT count(*) FROM channel_members WHERE scheme_admin),"
        " (SELECT count(*) FROM team_members WHERE scheme_admin), (SELECT count(*) FROM post_versions)"
    )
    assert row is not None
    return row
