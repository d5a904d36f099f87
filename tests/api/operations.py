"""All operations, as they are declared, and for each a request that is good in every part: its example, filled in."""

from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

import msgspec
import requests

from api.example import PATHS, filled
from api.operation import Operation
from api.table import EVERY as EVERY
from tests.api.world import World
from tests.rig.rest import PASSWORD, Rest, unique

# What takes something away that other tests count on: test_administration.py, each time with a victim of its own.
ENDING = frozenset(operation.title for operation in EVERY if operation.example.takes_away)
ALL = [operation for operation in EVERY if operation.title not in ENDING]
WITH_BODY = [operation for operation in ALL if operation.body is not None]
WITH_PARAMETERS = [operation for operation in ALL if operation.parameters]


def fields_of(operation: Operation) -> dict[str, Any]:
    """The fields of the body with their types; none for a body that is an array."""
    return fields_in(operation.body)


def fields_in(kind: Any) -> dict[str, Any]:
    """The fields of a type with their types; none of what is no Struct."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.encode_name: _given(field.type) for field in msgspec.structs.fields(kind)}
    return {}


def _given(wanted: Any) -> Any:
    """The type of a field where it is given, without its bounds."""
    while get_origin(wanted) is Annotated:
        wanted = get_args(wanted)[0]
    types = [one for one in get_args(wanted) if one is not msgspec.UnsetType]
    return types[0] if isinstance(wanted, UnionType) and len(types) == 1 else wanted


@dataclass(frozen=True)
class Request:
    """A good request: what is variable in its path, its query and its body."""

    parameters: dict[str, str]
    body: Any = None
    query: str = ""


def example(operation: Operation, world: World, who: Rest) -> Request:
    """A request that is good in every part, whether `who` may make it or not. A user in its path is `who`."""
    new = unique("")

    def named(name: str) -> str:
        match name.split("."):
            case ["new"]:
                return new
            case ["none"]:
                return "n" * 26
            case ["password"]:
                return PASSWORD
            case ["self"]:
                return str(who.user.get("id", "me"))
            case ["self", field]:
                return str((who.user or world.member.user)[field])
            case [role, field]:
                found = getattr(world, role)
                return str((found.user if isinstance(found, Rest) else found)[field])
        raise KeyError(name)

    of = operation.example
    parts = {name: of.path.get(name) or PATHS[name] for name in operation.parameters}
    return Request(filled(parts, named), filled(of.body, named), of.query)


def send(
    who: Rest, operation: Operation, parameters: dict[str, str], *, query: str = "", **options: Any
) -> requests.Response:
    """Make a request. The parameters stand in the path as they are. What refuses it must be declared."""
    url = who.url + operation.path.format(**parameters) + query
    response = who.session.request(operation.method, url, timeout=30, **options)
    if 400 <= response.status_code < 500 and operation.method != "HEAD":
        error_id = response.json()["id"]
        assert error_id.startswith("api.context.") or error_id in operation.errors, f"{operation.title}: {error_id}"
    return response
