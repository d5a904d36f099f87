"""Every error id that the code can answer with has a text, and no text is left without a use.

The ids are read from the source: they stand in calls of AppError, as constants or as f-strings over a name whose
values are constants in the same module (an argument of the function, or an assignment in it).
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from app.errors import MESSAGES, AppError, forbidden, invalid_body, server_busy

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("app", "api", "ws") for path in (ROOT / folder).rglob("*.py"))


@dataclass(frozen=True)
class Use:
    """A call of AppError with the names of its parameters."""

    error_id: str
    where: str
    parameters: frozenset[str]


class _Module:
    """The error ids of one module."""

    def __init__(self, path: Path) -> None:
        self.name = str(path.relative_to(ROOT))
        self.tree = ast.parse(path.read_text())
        self._function_of: dict[ast.AST, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        for node in ast.walk(self.tree):  # outer functions come first, so the innermost one stays
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._function_of.update(dict.fromkeys(ast.walk(node), node))

    def uses(self) -> Iterator["Use"]:
        """The calls of AppError, by each id that they may give."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "AppError":
                parameters = frozenset(str(keyword.arg) for keyword in node.keywords) - {"retry_after_s"}
                for error_id in self._values(node.args[0]):
                    yield Use(error_id, f"{self.name}:{node.lineno}", parameters)

    def _values(self, node: ast.expr) -> set[str]:
        """The texts that an expression may stand for."""
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.IfExp(body=body, orelse=orelse):
                return self._values(body) | self._values(orelse)
            case ast.JoinedStr(values=parts):
                return {"".join(texts) for texts in product(*(self._values(part) for part in parts))}
            case ast.FormattedValue(value=value):
                return self._values(value)
            case ast.Name(id=name):
                function = self._function_of[node]
                given = self._given(function, name) | self._assigned(function, name)
                assert given, f"{self.name}:{node.lineno}: say what {name!r} may be"
                return given
        raise AssertionError(f"{self.name}:{node.lineno}: the values of {ast.unparse(node)} are not to be found")

    def _given(self, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> set[str]:
        names = [argument.arg for argument in function.args.args]
        if name not in names:
            return set()
        place = names.index(name)
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == function.name:
                found |= self._values(node.args[place])
        return found

    def _assigned(self, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets):
                found |= self._values(node.value)
        return found


USES = [use for module in map(_Module, SOURCES) for use in module.uses()]
USED = {use.error_id for use in USES}


def test_the_ids_are_found() -> None:
    assert len(USED) > 50
    assert "model.user.is_valid.nickname.app_error" in USED  # through an argument
    assert "app.user.save.username_exists.app_error" in USED  # through an assignment


def test_every_id_in_the_code_has_a_text() -> None:
    assert [use for use in USES if use.error_id not in MESSAGES] == []


def test_every_text_is_used() -> None:
    assert sorted(MESSAGES.keys() - USED) == []


def test_every_use_fills_its_text() -> None:
    wanted = {error_id: frozenset(re.findall(r"{(\w+)}", text)) for error_id, text in MESSAGES.items()}
    assert [use for use in USES if use.parameters != wanted.get(use.error_id)] == []


def test_every_id_has_the_form_of_mattermosts() -> None:
    form = re.compile(r"(api|app|ent|model|store)(\.[a-z0-9_]+)+")
    assert [error_id for error_id in MESSAGES if not form.fullmatch(error_id)] == []


def test_every_text_is_a_sentence() -> None:
    assert [text for text in MESSAGES.values() if not re.fullmatch(r"[A-Z].*\.", text)] == []


def test_parameters_fill_the_text() -> None:
    assert invalid_body("team_id").message == "Invalid or missing team_id in request body."


def test_a_text_is_never_answered_with_a_gap() -> None:
    with pytest.raises(KeyError):
        AppError("api.context.invalid_param.app_error", 400)


def test_errors_know_their_status() -> None:
    assert (forbidden().status, forbidden().retry_after_s) == (403, None)
    assert (server_busy(7).status, server_busy(7).retry_after_s) == (503, 7)
