"""Health and operation: whether this node should get traffic, and how its parts are."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from app import errors, filestore, licence
from app.audit import audited
from app.config.settings import Config, masked
from app.context import Context
from app.errors import AppError
from app.events import wire
from app.events.wire import Json
from app.permissions import Actor, can, require
from app.version import numbers_of
from db.model.errors import DatabaseError
from db.pool import systems

_HEALTHY, _UNHEALTHY = "OK", "UNHEALTHY"
_DATABASE_TIMEOUT_S = 2.0
_NO_FORMAT = (11, 0, 0)
_APP_VERSIONS = {
    "AndroidLatestVersion": "",
    "AndroidMinVersion": "",
    "DesktopLatestVersion": "",
    "DesktopMinVersion": "",
    "IosLatestVersion": "",
    "IosMinVersion": "",
}


def ping(ctx: Context) -> tuple[Json, int]:
    """Whether this node should get traffic, and the status: 200, else 503 with the reason. Asks no database.

    200 with the reason `degraded_reads`: what is kept is still served, and nothing can be written anywhere.
    """
    reason = ctx.health.broken()
    body: Json = {"status": "OK" if reason is None else "UNHEALTHY", **_APP_VERSIONS}
    status = 200
    if reason is not None:
        body |= _why(ctx, reason)
        status = 503
    elif ctx.health.degraded():
        body["reason"] = "degraded_reads"
    return body, status


async def ping_parts(ctx: Context) -> tuple[Json, int]:
    """The same, and how the database and the file store are; when one is not well the status is 500."""
    body, status = ping(ctx)
    body["database_status"] = await database_status(ctx)
    body["filestore_status"] = filestore_status(ctx)
    if "UNHEALTHY" in (body["database_status"], body["filestore_status"]) and status == 200:
        body["status"] = "UNHEALTHY"
        status = 500
    return body, status


def ping_v3(ctx: Context) -> tuple[Json, int]:
    """The same as server 3.9 answered it: the health check of Mattermost's HA document."""
    reason = ctx.health.broken()
    body: Json = {"server_time": str(ctx.now_ms()), "version": ctx.client_config.version}
    return (body, 200) if reason is None else (body | _why(ctx, reason), 503)


def _why(ctx: Context, reason: str) -> dict[str, str]:
    """Why this node should get no traffic; of one that is joining, also what it waits for."""
    waits_for = ctx.health.waits_for() if reason == "joining" else ""
    return {"reason": reason} | ({"waits_for": waits_for} if waits_for else {})


async def database_status(ctx: Context) -> str:
    """Whether the database answers within 2 s; reads only."""
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT_S):
            await systems.find(ctx.db, "ping")
    except (DatabaseError, TimeoutError):
        return _UNHEALTHY
    return _HEALTHY


def client_config(ctx: Context, actor: Actor | None, wanted: str) -> bytes:
    """The configuration for clients: all of it for sessions, what the login page needs for others. Raises 400, 501."""
    _require_format(ctx, wanted, "config")
    return ctx.client_config.limited if actor is None else ctx.client_config.full


def client_license(ctx: Context, actor: Actor | None, wanted: str) -> Mapping[str, str]:
    """What clients take for the licence: which features there are, and for administrators also whose. Raises 400, 501.

    Pages of Mattermost's console are there only for a licence that has the feature.
    """
    _require_format(ctx, wanted, "license")
    return licence.FULL if actor is not None and can(actor, "read_license_information") else licence.LIMITED


def _require_format(ctx: Context, wanted: str, what: str) -> None:
    """Mattermost before 11 has to be told the one format that it knows."""
    if (numbers_of(ctx.client_config.version) or ()) >= _NO_FORMAT:
        return
    if wanted == "":
        raise AppError(f"api.{what}.client.old_format.app_error", 501)
    if wanted != "old":
        raise AppError("api.context.invalid_param.app_error", 400, Name="format")


def view_config(ctx: Context, actor: Actor) -> Json:
    """The configuration in use, with 32 asterisks for every secret. Raises 403."""
    require(can(actor, "manage_system"))
    return masked(ctx.config)


async def environment_config(ctx: Context, actor: Actor) -> Json:
    """Which keys the environment decides: nobody can change them otherwise. Raises 403, 503."""
    require(can(actor, "manage_system"))
    answer = await ctx.operator.command("environment")
    if not answer.get("ok"):
        raise errors.server_busy()
    found: Json = answer["environment"]
    return found


Changes = msgspec.defstruct(
    "Changes",
    [
        (one.name, dict[str, Any], msgspec.field(name=one.encode_name, default_factory=dict))
        for one in msgspec.structs.fields(Config)
    ],
    kw_only=True,
)
"""PUT /config and /config/patch: values by section and key. What is not given stays as it is."""


@audited("updateConfig", outside=True)
async def update_config(ctx: Context, actor: Actor, changes: Any) -> Json:
    """Keep these values, and use them as a reload would. Raises 400, 403, 500."""
    return await _keep(ctx, actor, changes)


@audited("patchConfig", outside=True)
async def patch_config(ctx: Context, actor: Actor, changes: Any) -> Json:
    """The same, by Mattermost's other operation."""
    return await _keep(ctx, actor, changes)


async def _keep(ctx: Context, actor: Actor, changes: Any) -> Json:
    """The configuration as it is kept now, with 32 asterisks for every secret."""
    require(can(actor, "manage_system"))
    if ctx.config.cluster_settings.enable:
        raise AppError("ent.cluster.save_config.error", 403)
    sections: Json = msgspec.to_builtins(changes)
    if ctx.config.service_settings.site_url and sections["ServiceSettings"].get("SiteURL") == "":
        raise AppError("api.config.update_config.clear_siteurl.app_error", 400)
    answer = await ctx.operator.command("save", sections={name: one for name, one in sections.items() if one})
    if not answer.get("ok"):
        if answer.get("refused"):
            raise AppError("api.config.update_config.invalid.app_error", 400, Problems=answer.get("error", ""))
        raise AppError("app.save_config.app_error", 500, Reason=answer.get("error", ""))
    kept: Json = answer["config"]
    return kept


@audited("configReload", "cluster", outside=True)
async def reload_config(ctx: Context, actor: Actor, *, cluster: bool = False) -> Json:
    """Load the configuration file again, on this node or on all. Raises 403, and 400 when the file cannot be used."""
    require(can(actor, "manage_system"))
    return await _operate(ctx, "reload", "api.config.reload.app_error", 400, cluster=cluster)


@audited("databaseRecycle", "cluster", "force", outside=True)
async def recycle_database(ctx: Context, actor: Actor, *, cluster: bool = False, force: bool = False) -> Json:
    """Replace all database connections by new ones; when the configuration names another master, on all nodes.

    force: although the new master lacks what was acknowledged. Raises 403, and 503 when the old ones stay.
    """
    require(can(actor, "manage_system"))
    return await _operate(ctx, "recycle", "api.database.recycle.app_error", 503, cluster=cluster, force=force)


@audited("invalidateCaches", "cluster", outside=True)
async def purge_caches(ctx: Context, actor: Actor, *, cluster: bool = False) -> Json:
    """Forget every copy of what is in the database. Raises 403, and 503 when a worker did not answer."""
    require(can(actor, "manage_system"))
    return await _operate(ctx, "purge", "api.caches.invalidate.app_error", 503, cluster=cluster)


async def _operate(ctx: Context, command: str, error_id: str, status: int, **arguments: bool) -> Json:
    """The answer for the client; for all nodes it has a result for each, and fails only as a whole.

    Of a reload it says what was applied and what waits, as keys of the configuration.
    """
    answer = await ctx.operator.command(command, **arguments)
    if "nodes" in answer:
        nodes = {
            node_id: {"result": one["result"], **({"error": one["error"]} if one.get("error") else {})}
            for node_id, one in answer["nodes"].items()
        }
        return {"status": "OK" if answer["ok"] else "FAIL", "nodes": nodes}
    if not answer.get("ok"):
        raise AppError(error_id, status, Reason=answer.get("error", "a worker did not answer"))
    told: Json = {key: answer[key] for key in ("applied", "recycle_needed", "restart_needed") if key in answer}
    return {**wire.OK, **told}


async def cluster_status(ctx: Context, actor: Actor) -> list[Json]:
    """The members of the cluster with their states; none without high availability. Raises 403, 503."""
    require(can(actor, "sysconsole_read_environment_high_availability"))
    answer = await ctx.operator.command("cluster")
    if not answer.get("ok"):
        raise AppError("api.cluster.status.app_error", 503, Reason=answer.get("error", "the relay did not answer"))
    members: list[Json] = answer["members"]
    return members


def filestore_status(ctx: Context) -> str:
    """Whether files can be written where they are to lie."""
    return _HEALTHY if filestore.writable(ctx.config.file_settings) else _UNHEALTHY
