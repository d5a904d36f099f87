"""Facts of the installation that every node shares: SQL of the table `systems`."""

from db.model.settings import Dialect
from db.pool.queryable import Queryable, Transaction

_CLAIM: dict[Dialect, str] = {
    "postgres": "INSERT INTO systems (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
    "mysql": "INSERT IGNORE INTO systems (name, value) VALUES (%s, %s)",
}


async def claim(db: Queryable, name: str, value: str) -> bool:
    """Set `name` unless it is set; whether this call did it. Two at once: exactly one gets True."""
    return await db.execute(_CLAIM[db.dialect], (name, value)) == 1


async def replace(db: Queryable, name: str, old: str, new: str) -> bool:
    """Set `name` if it still is `old` ('': not set); whether this call did it. Two at once: exactly one gets True."""
    if not old:
        return await claim(db, name, new)
    return await db.execute("UPDATE systems SET value = %s WHERE name = %s AND value = %s", (new, name, old)) == 1


async def find(db: Queryable, name: str) -> str | None:
    """The value of `name`, if it was ever set."""
    row = await db.fetch_one("SELECT value FROM systems WHERE name = %s", (name,))
    return str(row[0]) if row else None


async def put(db: Queryable, name: str, value: str) -> None:
    """Set a value, whatever it was."""

    async def write(tx: Transaction) -> None:
        if not await claim(tx, name, value):
            await tx.execute("UPDATE systems SET value = %s WHERE name = %s", (value, name))

    await db.transact(write)
