"""The newest lines of this node's log, where it goes to a file."""

import os
from pathlib import Path
from typing import Final

from app.context import Context
from app.errors import AppError
from app.permissions import Actor, can, require

MOST_BYTES: Final = 8 << 20
"""Of the end of the file; what is older is for whoever has the file."""


async def lines(ctx: Context, actor: Actor, page: int, size: int) -> list[str]:
    """A page of lines, of which page 0 has the newest; in each the oldest first. [] without a file. Raises 403, 500."""
    require(can(actor, "manage_system"))
    log = ctx.config.log_settings
    if not log.enable_file:
        return []
    try:
        found = await ctx.work.run(actor.user_id, lambda: tail(Path(log.file_location)))
    except OSError as error:
        raise AppError("api.admin.file_read_error", 500) from error
    end = len(found) - page * size
    return found[max(0, end - size) : end] if end > 0 else []


def tail(path: Path) -> list[str]:
    """The whole lines among the last MOST_BYTES. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MOST_BYTES))
        data = file.read(MOST_BYTES)
    if size > MOST_BYTES:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace").splitlines()
