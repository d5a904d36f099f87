"""The audit log as one process writes it: rows of changes, and of what was refused, which are counted."""

import asyncio
import contextlib
import logging
from collections.abc import Collection
from dataclasses import dataclass

from app import fields
from app.origin import NOWHERE, Origin
from db.model.errors import DatabaseError
from db.model.ids import new_id
from db.pool.queryable import Queryable, Transaction
from db.sql import audits
from db.sql.audits import Audit

log = logging.getLogger(__name__)

SUCCESS = "success"
FLUSH_S = 2.0
MAX_ROWS = 32
"""Of what is counted, a flush writes so many rows; the rest is one more, which says how many it stands for."""
_MOST_KEPT = 1000
_MOST_DETAILS = 1000
"""Characters: a row has 1024, and may add a count."""
_WRITE_S = 2.0


@dataclass(frozen=True)
class Entry:
    """What a row tells. details: of the function `details`. result: `success`, or the id of the error."""

    action: str
    result: str = SUCCESS
    user_id: str = ""
    session_id: str = ""
    details: str = ""
    origin: Origin = NOWHERE


class Journal:
    """The audit log as one process writes it. db: what it has of its own; verbs bring their transactions."""

    def __init__(self, db: Queryable, node_id: str) -> None:
        self._db = db
        self._node_id = node_id
        self._kept: list[Audit] = []
        self._counted: dict[Entry, int] = {}
        self._uncounted = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, tx: Transaction, entry: Entry) -> None:
        """Add a row within a transaction. After its commit: `tell`."""
        await audits.insert(tx, [self._row(entry)])

    def tell(self, entry: Entry, count: int = 1) -> None:
        """The line of the log."""
        told = {"action": entry.action, "result": entry.result, "user": entry.user_id, "session": entry.session_id}
        told |= {"details": entry.details, "client": entry.origin.address, "request_id": entry.origin.request_id}
        log.info("audit", extra={name: value for name, value in told.items() if value} | {"count": count})

    async def record(self, entry: Entry) -> None:
        """Add a row now; while there is no database it is kept, and written when there is one again."""
        self.tell(entry)
        row = self._row(entry)
        try:
            async with asyncio.timeout(_WRITE_S):
                await audits.insert(self._db, [row])
        except (DatabaseError, TimeoutError):
            self._keep([row])

    def note(self, entry: Entry) -> None:
        """Nothing was changed. Of what differs in nothing but the request one row is written, with the number."""
        key = Entry(
            entry.action, entry.result, entry.user_id, entry.session_id, entry.details, Origin(entry.origin.address)
        )
        if key in self._counted or len(self._counted) < _MOST_KEPT:
            self._counted[key] = self._counted.get(key, 0) + 1
        else:
            self._uncounted += 1
        self._flush_soon()

    async def flush(self) -> None:
        """Write what is counted and kept. Raises DatabaseError: then it is kept still, as far as there is room."""
        counted, self._counted = self._counted, {}
        uncounted, self._uncounted = self._uncounted, 0
        ordered = sorted(counted.items(), key=lambda one: -one[1])
        rows, self._kept = self._kept, []
        for entry, count in ordered[:MAX_ROWS]:
            self.tell(entry, count)
            rows.append(self._row(entry, count))
        uncounted += sum(count for _, count in ordered[MAX_ROWS:])
        if uncounted:
            entry = Entry("others", "refused")
            self.tell(entry, uncounted)
            rows.append(self._row(entry, uncounted))
        try:
            await audits.insert(self._db, rows)
        except DatabaseError:
            self._keep(rows)
            raise

    async def close(self) -> None:
        """Write what is left, if the database lets us."""
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(_WRITE_S):
                if self._flushing is not None:
                    await self._flushing
                await self.flush()

    def _keep(self, rows: Collection[Audit]) -> None:
        self._kept += rows
        del self._kept[:-_MOST_KEPT]
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush_now)

    def _flush_now(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        try:
            await self.flush()
        except DatabaseError as error:
            log.warning("the audit log cannot be written yet", extra={"reason": str(error).strip()})

    def _row(self, entry: Entry, count: int = 1) -> Audit:
        more = f" count={count}" if count > 1 else ""
        return Audit(
            id=new_id(),
            user_id=entry.user_id[:26],
            session_id=entry.session_id[:26],
            action=entry.action,
            result=entry.result,
            extra_info=entry.details + more,
            ip_address=entry.origin.address[:64],
            node_id=self._node_id,
            request_id=entry.origin.request_id,
        )


def details(**values: object) -> str:
    """`name=value …` as an entry tells it, at most so much of it; what no database can hold is replaced."""
    text = fields.text_of(values)[:_MOST_DETAILS]
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
