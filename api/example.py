"""A good request for an operation, as data: what the tests send by everybody, and what the OpenAPI document shows.

`<new>` within a text is a part of a name that nobody has; `<team.id>` and the like are of what there is for examples:
self (who asks), nobody, stranger, teammate, member, team_admin and system_admin, whose names say what they are to the
`team` with its channels `private` and `public` and a `post` in the private one, by the team_admin.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_NAMED = re.compile(r"<([a-z_.]+)>")


@dataclass(frozen=True)
class Example:
    """path: what is variable in it, where it is not what its name says. query: '?key=value'.

    takes_away: what others count on, so that nobody sends it for nothing. answers: by who asks, the status where it is
    not what the rules of the operation say, and why is in `notes`.
    """

    body: Any = None
    query: str = ""
    path: Mapping[str, str] = field(default_factory=dict)
    takes_away: bool = False
    answers: Mapping[str, int] = field(default_factory=dict)
    in_public: Mapping[str, int] = field(default_factory=dict)
    for_others: Mapping[str, int] = field(default_factory=dict)


PATHS: Mapping[str, str] = {
    "user_id": "<self>",
    "team_id": "<team.id>",
    "channel_id": "<private.id>",
    "post_id": "<post.id>",
    "channel_name": "<private.name>",
    "username": "<member.username>",
    "emoji_name": "+1",
    "category": "tutorial_step",
    "category_id": "channels_<self>_<team.id>",
    "preference_name": "<self>",
    "role_id": "dcie3hxt8ej3bnowdznsdao1em",
    "role_name": "system_user",
    "version_id": "<none>",
}
"""What stands in a path by the name of its part."""


def filled(value: Any, named: Callable[[str], str]) -> Any:
    """A value of an example with what `named` gives for each `<…>`."""
    if isinstance(value, str):
        return _NAMED.sub(lambda found: named(found[1]), value)
    if isinstance(value, list):
        return [filled(one, named) for one in value]
    if isinstance(value, dict):
        return {key: filled(one, named) for key, one in value.items()}
    return value
