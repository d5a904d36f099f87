"""The locks that order writes, and the one order in which a transaction takes them (decision 0027).

    accounts (shared, or one alone) ──> team (shared, or alone) ──> heads of channels (alone, `db/order/changes.py`)

several of a kind in the order of their ids. What a write depends on is read after its locks by a new statement: so it
is what was committed last, and stays so until the write is committed. A function that writes takes what a lock gave, as
a proof that it is held.

    lock       taken alone for                                              shared for
    account    its deactivation (the UPDATE itself), its preferences        making it a member of something
               and the categories of its sidebar
    team       its members, their roles, its new channels, its archiving    making its members members of a channel
    head       posts, reactions, members, their roles, archiving
"""

from collections.abc import Iterable
from dataclasses import dataclass

from db.model.ids import TeamId, UserId
from db.model.settings import Dialect
from db.pool.queryable import Transaction

_SHARED: dict[Dialect, str] = {"postgres": "FOR SHARE", "mysql": "LOCK IN SHARE MODE"}
ALONE: dict[Dialect, str] = {"postgres": "FOR NO KEY UPDATE", "mysql": "FOR UPDATE"}
_ACCOUNTS, _TEAM, _HEAD = range(3)


@dataclass(frozen=True)
class Accounts:
    """None of these accounts is deactivated, or activated, before the transaction ends."""

    ids: frozenset[UserId]


@dataclass(frozen=True)
class AccountAlone:
    """Nobody else writes what belongs to this account alone: its preferences, the categories of its sidebar."""

    id: UserId


@dataclass(frozen=True)
class TeamShared:
    """Nobody joins or leaves this team, or is given other roles in it, before the transaction ends."""

    team_id: TeamId


@dataclass(frozen=True)
class TeamAlone(TeamShared):
    """And nobody else looks at who its members are in order to write."""


Scope = Accounts | TeamShared
"""What orders the memberships of a channel beyond itself: its team or, where it is of none, the accounts."""


async def accounts(tx: Transaction, user_ids: Iterable[UserId]) -> Accounts:
    """Share the rows of these users."""
    ids = sorted(set(user_ids))
    in_order(tx, _ACCOUNTS, *ids)
    sql = f"SELECT id FROM users WHERE id = ANY(%s) ORDER BY id {_SHARED[tx.dialect]}"  # noqa: S608 (constants)
    await tx.fetch(sql, (ids,))
    return Accounts(frozenset(ids))


async def account(tx: Transaction, user_id: UserId) -> AccountAlone:
    """Have the row of one user alone."""
    in_order(tx, _ACCOUNTS, user_id)
    await tx.fetch(f"SELECT id FROM users WHERE id = %s {ALONE[tx.dialect]}", (user_id,))  # noqa: S608 (constants)
    return AccountAlone(user_id)


async def share_team(tx: Transaction, team_id: TeamId) -> TeamShared:
    """Share the row of a team."""
    await _team(tx, team_id, _SHARED[tx.dialect])
    return TeamShared(team_id)


async def team(tx: Transaction, team_id: TeamId) -> TeamAlone:
    """Have the row of a team alone."""
    await _team(tx, team_id, ALONE[tx.dialect])
    return TeamAlone(team_id)


async def _team(tx: Transaction, team_id: TeamId, how: str) -> None:
    in_order(tx, _TEAM, team_id)
    await tx.fetch(f"SELECT id FROM teams WHERE id = %s {how}", (team_id,))  # noqa: S608 (constants)


def head(tx: Transaction, channel_id: str) -> None:
    """The lock on this head is the next one (`db/order/changes.py` takes it)."""
    in_order(tx, _HEAD, channel_id)


def in_order(tx: Transaction, kind: int, *ids: str) -> None:
    """Raises RuntimeError for a lock that stands before one that the transaction has: two might deadlock."""
    for one in ids:
        if (kind, one) < tx.last_lock:
            raise RuntimeError(f"lock {kind, one} after {tx.last_lock}")
        tx.last_lock = (kind, one)
