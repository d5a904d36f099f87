"""Ping, client configuration, licence, and what operators do: reload, recycle, purge, the state of the cluster."""

from falcon.asgi import Request, Response

from api import auth, params, replies
from app import system
from app.context import Context
from app.errors import AppError
from app.events import wire
from app.version import MATTERMOST_VERSION

_APP_VERSIONS = {
    "AndroidLatestVersion": "",
    "AndroidMinVersion": "",
    "DesktopLatestVersion": "",
    "DesktopMinVersion": "",
    "IosLatestVersion": "",
    "IosMinVersion": "",
}


class System:
    """/system, /config, /database, /caches, /cluster, /license."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_get_ping(self, req: Request, resp: Response) -> None:
        """GET /system/ping: 200 when this node should get traffic, else 503 with the reason. Asks no database.

        200 with the reason `degraded_reads`: what is kept is still served, and nothing can be written anywhere.

        `get_server_status=true` adds how the database and the file store are; when one is not well the answer is 500.
        """
        reason = self._ctx.health.broken()
        body = {"status": "OK" if reason is None else "UNHEALTHY", **_APP_VERSIONS}
        status = 200
        if reason is not None:
            body |= self._why(reason)
            status = 503
        elif self._ctx.health.degraded():
            body["reason"] = "degraded_reads"
        if params.flag(req, "get_server_status"):
            body["database_status"] = await system.database_status(self._ctx)
            body["filestore_status"] = system.filestore_status(self._ctx)
            if "UNHEALTHY" in (body["database_status"], body["filestore_status"]) and status == 200:
                body["status"] = "UNHEALTHY"
                status = 500
        replies.send(resp, body, status)

    def _why(self, reason: str) -> dict[str, str]:
        """Why this node should get no traffic; of one that is joining, also what it waits for."""
        waits_for = self._ctx.health.waits_for() if reason == "joining" else ""
        return {"reason": reason} | ({"waits_for": waits_for} if waits_for else {})

    async def on_get_ping_v3(self, _req: Request, resp: Response) -> None:
        """GET /api/v3/general/ping: the health check of the HA document, as server 3.9 answered it."""
        reason = self._ctx.health.broken()
        body = {"server_time": str(self._ctx.now_ms()), "version": MATTERMOST_VERSION}
        if reason is not None:
            body |= self._why(reason)
        replies.send(resp, body, 200 if reason is None else 503)

    on_head_ping = on_get_ping
    on_head_ping_v3 = on_get_ping_v3

    async def on_get_websocket(self, _req: Request, _resp: Response) -> None:
        """GET /websocket without an upgrade: there is nothing here for HTTP."""
        raise AppError("api.web_socket.connect.upgrade.app_error", 400)

    async def on_get_client_config(self, req: Request, resp: Response) -> None:
        """GET /config/client?format=old: all of it for sessions, what the login page needs for others."""
        _require_old_format(req, "config")
        actor = await self._auth.optional(req)
        resp.content_type = replies.JSON
        resp.data = self._ctx.client_config.limited if actor is None else self._ctx.client_config.full

    async def on_get_config(self, req: Request, resp: Response) -> None:
        """GET /config: the configuration in use, without its secrets."""
        replies.send(resp, system.view_config(self._ctx, await self._auth.operator(req)))

    async def on_post_reload(self, req: Request, resp: Response) -> None:
        """POST /config/reload: read the configuration file again; this node, with ?cluster=true all of them."""
        actor = await self._auth.operator(req)
        replies.send(resp, await system.reload_config(self._ctx, actor, cluster=params.flag(req, "cluster")))

    async def on_post_recycle(self, req: Request, resp: Response) -> None:
        """POST /database/recycle: new connections, to what the configuration names now; ?cluster=true: all nodes.

        Another master is one for all nodes, whichever is asked. ?force=true: although acknowledged posts are lost.
        """
        actor = await self._auth.operator(req)
        cluster, force = params.flag(req, "cluster"), params.flag(req, "force")
        replies.send(resp, await system.recycle_database(self._ctx, actor, cluster=cluster, force=force))

    async def on_post_purge(self, req: Request, resp: Response) -> None:
        """POST /caches/invalidate: forget all copies; ?cluster=true: all nodes."""
        actor = await self._auth.operator(req)
        replies.send(resp, await system.purge_caches(self._ctx, actor, cluster=params.flag(req, "cluster")))

    async def on_get_cluster_status(self, req: Request, resp: Response) -> None:
        """GET /cluster/status: one object for each member."""
        replies.send(resp, await system.cluster_status(self._ctx, await self._auth.operator(req)))

    async def on_get_client_license(self, req: Request, resp: Response) -> None:
        """GET /license/client?format=old: there is no licence to have."""
        _require_old_format(req, "license")
        resp.content_type = replies.JSON
        resp.data = wire.encode({"IsLicensed": "false"})


def _require_old_format(req: Request, what: str) -> None:
    wanted = params.text(req, "format")
    if wanted == "":
        raise AppError(f"api.{what}.client.old_format.app_error", 501)
    if wanted != "old":
        raise AppError("api.context.invalid_param.app_error", 400, Name="format")
