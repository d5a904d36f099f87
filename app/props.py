"""What clients may put into the props of a post, and what of it is shown.

A button of a message attachment is `props.attachments[].actions[]`. Its `integration` says where a click leads, with
what the integration needs to know there, often a token: it stays in the database and is shown to nobody.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from app import validate
from app.errors import AppError

Props = dict[str, msgspec.Raw]

RESERVED = frozenset(
    {"from_webhook", "override_username", "override_icon_url", "override_icon_emoji", "webhook_display_name",
     "from_bot", "from_oauth_app", "from_plugin"}
)  # fmt: skip
"""Props that make clients show a post as another's than its author's: only integrations say so of theirs."""

MAX_ATTACHMENT_DEPTH = 64
NAMES_ATTACHMENTS = '"attachments"'
"""What stands in the text of props that `shown` may have to change."""
_encode = msgspec.json.encode


def check(props: Mapping[str, msgspec.Raw]) -> None:
    """Raises 400 for props that are too long, or attachments that are nested too deeply."""
    if sum(len(name) + len(bytes(value)) + 6 for name, value in props.items()) > validate.MAX_PROPS_BYTES:
        raise AppError("model.post.is_valid.props.app_error", 400)
    if "attachments" in props and _depth(msgspec.json.decode(props["attachments"])) > MAX_ATTACHMENT_DEPTH:
        raise AppError("model.post.is_valid.props.app_error", 400)


def of_user(props: Props, kept: str = "{}") -> str:
    """The JSON to store of props that a user gives. kept: those of the post so far; what integrations said of it stays.

    Each button gets an id, the same one when the request is tried again.
    """
    own = {name: value for name, value in props.items() if name not in RESERVED}
    if any(f'"{name}"' in kept for name in RESERVED):
        before = msgspec.json.decode(kept, type=Props)
        own |= {name: value for name, value in before.items() if name in RESERVED}
    return of_integration(own)


def of_integration(props: Props) -> str:
    """The JSON to store of props that an integration gives: nothing is reserved."""
    if "attachments" in props:
        attachments = msgspec.json.decode(props["attachments"])
        _name_actions(attachments)
        props = props | {"attachments": msgspec.Raw(_encode(attachments))}
    return _encode(props).decode()


def shown(props: str) -> str:
    """The props of a post as its readers get them: without the integrations of its buttons."""
    if NAMES_ATTACHMENTS not in props:
        return props
    try:
        found = msgspec.json.decode(props)
        _take_integrations(found.get("attachments"))
        return _encode(found).decode()
    except RecursionError:  # of a version that did not limit the depth of attachments
        return "{}"


def _take_integrations(attachments: Any) -> None:
    waiting = [attachments]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for key in [key for key in one if key.lower() == "integration"]:  # names in Go's JSON have no case
                del one[key]
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _depth(value: Any) -> int:
    """How many lists and objects are within each other."""
    deepest = 0
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, (dict, list)):
            deepest = max(deepest, depth)
            waiting.extend((inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one))
    return deepest


def _name_actions(attachments: Any) -> None:
    """Give an id to each action that has none, made of what it says and where it stands."""
    for at, attachment in enumerate(attachments if isinstance(attachments, list) else ()):
        actions = attachment.get("actions") if isinstance(attachment, dict) else None
        for number, action in enumerate(actions if isinstance(actions, list) else ()):
            if isinstance(action, dict) and not action.get("id"):
                text = _encode([at, number, action])
                action["id"] = hashlib.blake2b(text, digest_size=13).hexdigest()
