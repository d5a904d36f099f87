"""What of a message is prose: Mattermost's Markdown without its code, link destinations and addresses.

One pass over the lines for the blocks (CommonMark 0.31 §4.4, §4.5, §4.8, §5: paragraphs in quotes and lists, fenced
and indented code), one over each paragraph for what stands within it (§2.4, §6.1, §6.3). As in Mattermost's own parser
there are no headings, rules, tables or HTML. Every step moves on: the time is linear in the length of any message.

    message ──> _paragraphs ──> _inline ──> prose
"""

import re
from bisect import bisect_left

MAX_DEPTH = 20
"""Of quotes and lists within each other; what is deeper is text."""
_MARKS = ("\\", "\t", "~~~", "](", "://", "    ", "ww.", "WW.")
"""What but a tick makes that not all of a message may be prose. The last two: www., Www. and WWW."""

_SPACES = re.compile(" *")
_FENCE = re.compile(r"(`{3,})[^`]*$|(~{3,})")
_LIST_MARKER = re.compile(r"([-+*]|\d{1,9}[.)])(?:( +)|$)", re.ASCII)
_QUOTE = 0
_STARTS = frozenset(" >-+*~0123456789")
"""With what else than a word a line may begin, so that it is more than a line of a paragraph."""
_FENCED = re.compile(r"^(`{3,})[^`\n]*+$(?:\n(?! {0,3}\1`*+[ \t]*+$).*+)*+(?:\n.*+)?", re.MULTILINE)
"""A fence that stands in nothing; one without an end goes to the end of the message."""
_LONE_TICKS = re.compile("`[^`]*+`")

_INLINE = re.compile(r"\\|`|\[|\]|!\[|://|www\.|WWW\.|Www\.")  # a literal first in each: nothing else is looked at
_TICKS = re.compile("`+")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ADDRESS = re.compile(r"[^\s<`\]]*+")
_GAP = re.compile(r"[ \t\n]*+")
_ANGLE = re.compile(r"<(?:[^<>\\\n]|\\.)*+>")
_SCHEME = re.compile(r"(?:https?|ftp)", re.IGNORECASE)
_IN_DESTINATION = r"[^\\()\x00-\x20\x7f]|\\[^ \n]"
_DESTINATION = re.compile(  # with parentheses that match, up to three within each other
    rf"(?:{_IN_DESTINATION}|\((?:{_IN_DESTINATION}|\((?:{_IN_DESTINATION}|\((?:{_IN_DESTINATION})*+\))*+\))*+\))*+"
)
_TITLE = re.compile(r"""\"(?:[^"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|\((?:[^()\\]|\\.)*+\)""", re.DOTALL)


def prose(message: str) -> str:
    """The text of a message. What is taken out leaves a space, what is escaped stands without its backslash."""
    if "`" in message:
        if "```" in message and "\r" not in message:
            rest = _FENCED.sub("", message)
            if "`" not in rest and not _is_marked(rest):
                return rest
        elif "``" not in message and not _is_marked(message) and _is_line(message):
            return _LONE_TICKS.sub(" ", message)
    elif not _is_marked(message):
        return message
    parts: list[str] = []
    for paragraph in [message] if _is_line(message) else _paragraphs(message):
        _inline(paragraph, parts)
        parts.append("\n")
    return "".join(parts)


def _is_marked(message: str) -> bool:
    """Whether there is anything but ticks in a message by which not all of it may be prose."""
    for mark in _MARKS:  # noqa: SIM110 (twice as fast as any())
        if mark in message:
            return True
    return False


def _is_line(message: str) -> bool:
    """Whether a message is a single line of a paragraph, by a look at it."""
    return not ("\n" in message or "\r" in message or "\t" in message or _may_begin(message))


def _may_begin(line: str) -> bool:
    """Whether a line that is not empty may be anything but one of a paragraph that stands in nothing."""
    return line[0] in _STARTS or line[0].isspace() or line.startswith("```")


def _paragraphs(message: str) -> list[str]:
    """The paragraphs, without the marks of the quotes and lists that they stand in. Code is left out."""
    found: list[str] = []
    paragraph: list[str] = []  # lines of the open one
    containers: list[int] = []  # those that are open: _QUOTE, or how far the content of a list item is indented
    hollow = False  # the innermost is an item without content so far
    fence = ""  # what closes the open one

    def close(depth: int) -> None:
        nonlocal hollow
        if paragraph:
            found.append("\n".join(paragraph))
            paragraph.clear()
        if depth < len(containers):
            del containers[depth:]
            hollow = False

    for raw in message.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not containers:  # most lines: none of what follows would do anything else with them
            if fence:
                if fence not in raw:
                    continue
            elif raw and not _may_begin(raw):
                paragraph.append(raw.expandtabs(4))
                continue
        line = raw.expandtabs(4)
        end = len(line)
        at = depth = 0
        blank = not line.strip(" ")
        if blank:  # it is in every list item that has begun, but in no quote
            at, depth = end, containers.index(_QUOTE) if _QUOTE in containers else len(containers)
            depth -= hollow and depth == len(containers)
        for container in () if blank else containers:
            start = _spaces(line, at)
            if container == _QUOTE:
                if start - at >= 4 or not line.startswith(">", start):
                    break
                at = start + (2 if line.startswith(" ", start + 1) else 1)
            elif start - at >= container:
                at += container
            elif start == end and not (hollow and depth == len(containers) - 1):
                at = start  # what is left of it, after the marks of quotes, is blank
            else:
                break
            depth += 1
        if fence:
            if depth == len(containers):
                start = _spaces(line, at)
                closing = line[start:].rstrip(" ")
                if start - at < 4 and closing.startswith(fence) and not closing.strip(fence[0]):
                    fence = ""
                continue
            fence = ""
        fresh = False  # whether a container begins in this line
        while True:
            start = _spaces(line, at)
            if start == end:
                close(depth)
                break
            if start - at >= 4 and (fresh or not paragraph):  # code
                close(depth)
                hollow = False
                break
            if start - at < 4:
                opening = _FENCE.match(line, start)
                if opening is not None:
                    close(depth)
                    hollow = False
                    fence = opening[1] or opening[2]
                    break
                begun = _container(line, at, start, interrupts=bool(paragraph) and depth == len(containers))
                if begun is not None and depth < MAX_DEPTH:
                    close(depth)
                    container, at, hollow = begun
                    containers.append(container)
                    depth += 1
                    fresh = True
                    continue
            if not paragraph:
                close(depth)
            paragraph.append(line[start:])  # a line without the marks of its paragraph continues it (§5.1)
            hollow = False
            break
    close(0)
    return found


def _spaces(line: str, at: int) -> int:
    """Where the spaces at `at` end."""
    match = _SPACES.match(line, at)
    assert match is not None
    return match.end()


def _container(line: str, at: int, start: int, *, interrupts: bool) -> tuple[int, int, bool] | None:
    """The quote or list item that begins at `start`: what it is, where its content is, and whether it has none yet.

    interrupts: a paragraph, which only some lists may do (§5.2).
    """
    if line[start] == ">":
        return _QUOTE, start + (2 if line.startswith(" ", start + 1) else 1), False
    marker = _LIST_MARKER.match(line, start)
    if marker is None:
        return None
    empty = marker.end() == len(line)
    if interrupts and (empty or (marker[1][0].isdigit() and marker[1][:-1] != "1")):
        return None
    gap = 1 if empty or len(marker[2]) > 4 else len(marker[2])
    content = marker.end(1) + gap
    return content - at, min(content, len(line)), empty


def _inline(text: str, parts: list[str]) -> None:
    """Add to `parts` what of a paragraph is prose."""
    lone = "``" not in text
    ticks: dict[int, list[int]] | None = None  # where runs of so many begin
    brackets: list[bool] = []  # those that are open: whether of an image
    linked = 0  # of so many of these no link can be made, because there is one within
    kept = at = 0
    while (mark := _INLINE.search(text, at)) is not None:
        begin, at = mark.span()
        match text[begin]:
            case "\\":
                if at < len(text) and text[at] in _PUNCTUATION:
                    parts.append(text[kept:begin])
                    kept = at
                    at += 1
                continue
            case "`" if lone:
                end = text.find("`", at) + 1
                if not end:
                    continue
            case "`":
                at = _skip(_TICKS, text, begin)
                if ticks is None:
                    ticks = _ticks(text)
                closing = ticks.get(at - begin, [])
                next_one = bisect_left(closing, at)
                if next_one == len(closing):
                    continue
                end = closing[next_one] + at - begin
            case "[" | "!":
                brackets.append(mark[0] == "![")
                continue
            case "]":
                if not brackets:
                    continue
                image = brackets.pop()
                height = len(brackets)
                dead = not image and height < linked
                linked = min(linked, height)
                if dead or (end := _link_end(text, at)) < 0:
                    continue
                if not image:
                    linked = height
                begin = at - 1
            case _:
                if text[begin] == ":":
                    begin = _scheme_begin(text, begin)
                if begin < kept or (begin and text[begin - 1].isalnum()):
                    continue
                if text[at : at + 1] in _PUNCTUATION:  # no host begins so: what follows is prose, links of its own too
                    continue
                address = _ADDRESS.match(text, at)
                assert address is not None
                end = at + len(address[0].rstrip("?!.,:*_~'\""))
                if end == at:
                    continue
        parts.append(text[kept:begin])
        parts.append(" ")
        kept = at = end
    parts.append(text[kept:])


def _scheme_begin(text: str, at: int) -> int:
    """Where the scheme of an address begins whose `://` is at `at`; -1: it is none of those that Mattermost links."""
    for length in (5, 4, 3):
        if at >= length and _SCHEME.fullmatch(text, at - length, at):
            return at - length
    return -1


def _ticks(text: str) -> dict[int, list[int]]:
    runs: dict[int, list[int]] = {}
    for run in _TICKS.finditer(text):
        runs.setdefault(run.end() - run.start(), []).append(run.start())
    return runs


def _link_end(text: str, at: int) -> int:
    """Where `(destination "title")` ends that begins at `at`; -1: there is none (§6.3)."""
    if not text.startswith("(", at):
        return -1
    at = _skip(_GAP, text, at + 1)
    angle = text.startswith("<", at)
    after = _skip(_ANGLE if angle else _DESTINATION, text, at)
    if angle and after == at:
        return -1
    at = _skip(_GAP, text, after)
    if at > after:
        at = _skip(_GAP, text, _skip(_TITLE, text, at))
    return at + 1 if text.startswith(")", at) else -1


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()
