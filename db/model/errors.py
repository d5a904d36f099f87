"""What can go wrong below, in a few kinds that the layers above can act on."""


class DatabaseError(Exception):
    """Base of all errors that leave this folder."""


class Unavailable(DatabaseError):
    """No connection, a lost connection or a timeout: nothing is known to be wrong with the request.

    For a write the outcome is unknown: it must be retried by its idempotency key, never blindly.
    """


class ConnectionLost(Unavailable):
    """The connection broke or its server stopped being the master: another connection may do at once."""


class Duplicate(DatabaseError):
    """A unique constraint refused the row. `constraint` is its name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class Deadlock(DatabaseError):
    """The server ended this transaction to free others: to be tried again as it is."""


class Locked(Deadlock):
    """A lock that somebody held was not to be had in time; nothing was committed. To be tried again, others first."""


class Wrong(Unavailable):
    """A server that must not be used: a former master, a replica in the master's place, another installation."""


class Refused(Wrong):
    """What stands between us and the server cannot be used before an operator changes it: waiting is in vain."""


class BadValue(DatabaseError):
    """The database cannot hold the value (a NUL character, a number or text out of range)."""


class Busy(DatabaseError):
    """A bounded queue is full: the caller is to come back later."""


class Fenced(DatabaseError):
    """Somebody else has the lease that this work was done under: it is undone, and must not go on."""


class StatementFailed(DatabaseError):
    """Any other answer: a fault of ours. `sqlstate` is the code of the server."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{sqlstate}: {message}")
        self.sqlstate = sqlstate
