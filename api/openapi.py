"""The OpenAPI document of the operations that there are: made of their declarations, served as an operation itself."""

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from api import shapes
from api.call import Visit
from api.example import filled
from api.operation import Login, Operation, operation
from app.version import VERSION

_REF = "#/components/schemas/{name}"
_ERROR = "Error"
_SAMPLE_ID = "4xp9fdt77pncbef59f4k1qe83o"


class Error(msgspec.Struct):
    """Whatever is refused. id: of Mattermost's."""

    id: str
    message: str
    detailed_error: str
    request_id: str
    status_code: int


def serving(operations: Callable[[], Sequence[Operation]]) -> Operation:
    """The operation that answers the document of all `operations`."""

    @operation("GET", "/openapi.json", login=Login.NONE, answers=dict[str, Any], tagged=True, notes="OpenAPI 3.1")
    async def get_openapi(visit: Visit) -> bytes:
        """What is described here, for programs."""
        document, tag = _encoded(tuple(operations()))
        visit.tag(tag)
        return document

    return get_openapi


@lru_cache(1)
def _encoded(operations: tuple[Operation, ...]) -> tuple[bytes, str]:
    encoded = msgspec.json.encode(document(operations), order="deterministic")
    return encoded, hashlib.sha256(encoded).hexdigest()[:16]


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """OpenAPI 3.1, as a value of JSON."""
    types = [one for each in operations for one in (_answers(each), each.body) if one not in (None, bytes)]
    schemas, components = msgspec.json.schema_components([Error, *types], ref_template=_REF)
    by_type = dict(zip(map(repr, [Error, *types]), schemas, strict=True))
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _described(each, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mmnode", "version": VERSION, "description": "The part of Mattermost's API v4 that is here."},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "MMAUTHTOKEN"},
            },
        },
    }


def _answers(each: Operation) -> Any:
    return shapes.Done if each.answers is None else each.answers


def _described(each: Operation, by_type: dict[str, Any]) -> dict[str, Any]:
    error = {"content": {"application/json": {"schema": by_type[repr(Error)]}}}
    binary = {"type": "string", "format": "binary"}
    schema = binary if each.answers is bytes else by_type[repr(_answers(each))]
    good = {"description": "done", "content": {each.media: {"schema": schema}}}
    found: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "description": ". ".join(text for text in (each.who, each.notes) if text),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in each.parameters
        ]
        + [{"name": name, "in": "query", "schema": schema} for name, schema in each.query.items()],
        "responses": {str(each.status): good, "default": {"description": "refused", **error}},
    }
    if each.tagged:
        found["responses"]["304"] = {"description": "it is as the client has it (If-None-Match)"}
    if each.errors:
        found["x-error-ids"] = sorted(each.errors)
    if each.login is not Login.NONE:
        none: list[dict[str, list[str]]] = [{}] if each.login is Login.OPTIONAL else []
        found["security"] = [*none, {"token": []}, {"cookie": []}]
    if each.body is not None:
        example = filled(each.example.body, lambda name: _SAMPLE_ID if name.endswith(".id") else name.split(".")[0])
        content = {"schema": by_type[repr(each.body)], "example": example}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found
