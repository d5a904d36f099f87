"""Administrators without a database: who was one when the outbox was last polled may still operate the node (§6).

The cache of sessions serves nothing that it cannot prove, and a master that is dead proves nothing. But reload and
recycle are what such a time needs. So each api worker remembers the sessions of all administrators, reads them anew
every few seconds while there is a master, and believes them for 10 minutes after that, except what was told to have
changed since it was read. It is asked by what operates the node only, and only while the master is lost.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from app.permissions import Actor, can
from app.roles import ADMINISTRATOR
from db.model import shards
from db.model.board import boottime_ns
from db.model.entities import Session, User
from db.model.errors import DatabaseError
from db.model.ids import UserId
from db.model.shards import Tokens
from db.pool.pool import Database
from db.sql import sessions, users

EVERY_S = 5.0
LOST_S = 2.0
"""By then it is known that a master is lost, also on a busy machine."""
_LOOK_S = 0.05
PEOPLE_S = 60.0
"""Who is an administrator is asked less often: it may take a look at every account."""
BELIEVED_S = 600.0
MOST = 500
"""Sessions of administrators that are remembered, those used last."""


@dataclass(frozen=True)
class _Known:
    """tokens: of the session and its user, when they were read. at_ns: when that was."""

    session: Session
    user: User
    tokens: Tokens
    at_ns: int


class Administrators:
    """`run` until cancelled."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, _Known] = {}
        self._people: list[UserId] = []
        self._asked_ns = 0

    async def run(self) -> None:
        """Read them again and again, while there is a master."""
        while True:
            if not self._db.board.master_lost():
                with suppress(DatabaseError):
                    await self.read()
            await asyncio.sleep(EVERY_S)

    async def read(self) -> None:
        """Read them now. Raises DatabaseError."""
        began_ns = boottime_ns()
        if began_ns - self._asked_ns > PEOPLE_S * 1e9:
            self._people = await users.find_ids_by_role(self._db, ADMINISTRATOR, MOST)
            self._asked_ns = began_ns
        before = {hashed: self._tokens(known.session, known.user) for hashed, known in self._known.items()}
        found = await sessions.find_of_users(self._db, self._people, MOST)
        self._known = {}
        for session, user in found:
            if not user.delete_at and can(Actor(session, user), "manage_system"):
                tokens = before.get(session.token_hash) or self._tokens(session, user)
                self._known[session.token_hash] = _Known(session, user, tokens, began_ns)

    def note(self, session: Session, user: User) -> None:
        """This session is good by a copy that is proved, or by the master."""
        if self._db.board.master_lost() or not can(Actor(session, user), "manage_system"):
            return
        if user.id not in self._people:
            self._people.append(user.id)  # since they were asked for, and for no other reason is it to be forgotten
        self._known[session.token_hash] = _Known(session, user, self._tokens(session, user), boottime_ns())
        if len(self._known) > 2 * MOST:
            del self._known[next(iter(self._known))]

    def find(self, token_hash: str, now_ms: int) -> Actor | None:
        """Who bears this token, if that is an administrator and there is no master to ask."""
        known = self._known.get(token_hash)
        if known is None or not self._db.board.master_lost() or boottime_ns() - known.at_ns > BELIEVED_S * 1e9:
            return None
        if known.session.expires_at <= now_ms or self._tokens(known.session, known.user) != known.tokens:
            return None
        return Actor(known.session, known.user)

    async def find_when_lost(self, token_hash: str, now_ms: Callable[[], int]) -> Actor | None:
        """As `find`, for who could not be looked up: waits a moment until it is known whether the master is lost."""
        until = boottime_ns() + int(LOST_S * 1e9)
        while not self._db.board.master_lost() and boottime_ns() < until:
            await asyncio.sleep(_LOOK_S)
        return self.find(token_hash, now_ms())

    def _tokens(self, session: Session, user: User) -> Tokens:
        """Without that of everything: it also changes when somebody could not say what changed."""
        return self._db.stamps.take((shards.session(session.id), shards.user(user.id)))[1:]
