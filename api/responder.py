"""The way of a request through its operation, put together once: who asks, what they ask, whether they may.

405, 501, 404 <── table ──> responder: 401 ──> 400 path, query, body ──> 403, 404 rules ──> handler ──> JSON, 304
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import falcon
from falcon.asgi import Request, Response

from api import bodies
from api.auth import Authenticator
from api.call import Asked, NotModified, Reply
from api.operation import Login, Operation
from api.params import Key, Keys
from app import may
from app.context import Context
from app.events import wire
from app.permissions import Actor

Responder = Callable[..., Awaitable[None]]
_OK = wire.encode(wire.OK)
_OF_BYTES = bytes


def create(operation: Operation, ctx: Context, auth: Authenticator, words: Mapping[str, Collection[str]]) -> Responder:
    """What Falcon calls with a request for the operation and the texts of its path.

    words: that Mattermost has in the place of what is variable: such a request is for another operation.
    """
    handler, status, name, media = operation.handler, operation.status, operation.name, operation.media
    ask_who = _asker(operation, auth)
    parts = tuple((part, operation.parts[part].read) for part in operation.parameters)
    keys = tuple((key, one.read, default) for key, (one, default) in operation.keys.items() if isinstance(one, Key))
    many = tuple((key, one.read) for key, (one, _) in operation.keys.items() if isinstance(one, Keys))
    body, body_name, rules = operation.body, operation.body_name, operation.may
    taken = tuple(words.items())

    unasked: dict[str, Any] | None = None
    """What an empty query means: the same for all."""

    async def respond(req: Request, resp: Response, **texts: str) -> None:
        nonlocal unasked
        for part, others in taken:
            if texts[part] in others:
                raise falcon.HTTPNotFound
        req.context.operation = name
        actor: Any = await ask_who(req) if ask_who is not None else None
        given: dict[str, Any] = {}
        for part, of_text in parts:
            given[part] = of_text(texts[part], actor)
        if req.query_string or unasked is None:
            asked: dict[str, Any] = {}
            for key, of_key, default in keys:
                asked[key] = of_key(req, key, default)
            for key, of_query in many:
                asked[key] = of_query(req)
            if not req.query_string:
                unasked = asked
            given.update(asked)
        else:
            given.update(unasked)
        if body is not None:
            given["body"] = await bodies.read(req, ctx, body, body_name)
        if rules:
            await may.ask(ctx, actor, rules, given)
        try:
            found = await handler(Asked(ctx, auth, actor, req, resp), **given)
        except NotModified:
            resp.status = 304
            return
        if type(found) is Reply:
            resp.status = found.status
            found = found.body
        elif status != 200:
            resp.status = status
        resp.content_type = media
        resp.data = _OK if found is None else found if type(found) is _OF_BYTES else wire.encode(found)

    return respond


def _asker(operation: Operation, auth: Authenticator) -> Callable[[Request], Awaitable[Actor | None]] | None:
    whole = not operation.streams
    match operation.login:
        case Login.NONE:
            return None
        case Login.OPTIONAL:
            return lambda req: auth.optional(req, whole=whole)
        case Login.NEEDED:
            return auth.actor if whole else lambda req: auth.actor(req, whole=False)
        case Login.OPERATOR:
            return auth.operator
