"""Directories for servers of tests: in memory where there is room, as nothing here is about disks."""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30


@cache
def base() -> Path:
    """Where they lie."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES:
        return _MEMORY
    return Path(tempfile.gettempdir())


def new_directory() -> Path:
    """A directory that PostgreSQL's own account can get to (pytest's are closed to others)."""
    directory = Path(tempfile.mkdtemp(prefix="mmnode-test-", dir=base()))
    directory.chmod(0o755)
    return directory
