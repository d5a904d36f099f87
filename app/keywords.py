"""Words of a message by which somebody may be mentioned: what is looked up among all keys that users have. Sans-I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app import markdown
from app.mentions import CJK
from db.model import limits

_TOKEN = re.compile(r"[\w:.@-]+")
_SENTENCE = re.compile(r"[.:-]")
_EDGES = ":.-_"
_HAS_CJK = re.compile(f"[{CJK}]")
_MOST = 1000
"""Of the words of one message, where the database is asked for all of them."""


@dataclass(frozen=True)
class Keywords:
    """All keys that any user has. complete: they are all here; otherwise any word may be one.

    lengths: of those with Chinese, Japanese or Korean letters, which stand between others without a space.
    """

    words: frozenset[str] = frozenset()
    complete: bool = True
    lengths: tuple[int, ...] = ()


def gathered(found: Iterable[str]) -> Keywords:
    """The keys that were read, one more than limits.KEYWORDS of them where there are more."""
    words = frozenset(found)
    if len(words) > limits.KEYWORDS:
        return Keywords(complete=False)
    return Keywords(words, True, tuple(sorted({len(one) for one in words if _HAS_CJK.search(one)})))


def among(keywords: Keywords, message: str) -> set[str]:
    """Which of the keys stand in the prose of the message, as Mattermost looks for them."""
    if not keywords.words and keywords.complete:
        return set()
    if keywords.complete and "\\" not in message and keywords.words.isdisjoint(_words(message, keywords.lengths)):
        return set()  # where nothing is escaped, nothing that is taken out of a message makes a word
    words = _words(markdown.prose(message), keywords.lengths)
    return words & keywords.words if keywords.complete else set(sorted(words)[:_MOST])


def _words(text: str, lengths: tuple[int, ...]) -> set[str]:
    """All that may be a key: words as they are and in lower case, without what a sentence puts around them."""
    found = set(_TOKEN.findall(text))
    lower = text.lower()
    if lower != text:
        found.update(_TOKEN.findall(lower))
    for token in [one for one in found if not one.isalnum()]:  # few
        found.discard(token)
        if token[0] == ":" == token[-1]:  # an emoji
            continue
        word = token.lstrip(_EDGES)
        bare = word.rstrip(_EDGES)
        found.update((word, bare))
        if _SENTENCE.search(bare):
            found.update(_SENTENCE.split(bare))
    if lengths and _HAS_CJK.search(text):
        for word in [one for one in found if _HAS_CJK.search(one)]:
            found.update(word[at : at + one] for one in lengths for at in range(len(word) - one + 1))
    found.discard("")
    return found
