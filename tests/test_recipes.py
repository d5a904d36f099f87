"""CONTRIBUTING.md is enough: who follows it touches the files that it names and no others, and is told what is missing."""

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.recipes.every import RECIPES, RENEW, RENEWED
from tests.recipes.step import Edit
from tests.tables import ROOT

STEPS = max(len(one.steps) for one in RECIPES)
CHECKS = sorted(
    {name.partition("::")[0] for one in RECIPES for step in one.steps for name in step.missing if "::" in name}
)
"""The files of tests that are to say what is missing."""
_NOT_OURS = shutil.ignore_patterns(".*", "__pycache__", "build", "node_modules", "node-data", "*.egg-info")
_NO_SERVERS = "not (node or postgres or mariadb or browser or namespaces)"
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


class Checkout:
    """A copy of this checkout, in which the recipes are followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT, root, ignore=_NOT_OURS)

    def take(self, number: int) -> None:
        """The steps of this number, of all recipes."""
        for recipe in RECIPES:
            for edit in recipe.steps[number].edits if number < len(recipe.steps) else ():
                path = self.root / edit.path
                path.write_text(edit.of(path.read_text() if path.exists() else ""))

    def run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A module of the copy (`-m`), or a tool of the checkout on it."""
        named = [sys.executable, "-P", "-m"] if program == "-m" else [str(Path(sys.executable).with_name(program))]
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        environment.pop("PYTEST_ADDOPTS", None)
        command = [*named, *arguments]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=120)

    def missing(self) -> set[str]:
        """Tests that fail, contracts that are broken, and files in which mypy finds a `match` that lacks a command."""
        options = (
            "-q",
            "--continue-on-collection-errors",
            "-k",
            "not costs",  # what is measured is of no step, and is measured outside of the copy
            "-m",
            _NO_SERVERS,
            "-p",
            "no:xdist",
            "-p",
            "no:cacheprovider",
        )
        tests = self.run("-m", "pytest", *options, *CHECKS)
        found = set(re.findall(r"^(?:FAILED|ERROR) (\S+)", tests.stdout, re.MULTILINE))
        assert tests.returncode == bool(found), tests.stdout + tests.stderr
        contracts = self.run("lint-imports", "--no-cache").stdout
        assert "Contracts: " in contracts, contracts
        found |= set(re.findall(r"^(.*) BROKEN$", contracts, re.MULTILINE))
        commands = ("cluster/node/operations.py", "cluster/commands/of_node.py")
        types = self.run("mypy", "--follow-imports=skip", "--cache-dir", f"{self.root}/.mypy_cache", *commands).stdout
        return found | set(re.findall(r"^(\S+?):.*\"assert_never\"", types, re.MULTILINE))


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, list[set[str]]]:
    """The checkout after all steps, with its documents made anew, and what was missing after each step."""
    checkout, missing = Checkout(tmp_path_factory.mktemp("newcomer") / "mmnode"), []
    for number in range(STEPS):
        checkout.take(number)
        missing.append(checkout.missing())
    for module in RENEW:
        said = checkout.run("-m", module)
        assert said.returncode == 0, said.stderr
    return checkout, missing


def _missing_after(step: int) -> set[str]:
    """Documents stay stale until they are made anew, everything else until the next step."""
    found: set[str] = set()
    for recipe in RECIPES:
        for number, one in enumerate(recipe.steps[: step + 1]):
            found |= {name for name in one.missing if number == step or name in RENEWED}
    return found


def test_what_is_missing_is_said_after_each_step_and_nothing_else(followed: tuple[Checkout, list[set[str]]]) -> None:
    _, missing = followed
    for step, found in enumerate(missing):
        assert found == _missing_after(step), step


def test_who_has_followed_the_recipes_is_done(followed: tuple[Checkout, list[set[str]]]) -> None:
    checkout, _ = followed
    assert checkout.missing() == set()
    for recipe in RECIPES:
        for document, shown in recipe.made:
            assert shown in (checkout.root / document).read_text(), recipe.heading
            assert shown not in (ROOT / document).read_text(), "choose another one: this one is there now"
    touched = {edit.path for edit in _edits() if edit.path.endswith(".py")}
    linted = checkout.run("ruff", "check", "--no-cache", "--ignore", "I001", *touched)
    assert linted.returncode == 0, linted.stdout


def test_the_operation_is_in_the_openapi_document(followed: tuple[Checkout, list[set[str]]]) -> None:
    checkout, _ = followed
    code = "import json, sys; from api import openapi, table; print(json.dumps(openapi.document(table.EVERY)))"
    (checkout.root / "shown.py").write_text(code)
    said = checkout.run("-m", "shown")
    assert "/users/{user_id}/posts/{post_id}/ack" in said.stdout, said.stderr


def _edits() -> list[Edit]:
    return [edit for one in RECIPES for step in one.steps for edit in step.edits]


def _recipes() -> dict[str, str]:
    """What CONTRIBUTING.md says, by heading."""
    _, *parts = _HEADING.split((ROOT / "CONTRIBUTING.md").read_text().partition("\n# Recipes\n")[2])
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_recipe_is_followed_here() -> None:
    assert sorted(_recipes()) == sorted({one.heading for one in RECIPES})


@pytest.mark.parametrize("heading", sorted({one.heading for one in RECIPES}))
def test_a_recipe_names_every_file_that_is_touched(heading: str) -> None:
    named = [re.sub(r"<\w+>s?|NNNN_name", "*", one) for one in re.findall(r"`([\w/.<>*]+)`", _recipes()[heading])]
    for recipe in RECIPES:
        if recipe.heading == heading:
            for edit in (edit for step in recipe.steps for edit in step.edits):
                assert any(fnmatch(edit.path, one) or fnmatch(edit.path, f"*/{one}") for one in named), edit.path
