"""Directories for servers of tests: in memory where there is room, as nothing here is about disks.

Names carry the pid of the test run: what a killed one left behind, processes too, is removed by the next.
"""

import contextlib
import os
import re
import shutil
import signal
import tempfile
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30
_PREFIX = "mmnode-test-"


@cache
def base() -> Path:
    """Where they lie. Removes what is stale there."""
    found = Path(tempfile.gettempdir())
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES:
        found = _MEMORY
    remove_stale(found)
    return found


def new_directory() -> Path:
    """A directory that PostgreSQL's own account can get to (pytest's are closed to others)."""
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base()))
    directory.chmod(0o755)
    return directory


def remove_stale(where: Path) -> None:
    """Directories of test runs that have ended, and the processes that still work in them."""
    for directory in where.glob(f"{_PREFIX}*"):
        mine = re.match(rf"{_PREFIX}(\d+)-", directory.name)
        if mine is None or Path(f"/proc/{mine[1]}").exists():
            continue
        try:
            if directory.stat().st_uid != os.getuid():
                continue
        except FileNotFoundError:  # another process of tests was faster
            continue
        for pid in processes_of(directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(directory, ignore_errors=True)


def processes_of(directory: Path) -> list[int]:
    """Pids of all processes whose command line names the directory."""
    needle = str(directory).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if needle in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
