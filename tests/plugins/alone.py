"""Tests with the mark `alone` run while no other worker runs a test: what they do, or measure, concerns the whole machine.

By two locks on files of the run. Who begins passes the gate; who runs alone keeps it closed until all others have
finished what they are at, and until it has finished itself.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest


class Locks:
    """The two locks of a run. directory: the same for all workers."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._gate, self._running = (_open(directory / name) for name in ("gate", "running"))

    @contextlib.contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """While a test runs."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._running, fcntl.LOCK_UN)
            fcntl.flock(self._gate, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


class Alone:
    """The hook."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """From the first fixture that is set up for a test to the last one that is torn down after it."""
        with self._locks.held(alone=item.get_closest_marker("alone") is not None):
            return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark; where there is one worker only, every test runs alone."""
    config.addinivalue_line("markers", "alone: no other test runs meanwhile, on no worker")
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is not None and "PYTEST_CURRENT_TEST" not in os.environ:  # else a test of that run started us
        config.pluginmanager.register(Alone(Locks(Path(tempfile.gettempdir()) / f"mmnode-run-{run}")), "mmnode-alone")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The controller removes what its workers shared."""
    session = config.pluginmanager.get_plugin("dsession")
    run = getattr(getattr(session, "nodemanager", None), "testrunuid", None)
    if run is not None:
        directory = Path(tempfile.gettempdir()) / f"mmnode-run-{run}"
        for name in ("gate", "running"):
            (directory / name).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            directory.rmdir()
