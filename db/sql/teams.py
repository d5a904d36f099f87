"""Teams and their members: SQL of the tables `teams` and `team_members`."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from db.drivers import Row
from db.model import limits, shards
from db.model.entities import Team, TeamMember
from db.model.ids import TeamId, UserId
from db.model.tables import TEAM_MEMBERS, TEAMS
from db.order.locks import Accounts, TeamAlone
from db.pool.queryable import Queryable, Transaction
from db.sql.mysql import teams as mysql
from db.sql.people import shared
from db.sql.texts import containing

_SELECT = f"SELECT {TEAMS.names()} FROM teams"  # noqa: S608 (a constant)
_T, _M = TEAMS.names("t"), TEAM_MEMBERS.names("m")
_EVERYBODY = UserId("")
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


async def update(tx: Transaction, lock: TeamAlone, team: Team) -> None:
    """Store what of a team may change."""
    await tx.execute(
        "UPDATE teams SET update_at = %s, delete_at = %s, display_name = %s, description = %s, type = %s,"
        " company_name = %s, allowed_domains = %s, invite_id = %s, allow_open_invite = %s WHERE id = %s",
        (
            team.update_at,
            team.delete_at,
            team.display_name,
            team.description,
            team.type,
            team.company_name,
            team.allowed_domains,
            team.invite_id,
            team.allow_open_invite,
            lock.team_id,
        ),
        changes=(shards.team(lock.team_id),),
    )


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


class OfUser(NamedTuple):
    """The teams of a user. shown: a page of those that are not archived, with the memberships. ids: of all of them."""

    shown: tuple[tuple[Team, TeamMember], ...]
    ids: tuple[TeamId, ...]


async def find_of_user(db: Queryable, user_id: UserId, page: int = 0) -> OfUser:
    """A page of the teams the user is a member of, by display name.

    It depends on the archived ones, too, which are in no row: one that comes back is to be seen.
    """
    ids = tuple(await find_ids_of_user(db, user_id, on=(shards.user_teams(user_id),)))
    rows = await db.fetch(
        f"SELECT {_T}, {_M} FROM teams t JOIN team_members m ON m.team_id = t.id"  # noqa: S608 (constants)
        " WHERE m.user_id = %s AND m.delete_at = 0 AND t.delete_at = 0 ORDER BY t.display_name, t.id"
        " LIMIT %s OFFSET %s",
        (user_id, limits.TEAMS, page * limits.TEAMS),
        on=(shards.user_teams(user_id), *map(shards.team, ids)),
    )
    return OfUser(tuple((Team(*row[: TEAMS.width]), TeamMember(*row[TEAMS.width :])) for row in rows), ids)


_OPEN = "t.allow_open_invite = TRUE AND t.type = 'O'"


async def find_page(
    db: Queryable, seer: UserId, offset: int, limit: int, *, open_only: bool
) -> list[tuple[Team, TeamMember | None]]:
    """A part of all teams, archived ones too, by display name, each with the membership of who looks.

    open_only: those that everybody may join.
    """
    where = f"WHERE {_OPEN}" if open_only else ""
    rows = await db.fetch(
        f"SELECT {_T}, {_M} FROM (SELECT t.id FROM teams t {where} ORDER BY t.display_name, t.id"  # noqa: S608 (constants)
        " LIMIT %s OFFSET %s) p JOIN teams t ON t.id = p.id"
        " LEFT JOIN team_members m ON m.team_id = t.id AND m.user_id = %s ORDER BY t.display_name, t.id",
        (limit, offset, seer),
    )
    return _with_memberships(rows)


async def count(db: Queryable, *, open_only: bool = False, archived: bool = True) -> int:
    """How many teams there are. archived: those too."""
    where = [_OPEN] * open_only + ["t.delete_at = 0"] * (not archived)
    row = await db.fetch_one(f"SELECT count(*) FROM teams t WHERE {' AND '.join(where) or 'TRUE'}")  # noqa: S608
    return int(row[0]) if row else 0


async def search(
    db: Queryable, seer: UserId, term: str, offset: int, limit: int, *, is_open: bool | None, counted: bool = False
) -> tuple[list[tuple[Team, TeamMember | None]], int]:
    """A part of the teams whose name or display name holds the term, as in `find_page`.

    And how many such there are, where that is to be counted. It looks at limits.SEARCHED_TEAMS, the first by display
    name. is_open: whether everybody may join them; None: any.
    """
    where = "" if is_open is None else f"WHERE {_OPEN}" if is_open else f"WHERE NOT ({_OPEN})"
    found = (
        f"FROM (SELECT t.id, t.name, t.display_name FROM teams t {where} ORDER BY t.display_name, t.id LIMIT %s) s"  # noqa: S608
        " WHERE s.name LIKE lower(%s) ESCAPE '!' OR lower(s.display_name) LIKE lower(%s) ESCAPE '!'"
    )
    pattern = containing(term)
    given = (limits.SEARCHED_TEAMS, pattern, pattern)
    rows = await db.fetch(
        f"SELECT {_T}, {_M} FROM (SELECT s.id {found} ORDER BY s.display_name, s.id LIMIT %s OFFSET %s) p"  # noqa: S608
        " JOIN teams t ON t.id = p.id LEFT JOIN team_members m ON m.team_id = t.id AND m.user_id = %s"
        " ORDER BY t.display_name, t.id",
        (*given, limit, offset, seer),
    )
    if not counted or (not offset and len(rows) < limit):
        return _with_memberships(rows), len(rows)
    number = await db.fetch_one(f"SELECT count(*) {found}", given)
    return _with_memberships(rows), int(number[0]) if number else 0


def _with_memberships(rows: Sequence[Row]) -> list[tuple[Team, TeamMember | None]]:
    return [
        (Team(*row[: TEAMS.width]), TeamMember(*row[TEAMS.width :]) if row[TEAMS.width] is not None else None)
        for row in rows
    ]


async def find_ids_of_user(db: Queryable, user_id: UserId, on: Collection[shards.Shard] | None = None) -> list[TeamId]:
    """Ids of the teams the user is a member of, archived ones too; without `on` as the master says."""
    rows = await db.fetch("SELECT team_id FROM team_members WHERE user_id = %s AND delete_at = 0", (user_id,), on=on)
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


async def counts(db: Queryable, team_id: TeamId, seer: UserId = _EVERYBODY) -> tuple[int, int]:
    """(members, those whose accounts are active). seer: of those only who share a channel with
    this user (a guest), and they."""
    row = await db.fetch_one(
        "SELECT count(*), coalesce(sum(CASE WHEN u.delete_at = 0 THEN 1 ELSE 0 END), 0) FROM team_members m"  # noqa: S608
        f" JOIN users u ON u.id = m.user_id WHERE m.team_id = %s AND m.delete_at = 0{_known(seer)}",
        (team_id, *_who(seer)),
        on=(shards.team_members(team_id),) if not seer else None,
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _known(seer: UserId) -> str:
    """The condition that who looks sees this member; '' where they see everybody."""
    return f" AND {shared('m.user_id')}" if seer else ""


def _who(seer: UserId) -> tuple[UserId, ...]:
    return (seer, seer) if seer else ()


async def find_members_page(
    db: Queryable,
    team_id: TeamId,
    offset: int,
    limit: int,
    *,
    by_name: bool = False,
    active_only: bool = False,
    seer: UserId = _EVERYBODY,
) -> list[TeamMember]:
    """A part of the members, by their ids or by their usernames. active_only, seer: as `counts` counts them.

    By usernames it is read along the index of these or of the members, whichever the database finds shorter.
    """
    users = " JOIN users u ON u.id = m.user_id" if by_name or active_only else ""
    active = " AND u.delete_at = 0" if active_only else ""
    rows = await db.fetch(
        f"SELECT {_M} FROM team_members m{users} WHERE m.team_id = %s AND m.delete_at = 0{active}{_known(seer)}"  # noqa: S608
        f" ORDER BY {'u.username' if by_name else 'm.user_id'} LIMIT %s OFFSET %s",
        (team_id, *_who(seer), limit, offset),
        on=None if users or seer else (shards.team_members(team_id),),
    )
    return [TeamMember(*row) for row in rows]


async def find_members(
    db: Queryable, team_id: TeamId, user_ids: Sequence[UserId], seer: UserId = _EVERYBODY
) -> list[TeamMember]:
    """The memberships of these users that have not ended. seer: as for `counts`."""
    rows = await db.fetch(
        f"SELECT {_M} FROM team_members m WHERE m.team_id = %s AND m.user_id = ANY(%s)"  # noqa: S608 (constants)
        f" AND m.delete_at = 0{_known(seer)} ORDER BY m.user_id",
        (team_id, list(user_ids), *_who(seer)),
        on=None if seer else [shards.user_teams(one) for one in user_ids],
    )
    return [TeamMember(*row) for row in rows]


async def find_memberships(db: Queryable, user_id: UserId, page: int = 0) -> list[TeamMember]:
    """A page of the memberships of a user, those that have ended too, by the ids of the teams."""
    rows = await db.fetch(
        f"{_SELECT_MEMBER} WHERE user_id = %s ORDER BY team_id LIMIT %s OFFSET %s",
        (user_id, limits.TEAMS, page * limits.TEAMS),
        on=(shards.user_teams(user_id),),
    )
    return [TeamMember(*row) for row in rows]


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
