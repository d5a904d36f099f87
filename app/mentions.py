"""Who a message mentions: names are found in the text alone, so the cost never grows with the channel."""

import re
from dataclasses import dataclass

MAX_NAMES = 100
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_MENTION = re.compile(r"(?<![\w@./-])@([a-z0-9][a-z0-9._-]*)", re.IGNORECASE)
_EVERYBODY = frozenset({"all", "channel"})


@dataclass(frozen=True)
class Mentions:
    """names: candidates in lower case, at most 100. everybody: @all or @channel. here: @here."""

    names: tuple[str, ...]
    everybody: bool
    here: bool


NONE = Mentions((), everybody=False, here=False)


def parse(message: str) -> Mentions:
    """The mentions in a message; those in code are none.

    A name may be followed by punctuation: "@ann." offers both "ann." and "ann", and the database decides.
    """
    if "@" not in message:
        return NONE
    names: dict[str, None] = {}
    everybody = here = False
    for match in _MENTION.finditer(_CODE.sub(" ", message)):
        name = match[1].lower()
        while name:
            everybody = everybody or name in _EVERYBODY
            here = here or name == "here"
            names[name] = None
            if name[-1] not in "._-":
                break
            name = name[:-1]
    for keyword in (*_EVERYBODY, "here"):
        names.pop(keyword, None)
    return Mentions(tuple(names)[:MAX_NAMES], everybody, here)
