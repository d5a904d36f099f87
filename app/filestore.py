"""Where files lie."""

import os
from pathlib import Path

from app.config.settings import FileSettings


def writable(settings: FileSettings) -> bool:
    """Whether files can be written where they are to lie, as far as that can be told without writing one."""
    if settings.driver_name != "local":
        return True
    directory = Path(settings.directory)
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return os.access(directory, os.W_OK)
