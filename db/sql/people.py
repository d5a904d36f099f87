"""Lists of users, and finding them by how their names begin: SQL of `users` with memberships, for both dialects.

Every list goes along an index: of names, of memberships, or of how names begin (migration 0024).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from db.drivers import Row
from db.model import limits, shards
from db.model.entities import User
from db.model.ids import ChannelId, TeamId, UserId
from db.model.settings import Dialect
from db.model.tables import USERS
from db.pool.queryable import Queryable

_U = USERS.names("u")
_NOBODY, _NO_TEAM, _NO_CHANNEL = UserId(""), TeamId(""), ChannelId("")
_LOWER: dict[Dialect, str] = {"postgres": "lower(u.{0})", "mysql": "u.{0}_lower"}
_IS_ADMIN: dict[Dialect, str] = {
    "postgres": "m.channel_id = %s AND m.scheme_admin",
    "mysql": "m.admin_of = %s",
}
_ORDERS = {
    "": "u.username",
    "create_at": "u.create_at DESC, u.username",
    "last_activity_at": "s.last_activity_at DESC, u.username",
    "status": "CASE s.status WHEN 'online' THEN 1 WHEN 'away' THEN 2 WHEN 'dnd' THEN 3 ELSE 4 END, u.username",
}
_STATUSES = {
    "last_activity_at": " JOIN statuses s ON s.user_id = u.id",
    "status": " LEFT JOIN statuses s ON s.user_id = u.id",
}


def shared(column: str) -> str:
    """The condition that a user is the one who looks, or shares a channel with them. Parameters: who looks, twice."""
    return (
        f"({column} = %s OR EXISTS (SELECT 1 FROM channel_members a JOIN channel_members b"  # noqa: S608 (columns)
        f" ON b.channel_id = a.channel_id AND b.user_id = {column} WHERE a.user_id = %s))"
    )


@dataclass(frozen=True)
class Among:
    """Which users. What is '' or False, or empty, narrows nothing.

    active: who is not deactivated; inactive: who is. role: a word of the system roles. roles, team_roles,
    channel_roles: who has any of them, the latter two in `in_team` and `in_channel`. shared_with: who shares a channel
    with this user, and they. words: each begins the username, the nickname, with `names` also a name, with `emails`
    also the address; in whatever case.
    """

    in_team: TeamId = _NO_TEAM
    not_in_team: TeamId = _NO_TEAM
    in_channel: ChannelId = _NO_CHANNEL
    not_in_channel: ChannelId = _NO_CHANNEL
    without_team: bool = False
    active: bool = False
    inactive: bool = False
    role: str = ""
    roles: tuple[str, ...] = ()
    team_roles: tuple[str, ...] = ()
    channel_roles: tuple[str, ...] = ()
    shared_with: UserId = _NOBODY
    words: tuple[str, ...] = ()
    names: bool = False
    emails: bool = False


class _Statement:
    """The parts of a SELECT of users `u`: what it joins, what must hold, and their parameters."""

    def __init__(self, dialect: Dialect, among: Among) -> None:
        self._dialect = dialect
        self._joins: list[str] = []
        self._joined: list[object] = []
        self._conditions: list[str] = []
        self._compared: list[object] = []
        if among.in_team:
            self._join("team_members t ON t.team_id = %s AND t.user_id = u.id AND t.delete_at = 0", among.in_team)
        if among.in_channel:
            self._join("channel_members m ON m.channel_id = %s AND m.user_id = u.id", among.in_channel)
        if among.not_in_team:
            self._require(
                "NOT EXISTS (SELECT 1 FROM team_members x WHERE x.team_id = %s AND x.user_id = u.id"
                " AND x.delete_at = 0)",
                among.not_in_team,
            )
        if among.not_in_channel:
            self._require(
                "NOT EXISTS (SELECT 1 FROM channel_members x WHERE x.channel_id = %s AND x.user_id = u.id)",
                among.not_in_channel,
            )
        if among.without_team:
            self._require("NOT EXISTS (SELECT 1 FROM team_members x WHERE x.user_id = u.id AND x.delete_at = 0)")
        if among.active:
            self._require("u.delete_at = 0")
        if among.inactive:
            self._require("u.delete_at <> 0")
        if among.role:
            self._require(*self._of_role(among.role, alone=False))
        self._require_any_role(among)
        if among.shared_with:
            self._require(shared("u.id"), among.shared_with, among.shared_with)
        for word in among.words:
            self._require_beginning(word, among)

    def _join(self, source: str, value: object) -> None:
        self._joins.append(f" JOIN {source}")
        self._joined.append(value)

    def _require(self, condition: str, *values: object) -> None:
        self._conditions.append(condition)
        self._compared.extend(values)

    @staticmethod
    def _of_role(role: str, *, alone: bool) -> tuple[str, ...]:
        """By an index: nearly all are `system_user` and nothing else. alone: then those are meant."""
        if role == "system_user":
            return ("u.roles = 'system_user'",) if alone else ("concat(' ', u.roles, ' ') LIKE %s", "% system_user %")
        return "(u.roles <> 'system_user' AND concat(' ', u.roles, ' ') LIKE %s)", f"% {role} %"

    def _require_any_role(self, among: Among) -> None:
        """As Mattermost's `roles` filters: who is more is not found by what is less."""
        any_of = [self._of_role(role, alone=True) for role in among.roles]
        for scope, alias, names in (("team", "t", among.team_roles), ("channel", "m", among.channel_roles)):
            less = "concat(' ', u.roles, ' ') NOT LIKE %s", "% system_admin %"
            of_scheme = {
                f"{scope}_admin": (f"({alias}.scheme_admin AND {less[0]})", less[1]),
                f"{scope}_user": (f"({alias}.scheme_user AND NOT {alias}.scheme_admin AND {less[0]})", less[1]),
                f"{scope}_guest": (f"{alias}.scheme_guest",),
            }
            any_of += [of_scheme[name] for name in names if name in of_scheme]
        if any_of:
            conditions = " OR ".join(one[0] for one in any_of)
            self._require(f"({conditions})", *(value for one in any_of for value in one[1:]))

    def _require_beginning(self, word: str, among: Among) -> None:
        """Names in lower case as the database has it, which may know no other letters than ASCII's (locale C)."""
        lower = _LOWER[self._dialect]
        names = ["nickname", *(["first_name", "last_name"] if among.names else [])]
        exact = ["u.username", *(["u.email"] if among.emails else [])]
        any_of = [f"{column} LIKE %s ESCAPE '*'" for column in exact]
        any_of += [f"{lower.format(name)} LIKE lower(%s) ESCAPE '*'" for name in names]
        pattern = "".join(f"*{letter}" if letter in "*%_" else letter for letter in word) + "%"
        self._require(f"({' OR '.join(any_of)})", *[pattern.lower()] * len(exact), *[pattern] * len(names))

    def text(self, selected: str, *, beside: str = "") -> str:
        """The statement without what follows its conditions. beside: more that it joins."""
        where = " WHERE " + " AND ".join(self._conditions) if self._conditions else ""
        joins = "".join(self._joins)
        return f"SELECT {selected} FROM users u{joins}{beside}{where}"  # noqa: S608 (parts of ours)

    @property
    def parameters(self) -> list[object]:
        """Of `text`."""
        return [*self._joined, *self._compared]


async def find(db: Queryable, among: Among, limit: int, offset: int = 0, order: str = "") -> list[User]:
    """A page of them: by name, or `order`: create_at (newest first) or last_activity_at (latest first), status."""
    if db.dialect == "mysql" and among == Among() and not order:  # along the index alone: else it sorts them all
        rows = await db.fetch(
            f"SELECT {_U} FROM (SELECT username FROM users ORDER BY username LIMIT %s OFFSET %s) k"  # noqa: S608
            " JOIN users u ON u.username = k.username ORDER BY u.username",
            (limit, offset),
        )
        return [User(*row) for row in rows]
    statement = _Statement(db.dialect, among)
    rows = await db.fetch(
        f"{statement.text(_U, beside=_STATUSES.get(order, ''))} ORDER BY {_ORDERS[order]} LIMIT %s OFFSET %s",
        (*statement.parameters, limit, offset),
    )
    return [User(*row) for row in rows]


async def find_admins_first(db: Queryable, among: Among, limit: int, offset: int = 0) -> list[User]:
    """A page of the members of `in_channel`: its administrators by name, then the others by name."""
    others = replace(among, in_channel=ChannelId(""))
    admins = _Statement(db.dialect, others)
    join = f" JOIN channel_members m ON m.user_id = u.id AND {_IS_ADMIN[db.dialect]}"
    # The join stands behind those of `admins`, so its parameter does, too.
    parameters = [*admins._joined, among.in_channel, *admins._compared]
    row = await db.fetch_one(admins.text("count(*)", beside=join), parameters)
    number = int(row[0]) if row else 0
    rows: list[Row] = []
    if offset < number:
        text = f"{admins.text(_U, beside=join)} ORDER BY u.username LIMIT %s OFFSET %s"
        rows = await db.fetch(text, (*parameters, limit, offset))
    if len(rows) < limit:
        rest = _Statement(db.dialect, among)
        rest._require("NOT m.scheme_admin")
        rows += await db.fetch(
            f"{rest.text(_U)} ORDER BY u.username LIMIT %s OFFSET %s",
            (*rest.parameters, limit - len(rows), max(0, offset - number)),
        )
    return [User(*row) for row in rows]


async def count(db: Queryable, among: Among) -> int:
    """How many they are."""
    statement = _Statement(db.dialect, among)
    row = await db.fetch_one(statement.text("count(*)"), statement.parameters)
    return int(row[0]) if row else 0


async def find_outside(db: Queryable, among: Among, channel_id: ChannelId, limit: int) -> list[User]:
    """Who of them is not in the channel, by name: of the first limits.LOOKED_AT_OUTSIDE, as nearly all may be in it."""
    statement = _Statement(db.dialect, among)
    inner = f"{statement.text(_U)} ORDER BY u.username LIMIT %s"
    rows = await db.fetch(
        f"SELECT {_U} FROM ({inner}) u WHERE NOT EXISTS (SELECT 1 FROM channel_members x WHERE x.channel_id = %s"  # noqa: S608
        " AND x.user_id = u.id) ORDER BY u.username LIMIT %s",
        (*statement.parameters, limits.LOOKED_AT_OUTSIDE, channel_id, limit),
    )
    return [User(*row) for row in rows]


async def find_by_usernames(db: Queryable, usernames: Sequence[str]) -> list[User]:
    """The users of these names (in lower case), by name; unknown ones are left out."""
    rows = await db.fetch(
        f"SELECT {_U} FROM users u WHERE u.username = ANY(%s) ORDER BY u.username",  # noqa: S608 (constants)
        (list(usernames),),
    )
    return [User(*row) for row in rows]


async def find_of_group_channels(
    db: Queryable, channel_ids: Sequence[ChannelId], user_id: UserId
) -> list[tuple[ChannelId, User]]:
    """The other members of those group channels that the user is a member of, by name."""
    rows = await db.fetch(
        f"SELECT c.id, {_U} FROM channels c JOIN channel_members own ON own.channel_id = c.id AND own.user_id = %s"  # noqa: S608
        " JOIN channel_members m ON m.channel_id = c.id AND m.user_id <> %s JOIN users u ON u.id = m.user_id"
        " WHERE c.id = ANY(%s) AND c.type = 'G' ORDER BY u.username",
        (user_id, user_id, list(channel_ids)),
        on=[shards.user_channels(user_id), *(shards.channel_members(one) for one in channel_ids)],
        of=lambda row: (shards.user(row[1]),),
    )
    return [(row[0], User(*row[1:])) for row in rows]


async def find_known_ids(db: Queryable, user_id: UserId) -> list[UserId]:
    """Ids of those who share a channel with the user, up to limits.KNOWN_USERS."""
    rows = await db.fetch(
        "SELECT DISTINCT b.user_id FROM channel_members a JOIN channel_members b ON b.channel_id = a.channel_id"
        " WHERE a.user_id = %s AND b.user_id <> %s LIMIT %s",
        (user_id, user_id, limits.KNOWN_USERS),
    )
    return [row[0] for row in rows]


async def find_sharing(db: Queryable, user_id: UserId, others: Sequence[UserId]) -> set[UserId]:
    """Those of these users who share a channel with the user."""
    rows = await db.fetch(
        "SELECT DISTINCT b.user_id FROM channel_members a JOIN channel_members b ON b.channel_id = a.channel_id"
        " WHERE a.user_id = %s AND b.user_id = ANY(%s)",
        (user_id, list(others)),
    )
    return {row[0] for row in rows}
