"""Writing a batch of posts on PostgreSQL: one send and one receive. The statement: `db/sql/posts.py`."""

from collections.abc import Sequence

from db.drivers import pipeline
from db.drivers.pipeline import PipelineConnection
from db.pool.generation import Generation
from db.pool.pool import Database
from db.sql import posts
from db.sql.posts import NewPost
from db.writer.outcome import LOCK_WAIT_S, Landed, landed


class PostgresBatchConnection:
    """A `BatchConnection` on PostgreSQL: one send and one receive for each batch."""

    def __init__(self, connection: PipelineConnection, database: Database, generation: Generation) -> None:
        self._connection = connection
        self._database = database
        self._generation = generation

    @classmethod
    async def open(cls, database: Database) -> "PostgresBatchConnection":
        """Connect to the master of now. Raises Unavailable when it must not be used."""
        generation = database.current()
        lock_wait_s = min(LOCK_WAIT_S, generation.settings.query_timeout_s / 2)  # else that is what ends it
        options = pipeline.KEY_PLANS | {"lock_timeout": str(int(1000 * lock_wait_s))}
        connection = await PipelineConnection.open(
            generation.settings, posts.STATEMENTS, database.check, options=options
        )
        database.attach(connection)
        return cls(connection, database, generation)

    @property
    def closed(self) -> bool:
        """Whether a new one is needed: also once the pool was recycled."""
        if self._database.current() is not self._generation:
            self._connection.close()
        return self._connection.closed

    async def write(self, batch: Sequence[NewPost]) -> Landed:
        """See `BatchConnection`."""
        await self._database.writable()
        then = posts.POSITION if self._database.wants_position else None
        results = await self._connection.run(posts.batch_calls(batch), then)
        position = int(results[-1][0][0] or 0) if then is not None else None
        written = posts.batch_results(results[1], len(batch))
        return landed(self._database, self._connection.term, batch, written, position)

    def close(self) -> None:
        """See `BatchConnection`."""
        self._connection.close()
