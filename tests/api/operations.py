"""All operations, derived from the routes of the application, and for each a request that is good in every part.

An operation that is added to the routes must get an entry in `_EXAMPLES`, else the tests that walk them fail.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, cast, get_args

import msgspec
import requests

from api import params
from api.asgi import routes
from app.context import Context
from tests.api.world import World
from tests.rig.rest import PASSWORD, Rest, unique

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Operation:
    """A method on a path. body: the type that the handler reads, None when it reads none. query: the keys it reads."""

    method: str
    template: str
    body: Any
    query: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`POST /api/v4/posts`."""
        return f"{self.method} {self.template}"

    @property
    def parameters(self) -> list[str]:
        """The names of what is variable in the path."""
        return [part[1:-1] for part in self.template.split("/") if part.startswith("{")]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the body with their types; none for a body that is an array."""
        if isinstance(self.body, type) and issubclass(self.body, msgspec.Struct):
            return {field.encode_name: _given(field.type) for field in msgspec.structs.fields(self.body)}
        return {}


def _given(wanted: Any) -> Any:
    """The type of a field where it is given."""
    types = [one for one in get_args(wanted) if one is not msgspec.UnsetType]
    return types[0] if isinstance(wanted, UnionType) and len(types) == 1 else wanted


def operations() -> list[Operation]:
    """Every method of every route."""
    found = []
    for template, resource, suffix in routes(cast(Context, None)):
        for method in _METHODS:
            handler = getattr(resource, "_".join(["on", method.lower(), *([suffix] if suffix else [])]), None)
            if handler is not None:
                found.append(Operation(method, template, _body_type(handler), tuple(sorted(_query_keys(handler)))))
    return found


def _body_type(handler: Callable[..., Any]) -> Any:
    """The type that the handler gives to `bodies.read`."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(handler)))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "bodies.read":
            names = vars(sys.modules[handler.__module__])
            return eval(ast.unparse(node.args[2]), names)
    return None


def _query_keys(reader: Callable[..., Any]) -> set[str]:
    """The keys that a handler, or a function of its module or of `api/params.py`, gives to readers of the query."""
    found: set[str] = set()
    names = vars(sys.modules[reader.__module__])
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(reader)))):
        if not isinstance(node, ast.Call) or not node.args or ast.unparse(node.args[0]) != "req":
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id="params"), attr=name):
                called = getattr(params, name)
            case ast.Name(id=name) if callable(names.get(name)) and names[name].__module__ == reader.__module__:
                called = names[name]
            case _:
                continue
        match node.args[1:]:
            case [ast.Constant(value=str(key)), *_] if called.__module__ == params.__name__:
                found.add(key)
            case _:
                found |= _query_keys(called)
    return found


EVERY = operations()
# What takes something away that other tests count on: test_administration.py, each time with a victim of its own.
ENDING = frozenset(
    f"{method} /api/v4{path}"
    for method, path in (
        ("POST", "/users/{user_id}/sessions/revoke"),
        ("POST", "/users/{user_id}/sessions/revoke/all"),
        ("POST", "/users/sessions/revoke/all"),
        ("PUT", "/users/{user_id}/active"),
        ("PUT", "/users/{user_id}/roles"),
        ("DELETE", "/channels/{channel_id}/members/{user_id}"),
        ("DELETE", "/teams/{team_id}/members/{user_id}"),
        ("PUT", "/channels/{channel_id}/members/{user_id}/roles"),
        ("PUT", "/channels/{channel_id}/members/{user_id}/schemeRoles"),
        ("PUT", "/teams/{team_id}/members/{user_id}/roles"),
        ("PUT", "/teams/{team_id}/members/{user_id}/schemeRoles"),
        ("DELETE", "/posts/{post_id}"),
    )
)
ALL = [operation for operation in EVERY if operation.name not in ENDING]
WITH_BODY = [operation for operation in ALL if operation.body is not None]
WITH_PARAMETERS = [operation for operation in ALL if operation.parameters]


@dataclass(frozen=True)
class Example:
    """A good request: what is variable in its path, its query and its body."""

    parameters: dict[str, str]
    body: Any = None
    query: str = ""


def _sign_up(_: World, __: Rest) -> Example:
    name = unique("new")
    body = {
        "username": name,
        "email": f"{name}@example.com",
        "password": PASSWORD,
        "nickname": "nick",
        "first_name": "First",
        "last_name": "Last",
        "position": "Dean",
        "locale": "en",
        "props": {"key": "value"},
        "notify_props": {"email": "true"},
        "timezone": {"manualTimezone": "Europe/Berlin"},
        "allow_marketing": False,
    }
    return Example({}, body)


def _log_in(world: World, _: Rest) -> Example:
    user = world.stranger.user
    return Example({}, {"id": user["id"], "login_id": user["username"], "password": PASSWORD, "device_id": "phone"})


def _log_out(world: World, who: Rest) -> Example:
    return Example({})


def _new_team(_: World, __: Rest) -> Example:
    body = {
        "name": unique("team"),
        "display_name": "A team",
        "type": "O",
        "description": "What it is",
        "company_name": "Company",
        "allowed_domains": "example.com",
        "allow_open_invite": False,
    }
    return Example({}, body)


def _new_channel(world: World, _: Rest) -> Example:
    body = {
        "team_id": world.team["id"],
        "name": unique("channel"),
        "display_name": "A channel",
        "type": "P",
        "header": "Header",
        "purpose": "Purpose",
    }
    return Example({}, body)


def _new_post(world: World, _: Rest) -> Example:
    body = {
        "channel_id": world.private["id"],
        "message": "hello",
        "root_id": world.post["id"],
        "type": "custom_test",
        "props": {"key": "value"},
        "pending_post_id": unique("pending"),
        "file_ids": [],
    }
    return Example({}, body)


def _edit(world: World, _: Rest) -> dict[str, Any]:
    return {"message": unique("an edited post "), "is_pinned": False, "props": {"key": "value"}, "file_ids": []}


def _reaction(world: World, who: Rest) -> Example:
    user_id = who.user.get("id", world.member.id)
    return Example({}, {"user_id": user_id, "post_id": world.post["id"], "emoji_name": unique("emoji")})


def _user(_: World, who: Rest) -> dict[str, str]:
    return {"user_id": who.user.get("id", "me")}


# By operation: what the user `who` asks for. Where a user stands in the path it is `who`.
_EXAMPLES: dict[str, Callable[[World, Rest], Example]] = {
    "POST /api/v4/users": _sign_up,
    "POST /api/v4/users/login": _log_in,
    "POST /api/v4/users/logout": _log_out,
    "POST /api/v4/users/ids": lambda world, _: Example({}, [world.member.id]),
    "GET /api/v4/users/{user_id}": lambda world, _: Example({"user_id": world.member.id}),
    "GET /api/v4/users/username/{username}": lambda world, _: Example({"username": world.member.user["username"]}),
    "POST /api/v4/users/{user_id}/typing": lambda world, who: Example(
        _user(world, who), {"channel_id": world.private["id"], "parent_id": world.post["id"]}
    ),
    "GET /api/v4/users/{user_id}/teams": lambda world, who: Example(_user(world, who)),
    "GET /api/v4/users/{user_id}/teams/{team_id}/channels": lambda world, who: Example(
        {**_user(world, who), "team_id": world.team["id"]}
    ),
    "GET /api/v4/users/{user_id}/teams/{team_id}/channels/members": lambda world, who: Example(
        {**_user(world, who), "team_id": world.team["id"]}
    ),
    "GET /api/v4/users/{user_id}/channels/{channel_id}/posts/unread": lambda world, who: Example(
        {**_user(world, who), "channel_id": world.private["id"]}
    ),
    "GET /api/v4/users/{user_id}/sessions": lambda world, who: Example(_user(world, who)),
    "POST /api/v4/users/{user_id}/reset_failed_attempts": lambda world, who: Example(_user(world, who)),
    "GET /api/v4/users/{user_id}/audits": lambda world, who: Example(_user(world, who)),
    "GET /api/v4/audits": lambda _, __: Example({}),
    "GET /api/v4/users/{user_id}/status": lambda world, who: Example(_user(world, who)),
    "PUT /api/v4/users/{user_id}/status": lambda world, who: Example(
        _user(world, who), {**_user(world, who), "status": "dnd", "dnd_end_time": 0}
    ),
    "POST /api/v4/users/status/ids": lambda world, _: Example({}, [world.member.id]),
    "GET /api/v4/channels/{channel_id}/stats": lambda world, _: Example({"channel_id": world.private["id"]}),
    "GET /api/v4/config": lambda _, __: Example({}),
    "POST /api/v4/teams": _new_team,
    "GET /api/v4/teams/name/{name}": lambda world, _: Example({"name": world.team["name"]}),
    "POST /api/v4/teams/{team_id}/members": lambda world, _: Example(
        {"team_id": world.team["id"]}, {"team_id": world.team["id"], "user_id": world.teammate.id}
    ),
    "GET /api/v4/teams/{team_id}/channels/name/{channel_name}": lambda world, _: Example(
        {"team_id": world.team["id"], "channel_name": world.private["name"]}
    ),
    "POST /api/v4/channels": _new_channel,
    "POST /api/v4/channels/direct": lambda world, who: Example(
        {}, [who.user.get("id", world.member.id), world.member.id]
    ),
    "GET /api/v4/channels/{channel_id}": lambda world, _: Example({"channel_id": world.private["id"]}),
    "GET /api/v4/channels/{channel_id}/members": lambda world, _: Example({"channel_id": world.private["id"]}),
    "POST /api/v4/channels/{channel_id}/members": lambda world, _: Example(
        {"channel_id": world.private["id"]}, {"user_id": world.member.id}
    ),
    "GET /api/v4/channels/{channel_id}/posts": lambda world, _: Example({"channel_id": world.private["id"]}),
    "POST /api/v4/channels/members/{user_id}/view": lambda world, who: Example(
        _user(world, who), {"channel_id": world.private["id"], "prev_channel_id": world.public["id"]}
    ),
    "POST /api/v4/posts": _new_post,
    "GET /api/v4/posts/{post_id}": lambda world, _: Example({"post_id": world.post["id"]}),
    "GET /api/v4/posts/{post_id}/thread": lambda world, _: Example({"post_id": world.post["id"]}),
    "PUT /api/v4/posts/{post_id}": lambda world, who: Example(
        {"post_id": world.post["id"]}, {"id": world.post["id"], **_edit(world, who)}
    ),
    "PUT /api/v4/posts/{post_id}/patch": lambda world, who: Example({"post_id": world.post["id"]}, _edit(world, who)),
    "POST /api/v4/posts/{post_id}/pin": lambda world, _: Example({"post_id": world.post["id"]}),
    "POST /api/v4/posts/{post_id}/unpin": lambda world, _: Example({"post_id": world.post["id"]}),
    "GET /api/v4/channels/{channel_id}/pinned": lambda world, _: Example({"channel_id": world.private["id"]}),
    "POST /api/v4/reactions": _reaction,
    "GET /api/v4/posts/{post_id}/reactions": lambda world, _: Example({"post_id": world.post["id"]}),
    "POST /api/v4/posts/ids/reactions": lambda world, _: Example({}, [world.post["id"]]),
    "DELETE /api/v4/users/{user_id}/posts/{post_id}/reactions/{emoji_name}": lambda world, who: Example(
        {**_user(world, who), "post_id": world.post["id"], "emoji_name": "+1"}
    ),
    "GET /api/v4/system/ping": lambda _, __: Example({}),
    "HEAD /api/v4/system/ping": lambda _, __: Example({}),
    "GET /api/v3/general/ping": lambda _, __: Example({}),
    "HEAD /api/v3/general/ping": lambda _, __: Example({}),
    "GET /api/v4/websocket": lambda _, __: Example({}),
    "GET /api/v4/config/client": lambda _, __: Example({}, query="?format=old"),
    "POST /api/v4/config/reload": lambda _, __: Example({}),
    "POST /api/v4/database/recycle": lambda _, __: Example({}),
    "POST /api/v4/caches/invalidate": lambda _, __: Example({}),
    "GET /api/v4/cluster/status": lambda _, __: Example({}),
    "GET /api/v4/license/client": lambda _, __: Example({}, query="?format=old"),
}


def example(operation: Operation, world: World, who: Rest) -> Example:
    """A request that is good in every part, whether `who` may make it or not."""
    assert operation.name in _EXAMPLES, f"{operation.name} needs an example here"
    return _EXAMPLES[operation.name](world, who)


def send(
    who: Rest, operation: Operation, parameters: dict[str, str], *, query: str = "", **options: Any
) -> requests.Response:
    """Make a request. The parameters stand in the path as they are."""
    url = who.url + operation.template.format(**parameters) + query
    return who.session.request(operation.method, url, timeout=30, **options)
