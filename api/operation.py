"""An operation of the API: one declaration, of which all else is made.

    @operation("PUT", "/posts/{post_id}/patch", answers=shapes.Post, body_name="post", verb_asks=(OfPost("edit_post"),))
    async def patch_post(call: Call, post_id: PostId, body: edits.Patch) -> Json:
        \"\"\"Change a part of a post.\"\"\"
        return await edits.patch(call.ctx, call.actor, post_id, body)

Its parameters are parts of the path and keys of the query by their types (`params.py`), and `body`. It calls one verb
of app/ and returns what that gives: JSON, encoded or not, or None for {"status": "OK"}. From the declaration come the
route, what is checked before the handler, docs/api.md, the OpenAPI document, and the tests that ask every operation.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from api.call import Call, Visit
from api.example import Example
from api.params import OF_PATH, Key, Keys, Part, Schema
from app.errors import MESSAGES
from app.may import ERRORS, Asked, InChannel, InTeam, OfPost, Rule, SelfOr, System

V4: Final = "/api/v4"
JSON: Final = "application/json"
PNG: Final = "image/png"
_VARIABLE = re.compile(r"{(\w+)}")
Handler = Callable[..., Awaitable[object]]


class Misdeclared(TypeError):
    """A declaration that contradicts itself: raised when its module is imported."""


class Login(Enum):
    """Whose request it is."""

    NONE = "nobody is asked who they are"
    OPTIONAL = "with or without a session"
    NEEDED = "with a session"
    OPERATOR = "with a session; of an administrator for 10 minutes without a master, too"


@dataclass(frozen=True, eq=False)
class Operation:
    """See `operation`. path: the whole one. name: of the handler, for metrics and as OpenAPI's operationId.

    parts, keys: what the parameters are read by, by their names. body: its type; None where there is none.
    """

    method: str
    path: str
    name: str
    handler: Handler
    login: Login
    may: tuple[Asked, ...]
    verb_asks: tuple[Rule, ...]
    status: int
    answers: Any
    body: Any
    body_name: str
    errors: frozenset[str]
    example: Example
    notes: str
    tagged: bool
    counted: bool
    streams: bool
    head: bool
    media: str
    parts: Mapping[str, Part]
    keys: Mapping[str, tuple[Key | Keys, Any]]

    @property
    def title(self) -> str:
        """`POST /api/v4/posts`."""
        return f"{self.method} {self.path}"

    @property
    def summary(self) -> str:
        """What it does: of the handler's docstring."""
        return " ".join((inspect.getdoc(self.handler) or "").split())

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All that must hold for who asks."""
        return (*self.may, *self.verb_asks)

    @property
    def who(self) -> str:
        """Who may, in words."""
        if not self.rules:
            return {Login.NONE: "anybody", Login.OPTIONAL: "anybody"}.get(self.login, "who is logged in")
        return "; ".join(map(_said, self.rules))

    @property
    def parameters(self) -> list[str]:
        """The names of what is variable in the path."""
        return _VARIABLE.findall(self.path)

    @property
    def query(self) -> Mapping[str, Schema]:
        """The keys of the query."""
        found: dict[str, Schema] = {}
        for name, (one, default) in self.keys.items():
            if isinstance(one, Keys):
                found |= one.schemas
            else:
                found[name] = one.schema if default in ("", 0) else {**one.schema, "default": default}
        return found

    def as_head(self) -> "Operation":
        """The same for HEAD: the head of its answer."""
        return replace(self, method="HEAD", name=f"head_{self.name}")


def operation(
    method: str,
    path: str,
    *,
    login: Login = Login.NEEDED,
    may: Sequence[Asked] = (),
    verb_asks: Sequence[Rule] = (),
    status: int = 200,
    answers: Any = None,
    body_name: str = "",
    errors: Collection[str] = (),
    example: Example = Example(),  # noqa: B008 (it is frozen)
    notes: str = "",
    tagged: bool = False,
    counted: bool = True,
    streams: bool = False,
    head: bool = False,
    media: str = JSON,
) -> Callable[[Handler], Operation]:
    """Declare the function as an operation. Raises Misdeclared.

    path: below /api/v4, or from /api/ on. may: rules that are asked before the handler. verb_asks: those that its verb
    asks (`app/may.py` says when). answers: the type of what is answered; None: {"status": "OK"}. body_name: what errors
    call the body. errors: ids beyond `api.context.*`; `a.b.*`: all such. notes: what a client should know.
    tagged: it has an ETag. counted: by rate limits also without a query. streams: the handler gets the body as it
    comes, and asks again who sends it (`Call.ask_again`). head: also as HEAD. media: of the answer;
    `answers` is bytes where it is not JSON.
    """

    def declare(handler: Handler) -> Operation:
        whole = path if path.startswith("/api/") else V4 + path
        where = f"{method} {whole}"
        hints = get_type_hints(handler, include_extras=True)
        hints.pop("return", None)
        parameters = inspect.signature(handler).parameters
        given, *names = parameters
        needs_session = login in (Login.NEEDED, Login.OPERATOR)
        if hints[given] is not (Call if needs_session else Visit):
            raise Misdeclared(f"{where}: {given} is a {'Call' if needs_session else 'Visit'}")
        parts: dict[str, Part] = {}
        keys: dict[str, tuple[Key | Keys, Any]] = {}
        for name in names:
            marker = OF_PATH.get(hints[name]) or next(iter(getattr(hints[name], "__metadata__", ())), None)
            default = parameters[name].default
            if name == "body":
                _check_body(where, hints[name])
            elif isinstance(marker, Part):
                parts[name] = marker
            elif isinstance(marker, Keys) or (isinstance(marker, Key) and default is not inspect.Parameter.empty):
                keys[name] = marker, default
            else:
                raise Misdeclared(f"{where}: {name} is neither of the path nor of the query, or has no default")
        if sorted(parts) != sorted(_VARIABLE.findall(path)):
            raise Misdeclared(f"{where}: its handler has {sorted(parts)} of the path")
        if not needs_session and (may or verb_asks or any(part.needs_session for part in parts.values())):
            raise Misdeclared(f"{where}: it depends on who asks, and asks nobody")
        if login is Login.NONE and method not in ("GET", "HEAD"):
            raise Misdeclared(f"{where}: what is not a GET is asked for its CSRF token")
        for rule in may:
            wanted = {getattr(rule, one) for one in ("user", "team", "channel") if hasattr(rule, one)}
            if not wanted <= parts.keys():
                raise Misdeclared(f"{where}: {rule} names no part of the path")
        ids = {one: _meant(one) for one in errors}
        if unknown := [one for one, meant in ids.items() if not meant]:
            raise Misdeclared(f"{where}: {unknown} have no text")
        if (body_name != "") != ("body" in hints) or ("body" in hints and method in ("GET", "HEAD")):
            raise Misdeclared(f"{where}: a body has a name, and GET none")
        if streams and "body" in hints:
            raise Misdeclared(f"{where}: what streams has no body that is read before")
        if (media != JSON) != (answers is bytes):
            raise Misdeclared(f"{where}: what is not JSON is bytes")
        if not inspect.getdoc(handler):
            raise Misdeclared(f"{where}: say what it does")
        return Operation(
            method=method,
            path=whole,
            name=handler.__name__,
            handler=handler,
            login=login,
            may=tuple(may),
            verb_asks=tuple(verb_asks),
            status=status,
            answers=answers,
            body=hints.get("body"),
            body_name=body_name,
            errors=frozenset().union(*ids.values(), *({ERRORS[type(rule)]} for rule in may if type(rule) in ERRORS)),
            example=example,
            notes=notes,
            tagged=tagged,
            counted=counted,
            streams=streams,
            head=head,
            media=media,
            parts=parts,
            keys=keys,
        )

    return declare


def _meant(error_id: str) -> set[str]:
    """The ids of errors that one in a declaration stands for: itself, or all that begin as `model.user.is_valid.*`."""
    if error_id.endswith(".*"):
        return {one for one in MESSAGES if one.startswith(error_id[:-1])}
    return {error_id} & MESSAGES.keys()


def _said(rule: Rule) -> str:
    match rule:
        case System(permission):
            return f"`{permission}`"
        case SelfOr(permission):
            return f"oneself, or `{permission}`"
        case InTeam(permission):
            return f"`{permission}` in the team"
        case InChannel(permission, public):
            return f"`{permission}` in the channel" + (f", public: `{public}`" if public else "")
        case OfPost(permission, others, public):
            of_others = f", others' `{others}`" if others else ""
            return f"`{permission}` in its channel" + of_others + (f", public: `{public}`" if public else "")


def _check_body(where: str, wanted: Any) -> None:
    if not (isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)) and not (
        get_origin(wanted) is list and get_args(wanted)
    ):
        raise Misdeclared(f"{where}: a body is a Struct or an array")
