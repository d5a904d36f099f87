"""Who a message mentions: names are found in the text alone, so the cost never grows with the channel.

As Mattermost does it: code, destinations of links and addresses are taken out (`app/markdown.py`); what is left is
split at everything but letters, digits and `:.-_@`; punctuation at both ends of such a word is none of it.
"""

import re
from collections.abc import Sequence

import msgspec

from app import markdown

MAX_NAMES = 100
MIN_NAME, MAX_NAME = 3, 64
_EVERYBODY = frozenset({"all", "channel"})
_HERE = "here"
_KEYWORDS = _EVERYBODY | {_HERE}
_EDGES = ":.-_"

# Chinese, Japanese and Korean are written without spaces: there a name begins and ends at any letter, which goes beyond
# what Mattermost does.
CJK = (
    "\u1100-\u11ff\u2e80-\u2fff\u3005-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\uff66-\uffdc\U00020000-\U0003ffff"
)
_IS_CJK = re.compile(f"[{CJK}]")
_LETTERS = rf"[^\W{CJK}]*+"
_WORD = re.compile(rf"@{_LETTERS}(?:[:.@-]++{_LETTERS})*+")
_NAME = re.compile(r"@([a-z][a-z0-9._-]*+)[:._-]*+")
_PLAIN_NAME = re.compile(r"@([a-z][a-z0-9_]*+)")
_SENTENCE = re.compile(r"[.:-]")


# What most messages have, in lower case: a name with nothing of a word before it, or the end of an address of mail.
_QUICK = re.compile(r"@(?:(?<![\w:.@-]@)([a-z][a-z0-9._-]*+)[:._-]*+(?![\w@])|(?<=[a-z0-9]@)[a-z0-9_:.-]*+(?![\w@]))")
_GROWS = "\u0130"
"""The one letter that is no letter alone in lower case."""


class Mentions(msgspec.Struct, frozen=True):
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
    text = markdown.prose(message)
    lower = text.lower()
    found = _QUICK.findall(lower)
    if len(found) != lower.count("@") or _GROWS in text:
        return _word_by_word(text)
    names: dict[str, None] = {}
    for name in found:
        if name and name[-1] in _EDGES:
            _add(names, name.rstrip(_EDGES), name[:MAX_NAME])
        elif MIN_NAME <= len(name) <= MAX_NAME:
            names[name] = None
    return _mentions(names)


def without_name(keywords: str, name: str) -> str:
    """Keywords (`mention_keys`: between commas) without this user name, which is theirs no more."""
    kept = [one for one in keywords.split(",") if one.strip().lower().removeprefix("@") != name]
    return ",".join(kept)


def _add(names: dict[str, None], name: str, longest: str) -> None:
    """Add a name, the longest first, with what follows it as part of it."""
    if MIN_NAME <= len(name) <= MAX_NAME:
        for length in range(len(longest), len(name) - 1, -1):
            names[longest[:length]] = None


def _mentions(names: dict[str, None]) -> Mentions:
    if _KEYWORDS.isdisjoint(names):
        return Mentions(tuple(names)[:MAX_NAMES], everybody=False, here=False)
    rest = [name for name in names if name not in _KEYWORDS]
    return Mentions(tuple(rest[:MAX_NAMES]), everybody=not _EVERYBODY.isdisjoint(names), here=_HERE in names)


def _word_by_word(text: str) -> Mentions:
    """The same of any text."""
    names: dict[str, None] = {}
    for match in _WORD.finditer(text):
        at, end = match.span()
        before = text[at - 1] if at else " "
        apart = before == " " or not (before in _EDGES or _is_letter(before))
        found = _alone(match[0]) if apart else _within(text, at, end)
        for name, longest in found:
            _add(names, name, longest)
    return _mentions(names)


_Found = Sequence[tuple[str, str]]
"""Names, each without and with the punctuation after it."""


def _alone(word: str) -> _Found:
    """What is mentioned by a word that begins with its @."""
    if len(word) <= MIN_NAME:
        return ()
    whole = _NAME.fullmatch(word.lower())
    if whole is None:
        return ()
    name = whole[1].rstrip(_EDGES)
    return ((name, whole[1][:MAX_NAME]),) if len(name) <= MAX_NAME else ()


def _within(text: str, at: int, end: int) -> _Found:
    """What is mentioned by a word with something before its first @, which is at `at`."""
    begin = at
    while begin and text[begin - 1] in _EDGES:
        begin -= 1
    trimmed = not begin or not _is_letter(text[begin - 1])
    if text[end - 1] == ":":
        first = begin
        while not trimmed and first and (text[first - 1] in _EDGES or _is_letter(text[first - 1])):
            first -= 1
        if text[first] == ":":  # an emoji
            return ()
    if trimmed:
        return _alone(text[at:end])
    pieces = _SENTENCE.split(text[at:end].lower())  # sentences without a space between them
    if text[at - 1] not in ".:-":
        del pieces[0]
    found = [one[1] for piece in pieces if (one := _PLAIN_NAME.fullmatch(piece)) is not None]
    return [(name, name) for name in found if len(name) <= MAX_NAME]


def _is_letter(char: str) -> bool:
    return char.isalnum() and not _IS_CJK.match(char)
