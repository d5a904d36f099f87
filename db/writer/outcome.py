"""What the writer of posts needs of a connection, and what becomes of a batch."""

import logging
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from db.model.board import Term
from db.model.shards import Shard
from db.pool.pool import Database
from db.pool.queryable import Nobody
from db.sql.posts import NewPost, Written, changed

log = logging.getLogger(__name__)

LOCK_WAIT_S = 1
"""So long a batch waits for locks: as long as that others wait for it."""


@dataclass(frozen=True)
class Landed:
    """What became of a batch that is committed. results: None for a refused row.

    told: awaited before an answer; raises Unavailable when nobody knows any more whether the commit counts.
    """

    results: list[Written | None]
    told: Coroutine[Any, Any, None] | None = None


class BatchConnection(Protocol):
    """What the writer needs of a connection."""

    @property
    def closed(self) -> bool:
        """Whether a new one is needed."""

    async def write(self, batch: Sequence[NewPost]) -> Landed:
        """Write all in one transaction."""

    def close(self) -> None:
        """Close at once."""


def landed(
    database: Database, term: Term, batch: Sequence[NewPost], results: list[Written | None], position: int | None
) -> Landed:
    """After the commit of a batch: floors, stamps, and what tells the other nodes. position: None: nobody asked.

    term: under which it was committed. Raises ConnectionLost when that is over.
    """
    shards = changed(batch)
    position = database.landed(shards, position)
    if isinstance(database.commits, Nobody) and database.terms.at_once:
        database.terms.check(term)
        return Landed(results)
    return Landed(results, _tell(database, term, shards, position))


async def _tell(database: Database, term: Term, shards: Collection[Shard], position: int) -> None:
    try:
        await database.commits.committed(shards, position, term)
    except Exception:  # the outbox tells of it; but whether it counts is another question
        log.exception("the other nodes could not be told of a batch of posts")
    await database.terms.acknowledge(term)
