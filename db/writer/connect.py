"""Connections that write batches of posts."""

from db.pool.pool import Database
from db.writer.outcome import BatchConnection


async def connect(database: Database) -> BatchConnection:
    """Open a connection to the master of now that can write batches. A process loads only the driver it uses."""
    if database.dialect == "mysql":
        from db.writer.mysql import MySQLBatchConnection

        return await MySQLBatchConnection.open(database)
    from db.writer.postgres import PostgresBatchConnection

    return await PostgresBatchConnection.open(database)
