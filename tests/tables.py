"""Tables of the documents that are made from declarations: `python -m tests.tables` writes them, a test says when one is stale.

A table stands between `<!-- table NAME … -->` and `<!-- end -->`; what is around it is written by hand.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from inspect import getdoc
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import inspect

from app.config.marks import Applies, Mark
from app.config.settings import KEYS
from cluster.commands import of_node, of_worker

ROOT = Path(__file__).parents[1]
_TABLE = re.compile(r"(<!-- table (\S+).*? -->\n).*?(<!-- end -->)", re.DOTALL)


def in_words(kind: inspect.Type) -> str:
    """What a value may be."""
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" if value != "" else "nothing" for value in values)
        case inspect.FloatType():
            return "number"
        case inspect.IntType(ge=low, le=high):
            if low is not None and high is not None:
                return f"{low} to {high}"
            return "number" if low is None else f"{low} or more"
        case inspect.StrType(max_length=longest):
            return "text" if longest is None else f"text, at most {longest}"
        case inspect.ListType(max_length=longest):
            return "list" if longest is None else f"list, at most {longest}"
        case inspect.Metadata():
            return in_words(kind.type)
        case inspect.StructType():
            return kind.cls.__name__
        case inspect.UnionType():
            return "a command"
        case _:
            return "object"


def _node() -> Iterator[list[str]]:
    yield ["command", "arguments", "asked by", "all nodes", "audit log", "command line", ""]
    for kind in of_node.COMMANDS:
        found = [one for one in of_node.arguments_of(kind) if one.name != "cluster"]
        yield [
            f"`{kind.name()}`",
            "; ".join(f"`{one.name}`{'' if one.required else '?'}: {in_words(one.type)}" for one in found),
            ", ".join(sorted(kind.by)),
            "`cluster`" if issubclass(kind, of_node.ForEveryNode) else "",
            kind.audit or "",
            ", ".join(f"`{words}`" for words in kind.line),
            (getdoc(kind) or "").replace("\n", " "),
        ]


def _fields(kind: type[msgspec.Struct]) -> str:
    return "; ".join(
        f"`{one.encode_name}`{'' if one.required else '?'}: {in_words(inspect.type_info(one.type))}"
        for one in msgspec.structs.fields(kind)
    )


def _worker() -> Iterator[list[str]]:
    yield ["command", "arguments", "of whom", "limit", ""]
    for kind in of_worker.COMMANDS:
        limit = f"{of_worker.SLOW_S if kind.slow else of_worker.QUICK_S:.0f} s"
        yield [f"`{kind.name()}`", _fields(kind), ", ".join(kind.roles), limit, _first(kind)]


def _channel() -> Iterator[list[str]]:
    yield ["message", "to", "fields", ""]
    for to, kinds in (("worker", of_worker.ToWorker), ("supervisor", of_worker.ToSupervisor)):
        for kind in get_args(kinds):
            yield [f"`{kind.__struct_config__.tag}`", to, _fields(kind), _first(kind)]


_APPLIES = {Applies.LIVE: "reload", Applies.RECYCLE: "reload, then recycle", Applies.RESTART: "restart"}
_MARKS = {Mark.SECRET: "secret: never shown", Mark.PER_NODE: "may differ between nodes"}


def _settings() -> Iterator[list[str]]:
    yield ["key", "default", "allowed", "a change counts after", ""]
    for dotted, key in KEYS.items():
        default = json.dumps(key.default) if key.default not in ("", []) else ""
        notes = ", ".join(_MARKS[mark] for mark in Mark if mark in key.marks)
        yield [f"`{dotted}`", default, in_words(inspect.type_info(key.kind)), _APPLIES[key.applies], notes]


def _first(kind: type[msgspec.Struct]) -> str:
    """The first paragraph of what is said of it."""
    return (getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")


TABLES: dict[str, Callable[[], Iterable[list[str]]]] = {
    "commands-of-a-node": _node,
    "commands-of-a-worker": _worker,
    "messages-of-the-channel": _channel,
    "settings": _settings,
}


def _markdown(name: str) -> str:
    head, *rows = TABLES[name]()
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |").replace("|  |", "| |") for line in lines)


def written(document: str) -> str:
    """The document with its tables as they should be."""
    return _TABLE.sub(lambda found: found[1] + _markdown(found[2]) + found[3], document)


def documents() -> Iterator[Path]:
    """Those that have a table."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        if _TABLE.search(path.read_text()):
            yield path


if __name__ == "__main__":
    for path in documents():
        path.write_text(written(path.read_text()))
