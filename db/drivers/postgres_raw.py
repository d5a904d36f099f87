"""PostgreSQL: what a connection of ours is beside what it is of psycopg."""

import logging
from typing import Any

import psycopg

from db.model.board import Term
from db.model.errors import ConnectionLost

log = logging.getLogger(__name__)


class RawConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """began_read_only: whether the server took no writes when the connection was made. idle_since: by the loop's clock.

    term: see `Connection`. mark: by which we know that a session is that of this connection (`postgres_session.py`).
    unconfirmed: a commit did not wait until the synchronous standby had it, because somebody cancelled that wait.
    """

    began_read_only = False
    term = Term()
    mark = ""
    idle_since = 0.0
    unconfirmed = False

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """What the server says beside its answers. A commit that is on no standby says so by a warning only."""
        source = notice.source_file
        if notice.severity_nonlocalized == "WARNING" and (
            source.endswith("syncrep.c") if source else notice.sqlstate == "01000"
        ):
            self.unconfirmed = True

    def confirm(self) -> None:
        """Raises ConnectionLost for such a commit: its outcome is unknown, because a failover may lose it."""
        if self.unconfirmed:
            self.unconfirmed = False
            log.warning("a commit was not confirmed by the synchronous standby: it counts as unknown until it is")
            raise ConnectionLost("the commit was not confirmed by the synchronous standby")
