"""Health: whether this node should get traffic, and how its parts are."""

import asyncio
import os
from pathlib import Path

from app.context import Context
from db import systems
from db.errors import DatabaseError

_HEALTHY, _UNHEALTHY = "OK", "UNHEALTHY"
_DATABASE_TIMEOUT_S = 2.0


async def database_status(ctx: Context) -> str:
    """Whether the database answers within 2 s; reads only."""
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT_S):
            await systems.find(ctx.db, "ping")
    except (DatabaseError, TimeoutError):
        return _UNHEALTHY
    return _HEALTHY


def filestore_status(ctx: Context) -> str:
    """Whether files can be written where they are to lie."""
    settings = ctx.config.file_settings
    if settings.driver_name != "local":
        return _HEALTHY
    directory = Path(settings.directory)
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return _HEALTHY if os.access(directory, os.W_OK) else _UNHEALTHY
