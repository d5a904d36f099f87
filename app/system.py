"""Health and operation: whether this node should get traffic, and how its parts are."""

import asyncio
import os
from pathlib import Path

from app.context import Context
from app.errors import AppError
from app.permissions import Actor, can, require
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


async def reload_config(ctx: Context, actor: Actor) -> None:
    """Load the configuration file again, on this node. Raises 403, and 400 when the file cannot be used."""
    require(can(actor, "manage_system"))
    answer = await ctx.operator.command("reload")
    if not answer.get("ok"):
        raise AppError("api.config.reload.app_error", 400, Reason=answer.get("error", "a worker did not answer"))


async def recycle_database(ctx: Context, actor: Actor) -> None:
    """Replace all database connections of this node by new ones. Raises 403, and 503 when the old ones stay."""
    require(can(actor, "manage_system"))
    answer = await ctx.operator.command("recycle")
    if not answer.get("ok"):
        raise AppError("api.database.recycle.app_error", 503, Reason=answer.get("error", "a worker did not answer"))


def filestore_status(ctx: Context) -> str:
    """Whether files can be written where they are to lie."""
    settings = ctx.config.file_settings
    if settings.driver_name != "local":
        return _HEALTHY
    directory = Path(settings.directory)
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return _HEALTHY if os.access(directory, os.W_OK) else _UNHEALTHY
