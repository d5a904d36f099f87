"""What becomes of an exception: Mattermost's error JSON, and a fault of ours in the log."""

import logging
from typing import Any

import falcon
from falcon.asgi import App, Request, Response

from api import replies
from api.known import Map
from app import errors
from app.errors import AppError
from db.model.errors import BadValue, Busy, DatabaseError, Deadlock, Unavailable

log = logging.getLogger(__name__)


def add_handlers(app: App[Request, Response], leads_to: Map) -> None:
    """Answer whatever is raised. leads_to: what a request means that no operation takes."""

    async def on_http_error(req: Request, resp: Response, error: falcon.HTTPError, _params: dict[str, Any]) -> None:
        """What Falcon itself refuses, in Mattermost's form."""
        if error.status_code in (404, 405):
            refusal, allowed = leads_to.refusal(req.method, req.path)
            if allowed:
                resp.set_header("Allow", allowed)
        else:
            refusal = AppError("api.context.invalid_param.app_error", error.status_code, Name="request")
        replies.send_error(req, resp, refusal)

    app.add_error_handler(AppError, _on_app_error)
    app.add_error_handler(DatabaseError, on_database_error)
    app.add_error_handler(falcon.HTTPError, on_http_error)
    app.add_error_handler(Exception, _on_fault)


async def _on_app_error(req: Request, resp: Response, error: AppError, _params: dict[str, Any]) -> None:
    replies.send_error(req, resp, error)


async def on_database_error(req: Request, resp: Response, error: DatabaseError, _params: dict[str, Any]) -> None:
    """It cannot be reached, or what a client sent cannot be stored; anything else is a fault."""
    if isinstance(error, (Unavailable, Busy, Deadlock)):
        replies.send_error(req, resp, errors.server_busy())
    elif isinstance(error, BadValue):
        replies.send_error(req, resp, errors.invalid_body("value"))
    else:
        await _on_fault(req, resp, error, _params)


async def _on_fault(req: Request, resp: Response, error: Exception, _params: dict[str, Any]) -> None:
    """A fault of ours: the client learns the request id, the log the rest."""
    log.error(
        "request failed",
        exc_info=error,
        extra={"request_id": req.context.request_id, "method": req.method, "path": req.path},
    )
    replies.send_error(req, resp, AppError("api.context.internal.app_error", 500))
