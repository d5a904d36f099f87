"""What a node may be asked, whichever way it comes: by the control socket, an administrator's worker, another node.

A class is a command: its name in messages is the class's in small letters, its fields are the arguments, its docstring
is the help of the command line. Nodes and command lines of two versions work together: so arguments are only added,
with a default, and unknown ones are ignored.

    {"command": "recycle", "cluster": true}     control socket, and from a worker to the supervisor
    command: recycle, arguments: {}             between nodes (`cluster/peers/bodies.py`)

How to add one: docs/recipes-cmd18.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast, get_args

import msgspec
from msgspec import Meta, Struct
from msgspec.inspect import Metadata, Type, type_info

By = Literal["operator", "worker", "peer"]
"""operator: the command line. worker: an administrator, by the API. peer: another node, or the node's own relay."""
OF_OPERATORS: frozenset[By] = frozenset({"operator"})
OF_ADMINISTRATORS: frozenset[By] = frozenset({"operator", "worker"})
OF_ALL: frozenset[By] = frozenset({"operator", "worker", "peer"})

EveryNode = Annotated[bool, Meta(description="all nodes, with a result of each")]
Force = Annotated[bool, Meta(description="although the old master does not answer, or acknowledged posts are lost")]
_Place = Annotated[str, Meta(max_length=4096)]


class BadCommand(Exception):
    """What cannot be done as it was said. Its text repeats no argument: one may be a password."""


class Command(Struct, omit_defaults=True, tag_field="command", tag=str.lower):
    """by: who may ask. audit: the action in the audit log; None for what only reads.

    told: arguments that the audit log shows; no secret. line: how the command line says it.
    """

    by: ClassVar[frozenset[By]]
    audit: ClassVar[str | None]
    told: ClassVar[tuple[str, ...]] = ()
    line: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        """Without arguments, as one may be a password."""
        return f"<command {self.name()}>"

    @classmethod
    def name(cls) -> str:
        """As messages have it."""
        return str(cls.__struct_config__.tag)

    def arguments(self) -> dict[str, Any]:
        """Those that are not at their defaults, for a message beside the name."""
        found = cast(dict[str, Any], msgspec.to_builtins(self))
        del found["command"]
        return found


class ForEveryNode(Command):
    """May be asked of all nodes: `cluster` is for the node that was asked first, the others get the bare command."""

    cluster: EveryNode = False


class Status(Command):
    """What the running node does."""

    by = OF_OPERATORS
    audit = None
    line = ("status",)


class Drain(Command):
    """Stop the running node in good order."""

    by = OF_OPERATORS
    audit = "drain"
    line = ("drain", "cluster drain")


class Reload(ForEveryNode):
    """Load the configuration file again: what can be is applied, what waits for a recycle or a restart is listed."""

    by = OF_ALL
    audit = "configReload"
    told = ("cluster",)
    line = ("config reload",)


class Save(Command):
    """Keep values of the configuration in its file, and load it again."""

    by = frozenset[By]({"worker"})
    audit = "updateConfig"

    sections: Annotated[dict[str, dict[str, Any]], Meta(max_length=64, extra={"secret": True})]


class Environment(Command):
    """Which keys of the configuration the environment decides: workers have none of it."""

    by = frozenset[By]({"worker"})
    audit = None


class Diff(Command):
    """The configuration file against the running node: which keys differ, and what would apply them."""

    by = OF_OPERATORS
    audit = None
    line = ("config diff",)


class Database(Command):
    """The master and the replicas, and how the workers use them."""

    by = OF_OPERATORS
    audit = None
    line = ("db status",)


class Recycle(ForEveryNode):
    """New connections to what the configuration names; no request fails. Another master is one for all nodes."""

    by = OF_ALL
    audit = "databaseRecycle"
    told = ("cluster", "force")
    line = ("db recycle",)

    force: Force = False


class Failover(Command):
    """Another master for all nodes: closes the old one, waits for the new one, promotes it, moves all workers."""

    by = OF_OPERATORS
    audit = "databaseFailover"
    told = ("force",)
    line = ("db failover",)

    to: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=16_384,
            description="connection string of the new master, in a file or on standard input if it has a password",
            extra={"secret": True},
        ),
    ]
    force: Force = False


class Purge(ForEveryNode):
    """Forget all copies of what is in the database."""

    by = OF_ALL
    audit = "invalidateCaches"
    told = ("cluster",)


class Cluster(Command):
    """Every node of the cluster with its state, and why."""

    by = OF_ADMINISTRATORS
    audit = None
    line = ("cluster status",)


class Remove(Command):
    """Take a node out of the cluster."""

    by = OF_OPERATORS
    audit = "clusterRemove"
    told = ("node",)
    line = ("cluster remove",)

    node: Annotated[str, Meta(min_length=1, max_length=64, description="id of the node")]


class Upgrade(Command):
    """Declare that the nodes are being brought to another version, or that this is done."""

    by = OF_OPERATORS
    audit = "clusterUpgrade"
    told = ("begin",)
    line = ("cluster upgrade",)

    begin: Annotated[bool, Meta(description="begin or end", extra={"words": ("begin", "end")})]


class Unlock(Command):
    """No delay any more after wrong passwords."""

    by = OF_OPERATORS
    audit = "resetPasswordFailedAttempts"
    told = ("user",)
    line = ("user unlock",)

    user: Annotated[str, Meta(min_length=1, max_length=256, description="user name or email address")]


class Switch(Command, omit_defaults=False):
    """A step of a change of the master that another node leads, or after which this one comes by itself."""

    by = frozenset[By]({"peer"})
    audit = "databaseFollow"

    step: Literal["hold", "close", "follow", "release"]
    store: bool = False
    host: _Place = ""
    port: _Place = ""
    database: _Place = ""


AnyCommand: TypeAlias = (
    Status
    | Drain
    | Reload
    | Save
    | Environment
    | Diff
    | Database
    | Recycle
    | Failover
    | Purge
    | Cluster
    | Remove
    | Upgrade
    | Unlock
    | Switch
)
"""All of them; what does them matches on it, so that mypy names the one that is left out."""
COMMANDS: tuple[type[Command], ...] = get_args(AnyCommand)
_BY_NAME = {one.name(): one for one in COMMANDS}


def read(name: object, arguments: Mapping[str, Any], by: By) -> AnyCommand:
    """The command that a message asks for. Arguments that it does not have are ignored. Raises BadCommand.

    From a peer a `ForEveryNode` is for this node alone: it was asked of all by the one that asks.
    """
    if not isinstance(name, str):
        raise BadCommand("not a command: it has no name")
    kind = _BY_NAME.get(name)
    if kind is None or by not in kind.by:
        raise BadCommand(f"unknown command {name[:64]!r}")
    if by == "peer" and issubclass(kind, ForEveryNode):
        arguments = {}
    known = {key: arguments[key] for key in kind.__struct_fields__ if key in arguments}
    try:
        return cast(AnyCommand, msgspec.convert(known, kind))
    except msgspec.ValidationError as error:
        raise BadCommand(f"{name}: {why(error)}") from None


def why(error: msgspec.ValidationError) -> str:
    """What is wrong, without what was sent: msgspec repeats a value that is none of those that are allowed."""
    said, _, place = str(error).partition(" - at ")
    said = "Invalid value" if said.startswith("Invalid") else said
    return f"{said} - at {place}" if place else said


@dataclass(frozen=True)
class Argument:
    """words: what is said for True and False on the command line. secret: may hold a password."""

    name: str
    type: Type
    required: bool
    told: str
    words: tuple[str, ...]
    secret: bool


def arguments_of(kind: type[Command]) -> Iterator[Argument]:
    """What a command takes."""
    for one in msgspec.structs.fields(kind):
        info = type_info(one.type)
        about = info if isinstance(info, Metadata) else Metadata(info)
        told, extra = (about.extra_json_schema or {}).get("description", ""), about.extra or {}
        yield Argument(one.name, about.type, one.required, told, extra.get("words", ()), extra.get("secret", False))


def offered() -> Iterator[tuple[str, type[Command]]]:
    """What the command line has: the words, and the command that they are."""
    for kind in COMMANDS:
        for words in kind.line:
            yield words, kind
