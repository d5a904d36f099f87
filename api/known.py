"""Mattermost's operations, offered here or not (`known.tsv`), and where a request that no operation takes would lead.

`known.tsv`: method, path below /api/v4, tier. Of the 425 of 2023: must, later, or licensed (it asks for a licence
there, or for a service of its own); newer: what a client of 2026 calls besides. Names of Mattermost's, as facts.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from api.operation import V4, Operation
from app.errors import AppError

_VARIABLE = re.compile(r"{\w+}")


@dataclass(frozen=True)
class Known:
    """One of Mattermost's operations. path: below /api/v4."""

    method: str
    path: str
    tier: str

    @property
    def form(self) -> str:
        """Method and path with `{}` for what is variable: names differ between versions and do not count."""
        return form_of(self.method, V4 + self.path)


def form_of(method: str, path: str) -> str:
    """See `Known.form`. path: the whole template."""
    return f"{method} {_VARIABLE.sub('{}', path)}"


def read() -> tuple[Known, ...]:
    """All of them."""
    lines = files("api").joinpath("known.tsv").read_text().splitlines()
    return tuple(Known(**row) for row in csv.DictReader(lines, delimiter="\t"))


@dataclass
class _Node:
    words: dict[str, "_Node"] = field(default_factory=dict)
    variable: "_Node | None" = None
    methods: dict[str, bool] = field(default_factory=dict)
    """Those of Mattermost and of ours; whether they are offered."""


class Map:
    """Where paths lead: a word goes before what is variable, as in Mattermost.

    offered: the operations there are. pages: paths that are only read.
    """

    def __init__(self, offered: Iterable[Operation], known: Iterable[Known], pages: Iterable[str] = ()) -> None:
        self._root = _Node()
        for one in known:
            self._at(V4 + one.path).methods.setdefault(one.method, False)
        for operation in offered:
            self._at(operation.path).methods[operation.method] = True
        for page in pages:
            self._at(page).methods.update(GET=True, HEAD=True)

    def _at(self, path: str) -> _Node:
        node = self._root
        for part in path.strip("/").split("/"):
            if part.startswith("{") or part == "me":  # which is an id
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.words.setdefault(part, _Node())
        return node

    def words_of(self, path: str) -> Mapping[str, frozenset[str]]:
        """What is variable in a template, with the words that stand in its place elsewhere, where there are any."""
        found: dict[str, frozenset[str]] = {}
        node = self._root
        for part in path.strip("/").split("/"):
            if part.startswith("{"):
                if node.words:
                    found[part[1:-1]] = frozenset(node.words)
                assert node.variable is not None
                node = node.variable
            else:
                node = node.words[part]
        return found

    def refusal(self, method: str, path: str) -> tuple[AppError, str]:
        """The answer to a request that no operation takes, and the value of Allow, '' for none.

        501: Mattermost has it, and it is not offered. 405: it has the path with other methods. 404: it has not.
        """
        methods = self._methods(self._root, path.strip("/").split("/"))
        if methods.get(method) is False:
            return AppError("api.context.not_implemented.app_error", 501), ""
        if methods:
            offered = [one for one, is_offered in methods.items() if is_offered]
            return AppError("api.context.405.app_error", 405), ", ".join(sorted([*(offered or methods), "OPTIONS"]))
        return AppError("api.context.404.app_error", 404), ""

    def _methods(self, node: _Node, parts: list[str]) -> Mapping[str, bool]:
        """Of the first way that leads somewhere: of all, the words before the variables."""
        if not parts:
            return node.methods
        word = node.words.get(parts[0])
        if word is not None:
            return self._methods(word, parts[1:])
        return self._methods(node.variable, parts[1:]) if node.variable is not None else {}
