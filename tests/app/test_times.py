"""Times that other nodes compare are the database's, whatever the clock of the node says."""

from typing import Any, cast

from msgspec.structs import replace

from app import channels, leaving, sessions, statuses, teams, users
from app.channels import NewChannel
from app.origin import NOWHERE
from app.permissions import Actor
from app.users import NewUser
from db.order import clock
from db.pool.pool import Database
from db.sql import members
from db.sql import sessions as sessions_db
from db.sql import statuses as statuses_db
from db.sql import teams as teams_db
from tests.app import races
from tests.app.races import WRITES
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")


class Hasher:
    """Hashes nothing."""

    async def hash(self, password: str, source: str) -> str:
        """Not that either."""
        return "-"


async def test_what_a_node_with_a_wrong_clock_writes_has_the_time_of_the_database(database: Database) -> None:
    async with races.contexts(database) as ctx:
        ctx.now_ms = lambda: 1  # the node's
        ctx.hasher = cast(Any, Hasher())
        world = await races.build(ctx)
        ann = world.actor("ann")
        before = await clock.now_ms(database)
        new = NewUser(username="eve", email="eve@example.com", password="Passw0rd!")
        eve = await users.create(ctx, None, new, invite_id="", token="", origin=NOWHERE)
        channel = await channels.create(
            ctx, ann, NewChannel(team_id=world.team.id, name="new", display_name="New", type="O")
        )
        direct = await channels.create_direct(ctx, ann, [ann.user_id, eve.id])
        team = await WRITES["create a team"].run(world)
        joined = await teams.join(ctx, world.team, eve, requestor=eve)
        await leaving.leave_team(ctx, world.actor("bob"), world.team.id, world.id("bob"))
        left = await teams_db.find_member(database, world.team.id, world.id("bob"))
        await statuses.set_own(ctx, ann.user_id, "dnd", manual=True)
        status = (await statuses_db.find_many(database, [ann.user_id]))[0]
        member = await channels.add_member(ctx, ann, channel.id, world.id("cat"))
        async with database.transaction() as tx:
            session, token, _ = await sessions.create(tx, ctx, eve.id, "")
        ctx.now_ms = lambda: before + 3_600_000  # an hour ahead: what the row says is too long ago
        for _ in range(3):
            await sessions.authenticate(ctx, token)
        touched = await sessions_db.find(database, session.id)
        after = await clock.now_ms(database)
    times = {
        "account": eve.create_at,
        "password": eve.last_password_update,
        "channel": channel.create_at,
        "direct channel": direct.create_at,
        "team": cast(Any, team).create_at,
        "member of the team": joined.create_at,
        "who left": left.delete_at if left else 0,
        "session": session.create_at,
        "its activity": touched[0].last_activity_at if touched else 0,
        "status": status.last_activity_at,
        "member of the channel": member.last_update_at,
    }
    assert {name: at for name, at in times.items() if not before <= at <= after} == {}
    assert await members.find_channel_ids(database, world.team.id, world.id("bob")) == []


async def test_deactivation_and_roles_are_dated_by_the_database(database: Database) -> None:
    async with races.contexts(database) as ctx:
        ctx.now_ms = lambda: 1  # the node's
        world = await races.build(ctx)
        ann = world.actor("ann")
        admin = Actor(ann.session, replace(ann.user, roles="system_admin"))
        before = await clock.now_ms(database)
        await users.set_roles(ctx, admin, world.id("cat"), "system_user system_post_all")
        await users.set_active(ctx, admin, world.id("bob"), active=False)
        found = await users.find_many_for(ctx, admin, [world.id("bob"), world.id("cat")], before - 1)
    assert {user["id"] for user in found} == {world.id("bob"), world.id("cat")}
