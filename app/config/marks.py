"""What a field of the configuration says of itself beside its type: `listen_address: Restart[PerNode[str]]`."""

from enum import Enum, auto
from typing import Annotated, Any, TypeVar, get_origin

import msgspec

T = TypeVar("T")


class Applies(Enum):
    """What makes a changed value count. Each field says one: a default would be wrong for what is read once."""

    LIVE = "reload"
    RECYCLE = "recycle"
    RESTART = "restart"


class Mark(Enum):
    """SECRET: masked wherever it would show. PER_NODE: may differ between the nodes of a cluster."""

    SECRET = auto()
    PER_NODE = auto()


Live = Annotated[T, Applies.LIVE]
"""A reload applies it: it is read at each use, or watched (`app/config/live.py`)."""
Recycle = Annotated[T, Applies.RECYCLE]
"""A reload reads it; it counts when the connections to the database are recycled."""
Restart = Annotated[T, Applies.RESTART]
"""Read once at start: a reload reports it as pending and goes on with the old value."""
Secret = Annotated[T, Mark.SECRET]
PerNode = Annotated[T, Mark.PER_NODE]


def marks_of(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    """What stands beside the type."""
    return field.type.__metadata__ if get_origin(field.type) is Annotated else ()
