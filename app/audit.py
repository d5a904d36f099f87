"""The audit log: who did what, from where, and what came of it. Table `audits`, and a line of the log for each row.

    @audited(action, *names)          a verb (ctx, actor, …) whose row tells these of its arguments
      ├─ first write of the verb      the row goes into its transaction: neither is there without the other
      ├─ effect outside the database  the row is written before the verb returns
      └─ nothing changed, refused     `Journal.note`: counted, and written every 2 s, so that a flood is a few rows

Names of actions are Mattermost's. Values of secrets are nobody's arguments to tell: a verb names what is told.
"""

import copy
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from app.context import Context
from app.errors import AppError
from app.journal import Entry, Journal, details
from app.permissions import Actor
from db.drivers import Parameters, Row
from db.model.errors import DatabaseError
from db.model.ids import SessionId, UserId
from db.model.shards import Shard
from db.pool.queryable import Queryable, RowShards, Transaction, Work

log = logging.getLogger(__name__)
A = TypeVar("A", Actor, Actor | None)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _Accompanied:
    """A database whose first write takes a row of the audit log along."""

    def __init__(self, db: Queryable, journal: Journal, entry: Entry) -> None:
        self._db = db
        self._journal = journal
        self._entry = entry
        self.written = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def transact(self, work: Work[R]) -> R:
        """See `Queryable`."""
        if self.written:
            return await self._db.transact(work)

        async def both(tx: Transaction) -> R:
            result = await work(tx)
            await self._journal.write(tx, self._entry)
            return result

        result = await self._db.transact(both)
        self.written = True
        self._journal.tell(self._entry)
        return result

    async def execute(self, sql: str, parameters: Parameters = (), *, changes: Collection[Shard] = ()) -> int:
        """See `Queryable`."""
        return await self.transact(lambda tx: tx.execute(sql, parameters, changes=changes))

    async def write(
        self, sql: str, parameters: Parameters = (), *, changes: Collection[Shard] = (), of: RowShards | None = None
    ) -> list[Row]:
        """See `Queryable`."""
        return await self.transact(lambda tx: tx.write(sql, parameters, changes=changes, of=of))


Verb = Callable[Concatenate[Context, A, P], Awaitable[T]]


def audited(action: str, *names: str, outside: bool = False) -> Callable[[Verb[A, P, T]], Verb[A, P, T]]:
    """Of each call of the verb a row is written: see the module. names: arguments that it tells, `new.username` too.

    outside: what it does is not in the database. A verb that may be called without an actor has an argument `origin`.
    """

    def wrap(verb: Verb[A, P, T]) -> Verb[A, P, T]:
        signature = inspect.signature(verb)

        @functools.wraps(verb)
        async def run(ctx: Context, actor: A, /, *args: P.args, **kwargs: P.kwargs) -> T:
            given = signature.bind(ctx, actor, *args, **kwargs)
            given.apply_defaults()
            entry = _entry(action, actor, given.arguments, names)
            db = _Accompanied(ctx.db, ctx.audit, entry)
            accompanied = copy.copy(ctx)
            accompanied.db = cast(Any, db)
            try:
                result = await verb(accompanied, actor, *args, **kwargs)
            except Exception as error:
                ctx.audit.note(_refused(entry, error))
                raise
            if outside:
                await ctx.audit.record(entry)
            elif not db.written:
                ctx.audit.note(entry)
            return result

        return run

    return wrap


def _entry(action: str, actor: Actor | None, arguments: dict[str, Any], names: Collection[str]) -> Entry:
    told = {}
    for name in names:
        first, *rest = name.split(".")
        told[name.rpartition(".")[2]] = functools.reduce(getattr, rest, arguments[first])
    return Entry(
        action,
        user_id=actor.user_id if actor is not None else UserId(""),
        session_id=actor.session.id if actor is not None else SessionId(""),
        details=details(**told),
        origin=actor.origin() if actor is not None else arguments["origin"],
    )


def _refused(entry: Entry, error: Exception) -> Entry:
    kind = "unavailable" if isinstance(error, DatabaseError) else "fault"
    result = error.id if isinstance(error, AppError) else kind
    return Entry(entry.action, result, entry.user_id, entry.session_id, entry.details, entry.origin)
