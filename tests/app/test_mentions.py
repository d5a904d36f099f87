"""Mentions are found in the text alone, by the structure of its Markdown."""

import dataclasses
import random
import re
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from app import markdown, mentions
from app.mentions import MAX_NAMES, NONE, Mentions, parse
from tests.rig.scale import for_each_seed, scale


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("hello @ann", ("ann",)),
        ("@Ann and @BOB", ("ann", "bob")),
        ("(@ann)", ("ann",)),
        ("@ann, @ann", ("ann",)),
        ("@ann.", ("ann.", "ann")),
        ("@a.b-c_d", ("a.b-c_d",)),
        ("@ann_-", ("ann_-", "ann_", "ann")),
        ("@ann:", ("ann",)),
        ("mail ann@example.com", ()),
        ("see a/@ann", ("ann",)),
        ("@@ann", ()),
        ("@ann@bob", ()),
        ("_@bob_", ("bob_", "bob")),
        ("**@bob**", ("bob",)),
        ("~~@bob~~", ("bob",)),
        ("-@bob", ("bob",)),
        (".@bob", ("bob",)),
        ("@ann/@bob", ("ann", "bob")),
        ("done.@bob next", ("bob",)),
        ("done_@bob", ()),
        ("x.@bob_.", ("bob_",)),
        (":@bob:", ()),
        ("x:@bob:", ("bob",)),
        (":x.@bob:", ()),
        ("你好@bob", ("bob",)),
        ("@bob你好", ("bob",)),
        ("안녕@bob、@annさん", ("bob", "ann")),
        ("é@bob", ()),
        ("@bobé", ()),
        ("@\u212aim", ("kim",)),
        ("@" + "a" * 64, ("a" * 64,)),
        ("@" + "a" * 65, ()),
    ],
)
def test_names(message: str, names: tuple[str, ...]) -> None:
    assert parse(message).names == names


@pytest.mark.parametrize(
    "message",
    [
        "`@bob`",
        "``@bob``",
        "`` ` @bob ``",
        "`a\n@bob`",
        "```\n@bob\n```",
        "```@bob",
        "````\n```\n@bob\n````",
        "~~~\n@bob\n~~~",
        "~~~ python ```\n@bob",
        "```python\n@bob\n``",
        "    @bob",
        "\t@bob",
        "text\n\n    @bob",
        "- item\n\n      @bob",
        "> ```\n> @bob",
        "1. ```\n   @bob\n   ```",
        "-     @bob",
        "-\n\n    @bob",
        "[text](https://example.com/@bob)",
        "[text](<@bob>)",
        '[text](x "@bob")',
        "![image](/@bob)",
        "https://example.com/@bob",
        "see www.example.com/@bob.",
        "https://example.com[@bob]()",
        ">\n    >@bob",
    ],
)
def test_code_destinations_and_addresses_mention_nobody(message: str) -> None:
    assert parse(message) == NONE
    assert parse(message.replace("@bob", "@all")) == NONE
    assert parse(message.replace("@bob", "@here")) == NONE


@pytest.mark.parametrize(
    "message",
    [
        "a lone ``` in a line\n@bob",
        "`a @bob",
        "`a`` @bob",
        "\\`@bob\\`",
        "\\@bob",
        "\\\\`x` @bob",
        "`\\` @bob",
        "text\n    @bob",
        "- item\n  @bob",
        "- item\n\n  @bob",
        "> ```\n@bob",
        "```\n```\n@bob",
        "``` ` @bob",
        "[@bob](https://example.com)",
        "[[text](x) @bob](y)",
        "[[text](x)](@bob)",
        "[![image](x) [text](y)](@bob)",
        "[text](x y @bob)",
        "![@bob](x)",
        "`x` @bob",
        "https://example.com @bob",
        "https://example.com)`x`@bob",
        "httpss://@bob",
        "ftp://[@bob]()",
    ],
)
def test_text_beside_code_mentions(message: str) -> None:
    assert parse(message).names == ("bob",)
    assert parse(message.replace("@bob", "@channel")) == Mentions((), everybody=True, here=False)


@pytest.mark.parametrize(
    ("message", "everybody", "here"),
    [("@all", True, False), ("@channel!", True, False), ("@ALL._", True, False), ("@here", False, True), ("x:@here", False, True), ("@allison", False, False), ("`@all`", False, False)],
)  # fmt: skip
def test_everybody_and_here(message: str, everybody: bool, here: bool) -> None:
    found = parse(message)
    assert (found.everybody, found.here) == (everybody, here)


def test_most_messages_cost_nothing() -> None:
    assert parse("no mention at all") is NONE


def test_a_message_mentions_at_most_100_names() -> None:
    found = parse(" ".join(f"@user{n}" for n in range(5000)) + " @all")
    assert len(found.names) == MAX_NAMES
    assert found.everybody


def test_names_with_punctuation_after_them_are_as_long_as_names() -> None:
    found = parse("@ann" + "." * 16_000).names
    assert found[0] == "ann" + "." * 61
    assert found[-1] == "ann"


@given(st.text(alphabet="@ab.-_`\n all", max_size=200))
def test_any_text_is_parsed_and_every_name_stands_in_it(message: str) -> None:
    for name in parse(message).names:
        assert f"@{name}" in message.lower()


# Beside another parser ------------------------------------------------------------------------------------------------

_REFERENCE = MarkdownIt("zero").enable(["code", "fence", "blockquote", "list", "backticks", "escape", "link", "image"])
_PIECES = (
    "`", "``", "```", "````", "~~~", "~~~~", "\\", "[", "](", ")", "![", "]", "(", '"', "'", "<", ">", "> ", "- ", "* ", "1. ",
    "2) ", "10. ", "\n", "\n", "\n", "\n\n", " ", "  ", "    ", "\t", "x", "word", "é", "你", "@ann", "@ann", "@bob.c", "@all",
    "@here", "@ANN_", "@", ".", "-", "_", ":", ",", "/", " @ann ", "`@ann`", "[x](y)", "\\`", "https://a.b/", "www.a.b ", " ftp://x",
)  # fmt: skip
_ADDRESS = re.compile(r"(?<![^\W_])(?:(?:https?|ftp)://|www\.)([^\s<`\]]*)")


def _texts(tokens: list[Token]) -> Iterator[str]:
    """Texts of a paragraph that belong together, as the other parser sees them."""
    text = ""
    for token in tokens:
        if token.type == "text":
            text += token.content
            continue
        yield text
        text = ""
        if token.type == "image":
            yield from _texts(token.children or [])
    yield text


def _expected(message: str) -> tuple[set[str], bool, bool]:
    """Mattermost's rule, word by word, of what the other parser says is text."""
    found: set[str] = set()

    def is_name(word: str) -> bool:
        return re.fullmatch(r"@[a-z][a-z0-9._-]{2,63}", word) is not None

    for block in _REFERENCE.parse(message):
        for text in _texts(block.children or []):
            text = _ADDRESS.sub(lambda m: " " if m[1].rstrip("?!.,:*_~'\"") else m[0], text)
            for word in re.findall(r"[\w:.@-]+", re.sub(r"[一-鿿]", " ", text)):
                if word[0] == word[-1] == ":":
                    continue
                word = word.lower().lstrip(":.-_")
                if word.startswith("@"):
                    core = word.rstrip(":.-_")
                    found |= {
                        word[:end] for end in range(len(core), len(word) + 1) if is_name(core) and is_name(word[:end])
                    }
                else:
                    found |= {piece for piece in re.split("[.:-]", word) if is_name(piece)}
    names = {name[1:] for name in found}
    return names - {"all", "channel", "here"}, bool(names & {"all", "channel"}), "here" in names


def _agrees(message: str) -> bool:
    found = parse(message)
    return (set(found.names), found.everybody, found.here) == _expected(message)


def _shortest(message: str) -> str:
    """The shortest text that is left of one on which the parsers differ."""
    shorter = True
    while shorter:
        shorter = False
        for at in range(len(message)):
            less = message[:at] + message[at + 1 :]
            if not _agrees(less):
                message, shorter = less, True
                break
    return message


def _is_beyond(message: str) -> bool:
    """What is left out: definitions of references, which Mattermost has and nobody writes; an address with an escape.

    Also where the other parser errs: a bracket within an address is the address's own, as in Mattermost; a quote's mark
    four spaces in is code (CommonMark 0.31 §5.1).
    """
    return "]:" in message or _BEYOND.search(message) is not None


_BEYOND = re.compile(r"(?:://|www\.)(?:\S*\\|[^\s<`\]]+\[)|^[ >]* {4}>", re.MULTILINE)


def test_what_is_text_is_what_another_parser_says() -> None:
    def compare(rng: random.Random) -> None:
        for _ in range(300):
            message = "".join(rng.choices(_PIECES, k=rng.randrange(1, 24)))
            if not _is_beyond(message) and not _agrees(message):
                shortest = _shortest(message)
                raise AssertionError(f"{shortest!r}: {parse(shortest)}, not {_expected(shortest)}")

    for_each_seed(scale(10, 300), compare)


# Short ways ------------------------------------------------------------------------------------------------------------

_MORE_PIECES = (
    *_PIECES,
    "\n```\n",
    "\n```\n",
    "\n````",
    "```\t\n",
    "```x`",
    "\r\n",
    "\u0130",
    "\u212a",
    "\u0307",
    "@\u212aim",
    "ann@x.y",
    "\x0b",
)


def _the_long_way(message: str) -> Mentions:
    parts: list[str] = []
    for paragraph in markdown._paragraphs(message):
        markdown._inline(paragraph, parts)
        parts.append("\n")
    return mentions._word_by_word("".join(parts))


@pytest.mark.parametrize(
    "pieces", [_MORE_PIECES, ("`", "```", "\n", "\n", " ", "@ann", "a", "\t", "~~~", ">")], ids=len
)
def test_what_takes_a_short_way_is_what_the_long_one_finds(pieces: tuple[str, ...]) -> None:
    def compare(rng: random.Random) -> None:
        for _ in range(1000):
            message = "".join(rng.choices(pieces, k=rng.randrange(1, 16)))
            assert parse(message) == _the_long_way(message), repr(message)

    for_each_seed(scale(10, 300), compare)


_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_MENTION = re.compile(r"(?<![\w@./-])@([a-z0-9][a-z0-9._-]*)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class _Found:
    names: tuple[str, ...]
    everybody: bool
    here: bool


def _two_expressions(message: str) -> _Found:
    """How mentions were found before they followed Markdown: what they may cost."""
    names: dict[str, None] = {}
    everybody = here = False
    for match in _MENTION.finditer(_CODE.sub(" ", message)):
        name = match[1].lower()
        while name:
            everybody = everybody or name in ("all", "channel")
            here = here or name == "here"
            names[name] = None
            if name[-1] not in "._-":
                break
            name = name[:-1]
    for keyword in ("all", "channel", "here"):
        names.pop(keyword, None)
    return _Found(tuple(names)[:MAX_NAMES], everybody, here)


_USUAL = {
    "a name": "hello @bob, how are you doing today? I hope all is well.",
    "names": "thanks @ann.smith and @bob-jones!",
    "20 names": " ".join(f"@user{n}" for n in range(20)),
    "1000 names": " ".join(f"@user{n}" for n in range(1000)),
    "one name often": "@bob " * 500,
    "names among punctuation": "and then @user1, said that @user2. should (@user3) be told: @user4; " * 20,
    "an address": "write to ann@example.com or bob@example.org please",
    "code": "run `make test` @bob",
    "code first": "`@bob` and `x = 1` @ann said",
    "a fence": "@bob look:\n```\ndef f():\n    return 1\n```\nthanks",
    "much text": "Lorem ipsum dolor sit amet, consectetur adipiscing elit. " * 50 + "@bob",
}


@pytest.mark.parametrize("name", _USUAL)
def test_usual_posts_cost_no_more_than_two_expressions(name: str) -> None:
    """By turns until it is so, as below."""
    text, rounds = _USUAL[name], 1 + 20_000 // (100 + len(_USUAL[name]))
    ours = theirs = float("inf")
    for _ in range(60):
        ours = min(ours, _cpu_s(text, parse, rounds))
        theirs = min(theirs, _cpu_s(text, _two_expressions, rounds))
        if ours <= theirs:
            return
    raise AssertionError(f"{ours / rounds * 1e6:.2f} µs, not {theirs / rounds * 1e6:.2f}")


# Time -----------------------------------------------------------------------------------------------------------------

_LENGTH = 16_383
_HOSTILE = {
    "dots": "@a" + "." * _LENGTH,
    "dots of a sentence": "x" + ".@abc" * (_LENGTH // 5),
    "ats": "@" * _LENGTH,
    "apart": "@ " * (_LENGTH // 2),
    "names": "@abc " * (_LENGTH // 5),
    "emojis": "x" * 8000 + ".@a:" * 2000,
    "a word": "`" + "x" * _LENGTH + "@a",
    "edges": "-." * 8000 + "@a",
    "ticks of each length": "@a" + " ".join("`" * n for n in range(1, 181)),
    "ticks": "@a" + "`" * _LENGTH,
    "ticks apart": "@a" + "` `` " * (_LENGTH // 5),
    "fences": "```\n~~~\n" * (_LENGTH // 8) + "@a",
    "quotes": ">" * 8000 + "@a\n" + "\n" * 8000 + "    ",
    "quotes again": (">" * 25 + "@a`\n") * (_LENGTH // 29),
    "items": "- " * 8000 + "@a\n" + "\n" * 300,
    "items again": "- @a`\n\n" * (_LENGTH // 7),
    "deep and blank": "- " * 20 + "@a`" + "\n" * _LENGTH,
    "lines": "@a`" + "\n" * _LENGTH,
    "tabs": "@a" + "\t" * _LENGTH,
    "spaces": "@a" + " " * _LENGTH,
    "brackets": "@a`" + "[" * _LENGTH,
    "brackets closed": "@a`" + "[" * 8000 + "]" * 8000,
    "links": "@a" + "[](" * (_LENGTH // 3),
    "links of words": "@a" + "[a](b" * (_LENGTH // 5),
    "links in brackets": "@a" + "[](<" * (_LENGTH // 4),
    "links with titles": "@a" + '[](a "' * (_LENGTH // 6),
    "links with other titles": "@a" + "[](a '[](a (" * (_LENGTH // 12),
    "links of backslashes": "@a" + "[](\\\\" * (_LENGTH // 5),
    "nested links": "@a`" + "[" * 4000 + "](a)" * 3000,
    "parentheses": "@a[](" + "(" * _LENGTH,
    "backslashes": "@a" + "\\" * _LENGTH,
    "addresses": "https://@a" * (_LENGTH // 10),
    "addresses of dots": "@a http://" + "." * _LENGTH,
    "no addresses": "@a" + "://" * (_LENGTH // 3),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_the_time_grows_with_the_length_and_not_faster(name: str) -> None:
    """A quarter of the text takes a quarter of the time, or the whole one takes less than a plain post's write.

    Measured by turns until it is so: what runs beside it makes some turns slow, but not the best ones of either.
    """
    whole = _HOSTILE[name]
    quarter = whole[: len(whole) // 4] + "@a"
    of_whole = of_quarter = float("inf")
    for _ in range(40):
        of_whole = min(of_whole, _cpu_s(whole))
        of_quarter = min(of_quarter, _cpu_s(quarter, _the_long_way))  # which the whole one may take alone
        if of_whole < 0.005 or of_whole < 8 * of_quarter:
            return
    raise AssertionError(f"{of_whole * 1000:.1f} ms for the whole, {of_quarter * 1000:.1f} ms for a quarter")


def _steps(text: str) -> float:
    return min(_cpu_s(text) for _ in range(3))


def _cpu_s(text: str, finds: Callable[[str], object] = parse, rounds: int = 1) -> float:
    began = time.process_time()
    for _ in range(rounds):
        finds(text)
    return time.process_time() - began


def test_a_hostile_post_takes_no_more_than_a_few_milliseconds() -> None:
    slowest = max((_steps(text), name) for name, text in _HOSTILE.items())
    assert slowest[0] < 0.1, slowest


def test_prose_is_never_longer_than_the_message_and_its_tabs() -> None:
    for text in _HOSTILE.values():
        assert len(markdown.prose(text)) <= 4 * len(text) + 1
