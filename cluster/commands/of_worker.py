"""What the supervisor asks of a worker, and all that goes by the channel between them: a line of JSON each.

    supervisor -> worker   start, ask, answer, stop
    worker -> supervisor   beat, ready, request, answer

Both ends are of one version. No `repr` shows more than a name, as many hold secrets.
"""

from typing import Any, ClassVar, TypeAlias, get_args

from msgspec import Struct

from app.config.settings import Config
from cluster.commands import of_node

ALL = ("relay", "ws", "api")
SERVING = ("ws", "api")
RELAY = ("relay",)
SLOW_S, QUICK_S = 30.0, 5.0

Body = dict[str, Any]
"""Of an answer: `ok`, and `error` where that is False."""


class Sources(Struct, frozen=True):
    """A configuration and the data sources to use with it: with an embedded database they are not those it names."""

    config: Config
    data_source: str
    replicas: list[str]

    def __repr__(self) -> str:
        """Without passwords."""
        return "<sources>"


class Command(Struct, omit_defaults=True, tag_field="command", tag=str.lower):
    """roles: of whom it is asked. slow: it may take 30 s, beside everything else; others are answered within 5 s."""

    roles: ClassVar[tuple[str, ...]] = ALL
    slow: ClassVar[bool] = False

    def __repr__(self) -> str:
        """Without arguments, as one may be a password."""
        return f"<{self.name()}>"

    @classmethod
    def name(cls) -> str:
        """As messages have it."""
        return str(cls.__struct_config__.tag)

    def limit_s(self) -> float:
        """How long an answer is waited for."""
        return SLOW_S if self.slow else QUICK_S


# Of every worker, answered at once and in turn -----------------------------------------------------------------------


class Status(Command):
    """Figures for `mmnode status`."""


class Database(Command):
    """Figures for `mmnode db status`."""


class Reload(Command):
    """Use another configuration."""

    config: Config


class Purge(Command):
    """Forget all copies of what is in the database."""


class Heads(Command):
    """The newest acknowledged number of the channels that it wrote to last."""

    roles = ("api",)


# With the database, beside everything else; a DatabaseError means that nothing has changed ---------------------------


class Hold(Command):
    """Nothing is written or acknowledged from here on."""


class Release(Command):
    """Writes go on."""


class Verify(Command):
    """Whether these data sources can be gone over to."""

    roles = RELAY
    slow = True

    sources: Sources


class Recycle(Command):
    """Go over to these data sources."""

    slow = True

    sources: Sources


class Failover(Command):
    """Close the present master, let the new one have all that was acknowledged (`db.pool.failover.hand_over`)."""

    roles = RELAY
    slow = True

    driver: str
    to: str
    heads: dict[str, int]
    force: bool
    promote: bool
    closed: bool


class Close(Command):
    """Close the present master for writing."""

    roles = RELAY
    slow = True


# Of the relay, beside everything else --------------------------------------------------------------------------------


class Survey(Command):
    """Whether this connection string leads to a later master than the present one."""

    roles = RELAY
    slow = True

    driver: str
    to: str


class Cluster(Command):
    """The members of the cluster, as this node sees them."""

    roles = RELAY


class Everywhere(Command):
    """Ask it of every other node; a result of each. answer_s: how long they may take."""

    roles = RELAY
    slow = True

    what: of_node.AnyCommand
    answer_s: float = 5.0


class Remove(Command):
    """Take a node out of the cluster."""

    roles = RELAY

    node: str


class Upgrade(Command):
    """Declare that the nodes are being brought to another version, or that this is done."""

    roles = RELAY

    begin: bool


class Unlock(Command):
    """No delay any more after wrong passwords, for this user name or address."""

    roles = RELAY

    user: str


class Audit(Command):
    """A row of the audit log, kept while there is no database."""

    roles = RELAY

    action: str
    result: str
    details: str


OfDatabase: TypeAlias = Hold | Release | Verify | Recycle | Failover | Close
OfRelay: TypeAlias = Survey | Cluster | Everywhere | Remove | Upgrade | Unlock | Audit
AtOnce: TypeAlias = Status | Database | Reload | Purge | Heads
AnyCommand: TypeAlias = AtOnce | OfDatabase | OfRelay
"""All of them; what does them matches on it, so that mypy names the one that is left out."""
COMMANDS: tuple[type[Command], ...] = get_args(AnyCommand)


# The channel ---------------------------------------------------------------------------------------------------------


class Message(Struct, omit_defaults=True, tag_field="kind", tag=str.lower):
    """What goes by the channel."""

    def __repr__(self) -> str:
        """Without what it holds."""
        return f"<{self.__struct_config__.tag}>"


class Start(Message):
    """The first one: how to work.

    incarnation: grows with each start of this worker. keys: of CURVE, public and secret; the relay's alone, with high
    availability on.
    """

    sources: Sources
    node_id: str
    runtime: str
    data_dir: str
    incarnation: int
    workers: int
    ws_workers: int
    keys: list[str] = []


class Ask(Message):
    """A command; `Answer` has its id."""

    id: int
    command: AnyCommand


class Answer(Message):
    """What came of a command or a request."""

    id: int
    body: Body


class Stop(Message):
    """End. at_once: without the grace of a drain."""

    at_once: bool = False


class Beat(Message):
    """I live: twice a second."""


class Ready(Message):
    """I serve."""


class Request(Message):
    """What an administrator, another node or the relay itself asks of the node; `Answer` has its id."""

    id: int
    command: of_node.AnyCommand


ToWorker: TypeAlias = Start | Ask | Answer | Stop
ToSupervisor: TypeAlias = Beat | Ready | Request | Answer
