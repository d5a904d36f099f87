"""The nodes of the cluster: SQL of the table `cluster_nodes`. All times are of the database's clock.

A node writes its own row at each start, under an incarnation that only ever grows: whoever holds a lower one of the
same id is a process that was given up (it was frozen, or cut off) and must stop.
Rows are judged by `cluster/peers/roster.py`: this module believes nobody and checks nothing.
"""

from collections.abc import Callable

from db.model.entities import ClusterNode
from db.model.settings import Dialect
from db.model.tables import CLUSTER_NODES
from db.order.clock import NOW_MS
from db.pool import systems
from db.pool.queryable import Queryable, Transaction

_FORGOTTEN = "cluster_forgotten_incarnation"
_NEW = "INSERT INTO cluster_nodes (node_id, incarnation, public_key, address, mac, last_seen_at) VALUES (%s, 0, '', '', '', 0)"  # noqa: E501
# Either way the row is there and locked then, also when another session is deleting it.
_CLAIM: dict[Dialect, str] = {
    "postgres": f"{_NEW} ON CONFLICT (node_id) DO UPDATE SET incarnation = cluster_nodes.incarnation",
    "mysql": f"{_NEW} ON DUPLICATE KEY UPDATE incarnation = incarnation",
}


async def enrol(
    db: Queryable,
    node_id: str,
    *,
    public_key: str,
    address: str,
    hostname: str,
    version: str,
    mac: Callable[[int], str],
    at_least: int = 0,
) -> int:
    """Register this start of a node, and join again if it had left or was removed; its incarnation.

    public_key: Z85, 40 characters. address: `host:port` of the reliable lane as others reach it. mac: of the whole
    registration under the incarnation it is given (`cluster/peers/keyring.py`); nobody sees a row without. at_least:
    the incarnation is higher than this, too (for a node whose row a failover of the database took back).
    """

    async def register(tx: Transaction) -> int:
        await tx.execute(_CLAIM[tx.dialect], (node_id,))
        row = await tx.fetch_one("SELECT incarnation FROM cluster_nodes WHERE node_id = %s FOR UPDATE", (node_id,))
        assert row is not None
        # Read after the lock: who forgot this node's row has committed what it was at.
        incarnation: int = max(row[0], at_least, int(await systems.find(tx, _FORGOTTEN) or 0)) + 1
        await tx.execute(
            "UPDATE cluster_nodes SET incarnation = %s, public_key = %s, address = %s, hostname = %s, version = %s,"  # noqa: S608
            f" mac = %s, last_seen_at = {NOW_MS[tx.dialect]}, left_at = 0, removed_at = 0 WHERE node_id = %s",
            (incarnation, public_key, address, hostname, version, mac(incarnation), node_id),
        )
        return incarnation

    return await db.transact(register)


async def read_all(db: Queryable) -> list[ClusterNode]:
    """Every row, by node id: members, those that left and those that were removed."""
    rows = await db.fetch(
        f"SELECT {CLUSTER_NODES.names()}, {NOW_MS[db.dialect]} - last_seen_at FROM cluster_nodes ORDER BY node_id"  # noqa: S608
    )
    return [ClusterNode(*row) for row in rows]


async def touch(db: Queryable, node_id: str, incarnation: int) -> bool:
    """Say that this start of the node lives; False: a later start holds the id, so this process must stop.

    A row that is missing or older than this start (the database was failed over to one that lacked it) is no reason to
    stop: the roster says so, and the node enrols again.
    """
    touched = await db.execute(
        f"UPDATE cluster_nodes SET last_seen_at = {NOW_MS[db.dialect]}"  # noqa: S608
        " WHERE node_id = %s AND incarnation = %s",
        (node_id, incarnation),
    )
    if touched:
        return True
    row = await db.fetch_one("SELECT incarnation FROM cluster_nodes WHERE node_id = %s", (node_id,))
    return row is None or row[0] <= incarnation


async def leave(db: Queryable, node_id: str, incarnation: int) -> bool:
    """Note a clean leave of this start of the node; False when another start holds the id."""
    changed = await db.execute(
        f"UPDATE cluster_nodes SET left_at = {NOW_MS[db.dialect]} WHERE node_id = %s AND incarnation = %s",  # noqa: S608
        (node_id, incarnation),
    )
    return changed == 1


async def remove(db: Queryable, node_id: str) -> bool:
    """Take a node out of the cluster until it starts again (`mmnode cluster remove`); whether there is such a node."""
    changed = await db.execute(
        f"UPDATE cluster_nodes SET removed_at = {NOW_MS[db.dialect]} WHERE node_id = %s",  # noqa: S608
        (node_id,),
    )
    return changed == 1


async def forget(db: Queryable, node_id: str) -> bool:
    """Delete the row of a node that left or was removed; False when it is a member, or unknown.

    Its incarnation is kept as one that every new row begins above, so that a registration of old cannot be replayed.
    """

    async def delete(tx: Transaction) -> bool:
        row = await tx.fetch_one(
            "SELECT incarnation FROM cluster_nodes WHERE node_id = %s AND (left_at > 0 OR removed_at > 0) FOR UPDATE",
            (node_id,),
        )
        if row is None:
            return False
        await systems.claim(tx, _FORGOTTEN, "0")
        known = await tx.fetch_one("SELECT value FROM systems WHERE name = %s FOR UPDATE", (_FORGOTTEN,))
        assert known is not None
        await tx.execute("UPDATE systems SET value = %s WHERE name = %s", (str(max(int(known[0]), row[0])), _FORGOTTEN))
        await tx.execute("DELETE FROM cluster_nodes WHERE node_id = %s", (node_id,))
        return True

    return await db.transact(delete)
