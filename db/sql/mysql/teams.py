"""Joining teams; see `db/sql/teams.py`."""

from db.model import shards
from db.model.entities import TeamMember
from db.model.errors import Duplicate
from db.model.tables import TEAM_MEMBERS
from db.pool.queryable import Queryable, Transaction


async def add_member(db: Queryable, member: TeamMember) -> bool:
    """See `db.sql.teams.add_member`. The lock on an ended membership makes one of several revivals the first."""
    changes = (shards.team_members(member.team_id), shards.user_teams(member.user_id))
    key = (member.team_id, member.user_id)

    async def add(tx: Transaction) -> bool:
        row = await tx.fetch_one(
            "SELECT delete_at FROM team_members WHERE team_id = %s AND user_id = %s FOR UPDATE", key
        )
        if row is None:
            try:
                await tx.execute(TEAM_MEMBERS.insert, TEAM_MEMBERS.values(member), changes=changes)
            except Duplicate:  # somebody else was faster; the transaction goes on
                return False
            return True
        if row[0] == 0:
            return False
        await tx.execute(
            "UPDATE team_members SET delete_at = 0, roles = %s, scheme_user = %s, scheme_admin = %s, scheme_guest = %s"
            " WHERE team_id = %s AND user_id = %s",
            (member.roles, member.scheme_user, member.scheme_admin, member.scheme_guest, *key),
            changes=changes,
        )
        return True

    return await db.transact(add)
