"""Teams and their members: SQL of the tables `teams` and `team_members`."""

from db.drivers import Row
from db.model import limits, shards
from db.model.entities import Team, TeamMember
from db.model.ids import TeamId, UserId
from db.model.tables import TEAM_MEMBERS, TEAMS
from db.order.locks import Accounts, TeamAlone
from db.pool.queryable import Queryable, Transaction
from db.sql.mysql import teams as mysql

_SELECT = f"SELECT {TEAMS.names()} FROM teams"  # noqa: S608 (a constant)
_T, _M = TEAMS.names("t"), TEAM_MEMBERS.names("m")
_SELECT_MEMBER = f"SELECT {TEAM_MEMBERS.names()} FROM team_members"  # noqa: S608 (a constant)


async def insert(tx: Transaction, creator: Accounts, team: Team) -> TeamAlone:
    """Insert; the team's lock, as nobody else sees it yet. Raises Duplicate with constraint teams_name_key."""
    del creator
    await tx.execute(TEAMS.insert, TEAMS.values(team), changes=(shards.team(team.id),))
    return TeamAlone(team.id)


async def find(db: Queryable, team_id: TeamId) -> Team | None:
    """The team of this id, archived ones included."""
    row = await db.fetch_one(f"{_SELECT} WHERE id = %s", (team_id,), on=(), of=_shards)
    return Team(*row) if row else None


async def find_by_name(db: Queryable, name: str) -> Team | None:
    """The team of this name, archived ones included."""
    row = await db.fetch_one(f"{_SELECT} WHERE name = %s", (name,), on=(), of=_shards)
    return Team(*row) if row else None


async def find_by_invite_id(db: Queryable, invite_id: str) -> Team | None:
    """The team that this invitation leads to."""
    row = await db.fetch_one(f"{_SELECT} WHERE invite_id = %s AND delete_at = 0", (invite_id,), on=(), of=_shards)
    return Team(*row) if row else None


def _shards(row: Row) -> tuple[shards.Shard]:
    return (shards.team(row[0]),)


async def find_of_user(db: Queryable, user_id: UserId, page: int = 0) -> list[tuple[Team, TeamMember]]:
    """A page of the teams the user is a member of, by display name, with the membership."""
    rows = await db.fetch(
        f"SELECT {_T}, {_M} FROM teams t JOIN team_members m ON m.team_id = t.id"  # noqa: S608 (constants)
        " WHERE m.user_id = %s AND m.delete_at = 0 AND t.delete_at = 0 ORDER BY t.display_name, t.id"
        " LIMIT %s OFFSET %s",
        (user_id, limits.TEAMS, page * limits.TEAMS),
        on=(shards.user_teams(user_id),),
        of=_shards,
    )
    return [(Team(*row[: TEAMS.width]), TeamMember(*row[TEAMS.width :])) for row in rows]


async def find_ids_of_user(db: Queryable, user_id: UserId) -> list[TeamId]:
    """Ids of the teams the user is a member of."""
    rows = await db.fetch("SELECT team_id FROM team_members WHERE user_id = %s AND delete_at = 0", (user_id,))
    return [row[0] for row in rows]


async def count_members(db: Queryable, team_id: TeamId) -> int:
    """How many members the team has whose accounts are active."""
    row = await db.fetch_one(
        "SELECT count(*) FROM team_members m JOIN users u ON u.id = m.user_id AND u.delete_at = 0"
        " WHERE m.team_id = %s AND m.delete_at = 0",
        (team_id,),
        on=(shards.team_members(team_id),),
    )
    return int(row[0]) if row else 0


async def find_member(db: Queryable, team_id: TeamId, user_id: UserId) -> TeamMember | None:
    """The membership, also one that has ended (`delete_at` is not 0)."""
    row = await db.fetch_one(
        f"{_SELECT_MEMBER} WHERE team_id = %s AND user_id = %s", (team_id, user_id), on=(shards.user_teams(user_id),)
    )
    return TeamMember(*row) if row else None


async def add_member(tx: Transaction, lock: TeamAlone, member: TeamMember) -> bool:
    """Insert the membership or revive an ended one; False when the user was a member already."""
    del lock
    if tx.dialect == "mysql":
        return await mysql.add_member(tx, member)
    return (
        await tx.execute(
            TEAM_MEMBERS.insert + " ON CONFLICT (team_id, user_id) DO UPDATE SET delete_at = 0, roles = excluded.roles,"
            " scheme_user = excluded.scheme_user, scheme_admin = excluded.scheme_admin,"
            " scheme_guest = excluded.scheme_guest WHERE team_members.delete_at <> 0",
            TEAM_MEMBERS.values(member),
            changes=(shards.team_members(member.team_id), shards.user_teams(member.user_id)),
        )
        == 1
    )


async def remove_member(tx: Transaction, lock: TeamAlone, user_id: UserId, now_ms: int) -> bool:
    """End a membership; whether there was one."""
    team_id = lock.team_id
    return (
        await tx.execute(
            "UPDATE team_members SET delete_at = %s, roles = '', scheme_admin = FALSE"
            " WHERE team_id = %s AND user_id = %s AND delete_at = 0",
            (now_ms, team_id, user_id),
            changes=(shards.team_members(team_id), shards.user_teams(user_id)),
        )
        == 1
    )


async def set_roles(tx: Transaction, lock: TeamAlone, user_id: UserId, roles: str, *, user: bool, admin: bool) -> bool:
    """Replace what a member is: the roles of the scheme, and those beside it; whether there is such a member."""
    team_id = lock.team_id
    return (
        await tx.execute(
            "UPDATE team_members SET roles = %s, scheme_user = %s, scheme_admin = %s"
            " WHERE team_id = %s AND user_id = %s AND delete_at = 0",
            (roles, user, admin, team_id, user_id),
            changes=(shards.team_members(team_id), shards.user_teams(user_id)),
        )
        == 1
    )
