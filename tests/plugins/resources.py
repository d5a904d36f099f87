"""A mark for each kind of server that a test starts, and a guard: who starts one without its mark fails at once.

The guard sees every program that this process starts, by an audit hook on `subprocess.Popen`, so no helper of the rig
has to remember to ask. A test gets its marks by `@pytest.mark.<name>`, by `pytestmark` of its module, or from a fixture
that says `@uses("<name>")`. `make unit` leaves all of them out.
"""

import shlex
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

MARKS = {
    "node": "runs nodes, and the PostgreSQL that they need",
    "postgres": "runs PostgreSQL servers",
    "mariadb": "runs MariaDB servers",
    "browser": "runs a browser",
    "namespaces": "makes network namespaces",
}
_IMPLIED = {"node": {"node", "postgres"}}
_PROGRAMS = {
    "postgres": "postgres",
    "initdb": "postgres",
    "mariadbd": "mariadb",
    "mariadb-install-db": "mariadb",
    "chromium": "browser",
    "chromium-browser": "browser",
    "chromedriver": "browser",
}
# `mmnode <one of these>` talks to a node and starts none. `mmnode worker` is started by nodes only.
_COMMANDS = frozenset({"config", "status", "drain", "db", "cluster", "--version", "--help", "-h"})
# Programs that run what stands after their own options, and those that run a script.
_WRAPPERS = frozenset({"ip", "unshare", "setpriv", "env", "setsid", "timeout", "nice", "sudo"})
_SHELLS = {"sh": "", "bash": ""}
_USES = "__mmnode_uses__"

F = TypeVar("F", bound=Callable[..., Any])


def uses(*names: str) -> Callable[[F], F]:
    """Say of a fixture which resources it starts: every test that asks for it, directly or not, gets their marks."""
    assert set(names) <= MARKS.keys(), names

    def say(function: F) -> F:
        setattr(function, _USES, names)
        return function

    return say


def started_by(command: Sequence[str]) -> set[str]:
    """Which resources a command line starts."""
    words = [Path(word).name if "/" in word else word for word in command]
    if words[:3] == ["ip", "netns", "add"]:
        return {"namespaces"}
    if words[:1] and words[0] in _SHELLS and "-c" in words[:4]:
        return set().union(*(started_by(one) for one in _lines(command[words.index("-c") + 1])))
    if words[:1] and words[0] in _WRAPPERS:
        places = [place for place, word in enumerate(words) if word == "mmnode" or word in _PROGRAMS | _SHELLS]
        return started_by(list(command)[places[0] :]) if places else set()
    program, rest = (words[0], words[1:]) if words else ("", [])
    if program.startswith("python") and "mmnode" in rest and rest[rest.index("mmnode") - 1] == "-m":
        program, rest = "mmnode", rest[rest.index("mmnode") + 1 :]
    if program == "mmnode":
        return set() if _COMMANDS & set(rest[:1]) else {"node"}
    return {_PROGRAMS[program]} if program in _PROGRAMS and "--version" not in rest else set()


def _lines(script: str) -> Iterable[list[str]]:
    for line in script.splitlines():
        try:
            yield shlex.split(line)
        except ValueError:
            yield line.split()


class Guard:
    """Which test runs in this process, and what it may start."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """From the first fixture that is set up for a test to the last one that is torn down after it."""
        self.item = item
        try:
            return (yield)
        finally:
            self.item = None

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """See `sys.addaudithook`."""
        if event == "subprocess.Popen" and self.item is not None:
            self.check([str(_text(one)) for one in _words(arguments[1])])

    def check(self, command: Sequence[str]) -> None:
        """Fail the running test if it starts what it has no mark for."""
        assert self.item is not None
        marked = {mark.name for mark in self.item.iter_markers()}
        allowed = marked.union(*(_IMPLIED.get(name, set()) for name in marked))
        for name in sorted(started_by(command) - allowed):
            text = f"{self.item.nodeid} starts {command[0]} and lacks the mark `{name}`: see tests/plugins/resources.py"
            pytest.fail(text, pytrace=False)


def _words(arguments: Any) -> list[Any]:
    return [arguments] if isinstance(arguments, str | bytes | Path) else list(arguments)


def _text(word: Any) -> Any:
    return word.decode(errors="replace") if isinstance(word, bytes) else word


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Give a test the marks of the fixtures that it uses."""
    info = getattr(item, "_fixtureinfo", None)
    for definitions in info.name2fixturedefs.values() if info is not None else ():
        for name in getattr(definitions[-1].func, _USES, ()):
            item.add_marker(name)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks and set the guard."""
    for name, text in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {text} (left out of `make unit`)")
    guard = Guard()
    config.pluginmanager.register(guard, "mmnode-guard")
    sys.addaudithook(guard.audit)
