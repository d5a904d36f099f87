"""A mark for each kind of server that a test starts, and a guard: who starts one without its mark fails at once.

The guard sees the programs that this process starts, by Python's audit events, so no helper of the rig has to remember to
ask; what it stopped fails the test also where somebody caught that. Servers that tests share ask by `require`. A test gets its marks by `@pytest.mark.<name>`, by `pytestmark` of its module, or from a fixture
that says `@uses("<name>")`. `make unit` leaves all of them out.
"""

import re
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
    "google-chrome": "browser",
    "firefox": "browser",
    "pg_ctl": "postgres",
    "mysqld": "mariadb",
}
# `mmnode <one of these>` starts no node.
_COMMANDS = frozenset({"config", "forkserver", "status", "drain", "db", "cluster", "--version", "--help", "-h"})
# Programs that run what stands after their own options, and those that run a script.
_WRAPPERS = frozenset(
    {"ip", "unshare", "setpriv", "env", "setsid", "timeout", "nice", "sudo", "nohup", "taskset", "exec"}
)
_SHELLS = frozenset({"sh", "bash"})
# Of audit events: where the program and its arguments stand.
_EVENTS = {"subprocess.Popen": (0, 1), "os.posix_spawn": (0, 1), "os.exec": (0, 1), "os.spawn": (1, 2)}
_USES = "__mmnode_uses__"

F = TypeVar("F", bound=Callable[..., Any])


def uses(*names: str) -> Callable[[F], F]:
    """Say of a fixture which resources it starts: every test that asks for it, directly or not, gets their marks."""
    assert set(names) <= MARKS.keys(), f"uses{names}: there are {', '.join(MARKS)}"

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
        known = {"mmnode", *_PROGRAMS, *_SHELLS}
        places = [place for place, word in enumerate(words) if word in known]
        return started_by(list(command)[places[0] :]) if places else set()
    program, rest = (words[0], words[1:]) if words else ("", [])
    if program.startswith("python") and "mmnode" in rest and rest[rest.index("mmnode") - 1] == "-m":
        program, rest = "mmnode", rest[rest.index("mmnode") + 1 :]
    if program == "mmnode":
        return set() if _COMMANDS & set(rest[:1]) else {"node"}
    return {_PROGRAMS[program]} if program in _PROGRAMS and "--version" not in rest else set()


def _lines(script: str) -> Iterable[list[str]]:
    """The commands of a shell script, roughly: what stands between separators, without assignments before it."""
    for line in re.split(r"[\n;|&(){}]+", script):
        try:
            words = shlex.split(line)
        except ValueError:
            words = line.split()
        while words and re.match(r"\w+=", words[0]):
            del words[0]
        yield words


class Guard:
    """Which test runs in this process, and what it may start."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        self._refused: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """From the first fixture that is set up for a test to the last one that is torn down after it."""
        self._item = item
        self._refused.clear()
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """What was refused is a failure, whoever caught it."""
        result = yield
        if self._refused:
            pytest.fail(self._refused[0], pytrace=False)
        return result

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """See `sys.addaudithook`."""
        if self._item is None:
            return
        if event == "os.system":
            self._check(["sh", "-c", str(_text(arguments[0]))])
        elif event in _EVENTS:
            program, words = (arguments[place] for place in _EVENTS[event])
            command = [str(_text(one)) for one in _words(words)]
            self._check(command)
            if program is not None:
                self._check([str(_text(program)), *command[1:]])

    def _check(self, command: Sequence[str]) -> None:
        for name in sorted(started_by(command)):
            self.require(name, f"starts {command[0]}")

    def require(self, name: str, what: str) -> None:
        """Fail the running test if it lacks a mark. what: it did, for the message."""
        if self._item is None:
            return
        if self._item.get_closest_marker(name) is None:
            text = (
                f'it {what} and lacks the mark `{name}`: @pytest.mark.{name} on the test, or @uses("{name}") on the'
                f" fixture that does it (`node` includes `postgres`; docs/testing.md): {self._item.nodeid}"
            )
            self._refused.append(text)
            pytest.fail(text, pytrace=False)


_guards: list[Guard] = []


def require(name: str) -> None:
    """Say that the running test uses a server that may be running already."""
    for guard in _guards:
        guard.require(name, "uses a server")


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
    for mark in list(item.iter_markers()):
        for implied in _IMPLIED.get(mark.name, set()) - {mark.name}:
            item.add_marker(implied)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks and set the guard."""
    for name, text in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {text} (left out of `make unit`)")
    guard = Guard()
    config.pluginmanager.register(guard, "mmnode-guard")
    _guards.append(guard)
    sys.addaudithook(guard.audit)
