"""What clients ask for over the socket. Unknown actions and bad parameters are answered, the socket stays open."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from app import channels, sessions, statuses
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.permissions import Actor
from db.model import limits
from db.model.errors import DatabaseError
from db.model.ids import ChannelId, SessionId, UserId, is_id
from ws.looking import Looking

Data = dict[str, Any]
DEAR: Final = {"get_statuses": 19.0}
"""As how many frames more an action counts: this one reads up to 10,000 rows, which takes as long as twenty others."""


PRESENCE: Final = "presence"
"""Of the socket alone: `presence` below."""


def ok(seq: int, data: Data | None = None) -> bytes:
    """A good reply; `data` is left out when there is none."""
    body: Data = {"status": "OK", "seq_reply": seq}
    if data is not None:
        body["data"] = data
    return wire.encode(body)


def fail(seq: int, error: AppError) -> bytes:
    """A reply that says why not."""
    return wire.encode(
        {
            "status": "FAIL",
            "seq_reply": seq,
            "error": {
                "id": error.id,
                "message": error.message,
                "detailed_error": "",
                "status_code": error.status,
            },
        }
    )


def router_error(seq: int, action: str, *, authenticated: bool) -> AppError | None:
    """What the router itself refuses, in Mattermost's order."""
    if not action:
        return AppError("api.web_socket_router.no_action.app_error", 400)
    if seq <= 0:
        return AppError("api.web_socket_router.bad_seq.app_error", 400)
    if not authenticated:
        return AppError("api.web_socket_router.not_authenticated.app_error", 401)
    if action not in _ACTIONS and action != PRESENCE:
        return AppError("api.web_socket_router.bad_action.app_error", 500)
    return None


async def run(ctx: Context, session_id: SessionId, seq: int, action: str, data: Data) -> bytes:
    """Do what an authenticated client asks; the reply."""
    try:
        return ok(seq, await _ACTIONS[action](ctx, session_id, data))
    except AppError as error:
        return fail(seq, error)
    except DatabaseError:
        return fail(seq, AppError("api.websocket_handler.server_busy.app_error", 503))


def presence(looking: Looking, seq: int, data: Data) -> bytes:
    """The client says where its user looks; the reply."""
    wrong = looking.tell(data)
    return fail(seq, _invalid(wrong)) if wrong else ok(seq)


def _invalid(name: str) -> AppError:
    return AppError("api.websocket_handler.invalid_param.app_error", 400, Name=name)


async def _ping(ctx: Context, _session_id: SessionId, _data: Data) -> Data:
    return {"text": "pong", "version": ctx.client_config.version, "server_time": ctx.now_ms(), "node_id": ""}


async def _user_typing(ctx: Context, session_id: SessionId, data: Data) -> None:
    actor: Actor = await sessions.current(ctx, session_id)
    channel_id, parent_id = data.get("channel_id"), data.get("parent_id", "")
    if not is_id(channel_id):
        raise _invalid("channel_id")
    if not isinstance(parent_id, str) or (parent_id and not is_id(parent_id)):
        raise _invalid("parent_id")
    await channels.tell_typing(ctx, actor, actor.user_id, ChannelId(str(channel_id)), parent_id)
    ctx.bus.publish(events.active(actor.user_id))


async def _user_update_active_status(ctx: Context, session_id: SessionId, data: Data) -> None:
    active, manual = data.get("user_is_active"), data.get("manual", False)
    if not isinstance(active, bool):
        raise _invalid("user_is_active")
    if not isinstance(manual, bool):
        raise _invalid("manual")
    actor = await sessions.current(ctx, session_id)
    change = statuses.came_back if active else statuses.went_away
    await change(ctx, actor.user_id, manual=manual)


async def _get_statuses(ctx: Context, _session_id: SessionId, _data: Data) -> Data:
    return {status.user_id: status.status for status in await statuses.find_present(ctx)}


async def _get_statuses_by_ids(ctx: Context, _session_id: SessionId, data: Data) -> Data:
    user_ids = data.get("user_ids")
    if not isinstance(user_ids, list) or not 1 <= len(user_ids) <= limits.USER_IDS or not all(map(is_id, user_ids)):
        raise _invalid("user_ids")
    found = await statuses.find_many(ctx, [UserId(one) for one in user_ids])
    return {status.user_id: status.status for status in found}


async def _posted_notify_ack(_ctx: Context, _session_id: SessionId, data: Data) -> None:
    """A client has notified its user of a post, or says why not."""
    if not is_id(data.get("post_id")):
        raise _invalid("post_id")


_ACTIONS: Final[dict[str, Callable[[Context, SessionId, Data], Awaitable[Data | None]]]] = {
    "ping": _ping,
    "user_typing": _user_typing,
    "user_update_active_status": _user_update_active_status,
    "get_statuses": _get_statuses,
    "get_statuses_by_ids": _get_statuses_by_ids,
    "posted_notify_ack": _posted_notify_ack,
}
