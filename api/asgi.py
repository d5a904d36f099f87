"""create_app: routes, middleware, error handlers."""

import logging
from typing import Any

import falcon
from falcon.asgi import App, Request, Response

from api import cors, paths, replies
from api.audits import Audits
from api.channels import Channels
from api.members import Members
from api.pages import Pages
from api.posts import Posts
from api.reactions import Reactions
from api.sessions import Sessions
from api.system import System
from api.teams import Teams
from api.users import Users
from app import errors
from app.context import Context
from app.errors import AppError
from db.model.errors import BadValue, Busy, DatabaseError, Deadlock, Unavailable
from db.model.ids import new_id

log = logging.getLogger(__name__)

V4 = "/api/v4"


def create_app(ctx: Context) -> App[Request, Response]:
    """The ASGI application of an api worker."""
    app = App(middleware=[Headers(ctx)])
    app.resp_options.secure_cookies_by_default = False
    app.add_error_handler(AppError, _on_app_error)
    app.add_error_handler(DatabaseError, _on_database_error)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(Exception, _on_fault)
    for template, resource, suffix in routes(ctx):
        app.add_route(template, resource, suffix=suffix)
    app.add_route("/", Pages())
    return app


def routes(ctx: Context) -> list[tuple[str, object, str | None]]:
    """Path template, resource and method suffix of every operation."""
    users, teams, channels, posts, system = Users(ctx), Teams(ctx), Channels(ctx), Posts(ctx), System(ctx)
    sessions, members, reactions, audits = Sessions(ctx), Members(ctx), Reactions(ctx), Audits(ctx)
    return [
        (f"{V4}/users", users, None),
        (f"{V4}/users/login", users, "login"),
        (f"{V4}/users/logout", users, "logout"),
        (f"{V4}/users/ids", users, "ids"),
        (f"{V4}/users/{{user_id}}", users, "one"),
        (f"{V4}/users/username/{{username}}", users, "by_name"),
        (f"{V4}/users/{{user_id}}/typing", users, "typing"),
        (f"{V4}/users/{{user_id}}/teams", users, "teams"),
        (f"{V4}/users/{{user_id}}/teams/{{team_id}}/channels", users, "channels"),
        (f"{V4}/users/{{user_id}}/teams/{{team_id}}/channels/members", users, "channel_members"),
        (f"{V4}/users/{{user_id}}/channels/{{channel_id}}/posts/unread", users, "unread"),
        (f"{V4}/users/{{user_id}}/sessions", sessions, None),
        (f"{V4}/users/{{user_id}}/sessions/revoke", sessions, "revoke"),
        (f"{V4}/users/{{user_id}}/sessions/revoke/all", sessions, "revoke_all"),
        (f"{V4}/users/sessions/revoke/all", sessions, "revoke_everybodys"),
        (f"{V4}/users/{{user_id}}/active", sessions, "active"),
        (f"{V4}/users/{{user_id}}/roles", sessions, "roles"),
        (f"{V4}/users/{{user_id}}/reset_failed_attempts", sessions, "reset_failed_attempts"),
        (f"{V4}/users/{{user_id}}/audits", audits, "of_user"),
        (f"{V4}/audits", audits, None),
        (f"{V4}/users/{{user_id}}/status", sessions, "status"),
        (f"{V4}/users/status/ids", sessions, "status_ids"),
        (f"{V4}/teams", teams, None),
        (f"{V4}/teams/{{team_id}}/members/{{user_id}}", members, "of_team"),
        (f"{V4}/teams/{{team_id}}/members/{{user_id}}/roles", members, "team_roles"),
        (f"{V4}/teams/{{team_id}}/members/{{user_id}}/schemeRoles", members, "team_scheme_roles"),
        (f"{V4}/channels/{{channel_id}}/stats", members, "stats"),
        (f"{V4}/channels/{{channel_id}}/members/{{user_id}}", members, "of_channel"),
        (f"{V4}/channels/{{channel_id}}/members/{{user_id}}/roles", members, "channel_roles"),
        (f"{V4}/channels/{{channel_id}}/members/{{user_id}}/schemeRoles", members, "channel_scheme_roles"),
        (f"{V4}/teams/name/{{name}}", teams, "by_name"),
        (f"{V4}/teams/{{team_id}}/members", teams, "members"),
        (f"{V4}/teams/{{team_id}}/channels/name/{{channel_name}}", teams, "channel_by_name"),
        (f"{V4}/channels", channels, None),
        (f"{V4}/channels/direct", channels, "direct"),
        (f"{V4}/channels/{{channel_id}}", channels, "one"),
        (f"{V4}/channels/{{channel_id}}/members", channels, "members"),
        (f"{V4}/channels/{{channel_id}}/posts", channels, "posts"),
        (f"{V4}/channels/{{channel_id}}/pinned", channels, "pinned"),
        (f"{V4}/channels/members/{{user_id}}/view", channels, "view"),
        (f"{V4}/posts", posts, None),
        (f"{V4}/posts/{{post_id}}", posts, "one"),
        (f"{V4}/posts/{{post_id}}/thread", posts, "thread"),
        (f"{V4}/posts/{{post_id}}/patch", posts, "patch"),
        (f"{V4}/posts/{{post_id}}/pin", posts, "pin"),
        (f"{V4}/posts/{{post_id}}/unpin", posts, "unpin"),
        (f"{V4}/reactions", reactions, None),
        (f"{V4}/posts/{{post_id}}/reactions", reactions, "of_post"),
        (f"{V4}/posts/ids/reactions", reactions, "of_posts"),
        (f"{V4}/users/{{user_id}}/posts/{{post_id}}/reactions/{{emoji_name}}", reactions, "one"),
        (f"{V4}/system/ping", system, "ping"),
        ("/api/v3/general/ping", system, "ping_v3"),
        (f"{V4}/websocket", system, "websocket"),
        (f"{V4}/config", system, "config"),
        (f"{V4}/config/client", system, "client_config"),
        (f"{V4}/license/client", system, "client_license"),
        (f"{V4}/config/reload", system, "reload"),
        (f"{V4}/database/recycle", system, "recycle"),
        (f"{V4}/caches/invalidate", system, "purge"),
        (f"{V4}/cluster/status", system, "cluster_status"),
    ]


class Headers:
    """What every reply carries (`replies.common_headers`), and what is answered before any operation is."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def process_request(self, req: Request, resp: Response) -> None:
        """Name the request."""
        req.context.request_id = new_id()
        if cors.is_preflight(req):
            resp.status = 204
            resp.complete = True

    async def process_resource(self, req: Request, _resp: Response, _resource: object, params: dict[str, Any]) -> None:
        """What reads like an operation of Mattermost that is not here is no bad id: 404."""
        for name, words in paths.words_of(req.uri_template or "", V4):
            if params[name] in words:
                raise AppError("api.context.404.app_error", 404)

    async def process_response(self, req: Request, resp: Response, _resource: object, _succeeded: bool) -> None:
        """Set the headers."""
        version_id = self._ctx.client_config.version_id
        resp.set_headers(replies.common_headers(req.context.request_id, version_id))


async def _on_app_error(req: Request, resp: Response, error: AppError, _params: dict[str, Any]) -> None:
    replies.send_error(req, resp, error)


async def _on_database_error(req: Request, resp: Response, error: DatabaseError, _params: dict[str, Any]) -> None:
    if isinstance(error, (Unavailable, Busy, Deadlock)):
        replies.send_error(req, resp, errors.server_busy())
    elif isinstance(error, BadValue):
        replies.send_error(req, resp, errors.invalid_body("value"))
    else:
        await _on_fault(req, resp, error, _params)


async def _on_http_error(req: Request, resp: Response, error: falcon.HTTPError, _params: dict[str, Any]) -> None:
    """What Falcon itself refuses, in Mattermost's form."""
    if error.status_code == 405:
        refusal = AppError("api.context.405.app_error", 405)
        for name, value in dict(error.headers or {}).items():
            resp.set_header(name, value)
    elif error.status_code == 404:
        refusal = AppError("api.context.404.app_error", 404)
    else:
        refusal = AppError("api.context.invalid_param.app_error", error.status_code, Name="request")
    replies.send_error(req, resp, refusal)


async def _on_fault(req: Request, resp: Response, error: Exception, _params: dict[str, Any]) -> None:
    """A fault of ours: the client learns the request id, the log the rest."""
    log.error(
        "request failed",
        exc_info=error,
        extra={"request_id": req.context.request_id, "method": req.method, "path": req.path},
    )
    replies.send_error(req, resp, AppError("api.context.internal.app_error", 500))
