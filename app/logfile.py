"""The newest lines of this node's log, where it goes to a file."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from app import errors
from app.context import Context
from app.errors import AppError
from app.events.wire import Json
from app.permissions import Actor, can, require

MOST_BYTES: Final = 8 << 20
"""Of the end of the file; what is older is for whoever has the file."""


class Query(msgspec.Struct, kw_only=True):
    """POST /logs/query. Times as Mattermost's console writes them, `2026-11-28 16:00:00.000 +00:00`; '' for any."""

    server_names: list[str] = []
    log_levels: list[str] = []
    date_from: str = ""
    date_to: str = ""


async def query(ctx: Context, actor: Actor, wanted: Query, page: int, size: int) -> dict[str, list[Json]]:
    """The same as objects, by the name of the node; only those that are wanted. Raises 400, 403, 500."""
    begin, end = _time(wanted.date_from, "date_from"), _time(wanted.date_to, "date_to")
    found = []
    for line in await lines(ctx, actor, page, size):
        try:
            entry = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            continue  # where the log says of itself that it has lost some
        at = str(entry.get("timestamp", ""))
        if (
            (not wanted.log_levels or entry.get("level") in wanted.log_levels)
            and begin <= at
            and (not end or at <= end)
        ):
            found.append(entry)
    return {} if wanted.server_names and ctx.hostname not in wanted.server_names else {ctx.hostname: found}


def _time(text: str, name: str) -> str:
    """As the log writes it. Raises 400."""
    if not text:
        return ""
    try:
        at = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f %z").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise errors.invalid_body(name) from error
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


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
