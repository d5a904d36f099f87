"""Ping, the time zones, and what operators do: configuration, connections, caches, the state of the cluster."""

from collections.abc import Mapping
from typing import Any

from api import shapes
from api.call import Call, Reply, Visit
from api.example import Example
from api.operation import Login, operation
from api.params import Flag, Text
from app import may, system, timezones
from app.errors import AppError
from app.events.wire import Json

_EVERY_WORKER = (
    "administrators; every worker of this node; 400 and 503 say why not; `?cluster=true`: all nodes, with a result for"
    " each"
)


@operation(
    "GET",
    "/system/ping",
    login=Login.NONE,
    answers=shapes.Ping,
    counted=False,
    head=True,
    notes="503 with a `reason` when this node should get no traffic; of one that is `joining` also what it `waits_for`",
)
async def ping(visit: Visit, get_server_status: Flag = False) -> Reply:
    """Whether this node should get traffic."""
    return Reply(*(await system.ping_parts(visit.ctx) if get_server_status else system.ping(visit.ctx)))


@operation(
    "GET",
    "/api/v3/general/ping",
    login=Login.NONE,
    answers=shapes.PingV3,
    counted=False,
    head=True,
    notes="the health check of Mattermost's document on high availability",
)
async def ping_v3(visit: Visit) -> Reply:
    """The same, as server 3.9 answered it."""
    return Reply(*system.ping_v3(visit.ctx))


@operation("GET", "/system/timezones", answers=list[str])
async def get_timezones(_call: Call) -> tuple[str, ...]:
    """The time zones that users may choose."""
    return timezones.names()


@operation(
    "GET",
    "/websocket",
    login=Login.NONE,
    errors=("api.web_socket.connect.upgrade.app_error",),
    example=Example(
        answers=dict.fromkeys(("nobody", "stranger", "teammate", "member", "team_admin", "system_admin"), 400)
    ),
    notes="[protocol.md](protocol.md); without an upgrade 400",
)
async def get_websocket(_visit: Visit) -> None:
    """The upgrade to a WebSocket."""
    raise AppError("api.web_socket.connect.upgrade.app_error", 400)


@operation(
    "GET",
    "/config/client",
    login=Login.OPTIONAL,
    answers=dict[str, str],
    errors=("api.config.client.old_format.app_error",),
    example=Example(query="?format=old"),
    notes="all of it for sessions, what the login page needs for others; `?format=old` for versions before 11",
)
async def get_client_config(visit: Visit, format: Text = "") -> bytes:
    """The configuration for clients."""
    return system.client_config(visit.ctx, visit.actor, format)


@operation(
    "GET",
    "/license/client",
    login=Login.OPTIONAL,
    answers=dict[str, str],
    errors=("api.license.client.old_format.app_error",),
    example=Example(query="?format=old"),
    notes="nothing is licensed: it says which features there are; `?format=old` for versions before 11",
)
async def get_client_license(visit: Visit, format: Text = "") -> Mapping[str, str]:
    """What clients take for the licence."""
    return system.client_license(visit.ctx, visit.actor, format)


@operation(
    "GET",
    "/config",
    login=Login.OPERATOR,
    verb_asks=(may.System("manage_system"),),
    answers=dict[str, Any],
    notes="administrators; secrets are 32 asterisks",
)
async def get_config(call: Call) -> Json:
    """The configuration in use."""
    return system.view_config(call.ctx, call.actor)


@operation(
    "GET",
    "/config/environment",
    verb_asks=(may.System("manage_system"),),
    answers=dict[str, Any],
    notes="true by section and key",
)
async def get_environment_config(call: Call) -> Json:
    """Which keys of the configuration the environment decides."""
    return await system.environment_config(call.ctx, call.actor)


_KEPT = (
    "400 names every problem; 403 with high availability on, where each node has a file of its own; 32 asterisks leave"
    " a secret as it is, and what is not given or is the environment's stays"
)
_OF_KEEPING = (
    "api.config.update_config.clear_siteurl.app_error",
    "api.config.update_config.invalid.app_error",
    "app.save_config.app_error",
    "ent.cluster.save_config.error",
)


@operation(
    "PUT",
    "/config",
    verb_asks=(may.System("manage_system"),),
    answers=dict[str, Any],
    body_name="config",
    errors=_OF_KEEPING,
    example=Example({"LogSettings": {"ConsoleLevel": "INFO"}}),
    notes=_KEPT,
)
async def update_config(call: Call, body: system.Changes) -> Json:  # type: ignore[valid-type]
    """Keep another configuration, and use what can be used without a restart."""
    return await system.update_config(call.ctx, call.actor, body)


@operation(
    "PUT",
    "/config/patch",
    verb_asks=(may.System("manage_system"),),
    answers=dict[str, Any],
    body_name="config",
    errors=_OF_KEEPING,
    example=Example({"LogSettings": {"ConsoleLevel": "INFO"}}),
    notes="the same",
)
async def patch_config(call: Call, body: system.Changes) -> Json:  # type: ignore[valid-type]
    """Keep some values of the configuration."""
    return await system.patch_config(call.ctx, call.actor, body)


@operation(
    "POST",
    "/config/reload",
    login=Login.OPERATOR,
    verb_asks=(may.System("manage_system"),),
    answers=shapes.Operated,
    errors=("api.config.reload.app_error",),
    notes=f"{_EVERY_WORKER}; says what was `applied` and what waits",
)
async def reload_config(call: Call, cluster: Flag = False) -> Json:
    """Read the configuration file again."""
    return await system.reload_config(call.ctx, call.actor, cluster=cluster)


@operation(
    "POST",
    "/database/recycle",
    login=Login.OPERATOR,
    verb_asks=(may.System("manage_system"),),
    answers=shapes.Operated,
    errors=("api.database.recycle.app_error",),
    notes=f"{_EVERY_WORKER}; to another master it moves all nodes (`?force=true`: although acknowledged posts are"
    " lost)",
)
async def recycle_database(call: Call, cluster: Flag = False, force: Flag = False) -> Json:
    """Replace all database connections by new ones, to what the configuration names now."""
    return await system.recycle_database(call.ctx, call.actor, cluster=cluster, force=force)


@operation(
    "POST",
    "/caches/invalidate",
    login=Login.OPERATOR,
    verb_asks=(may.System("manage_system"),),
    answers=shapes.Operated,
    errors=("api.caches.invalidate.app_error",),
    notes=_EVERY_WORKER,
)
async def purge_caches(call: Call, cluster: Flag = False) -> Json:
    """Forget all copies of what is in the database."""
    return await system.purge_caches(call.ctx, call.actor, cluster=cluster)


@operation(
    "GET",
    "/cluster/status",
    login=Login.OPERATOR,
    verb_asks=(may.System("sysconsole_read_environment_high_availability"),),
    answers=list[dict[str, Any]],
    errors=("api.cluster.status.app_error",),
    notes="administrators; with `state`, `reasons`, `is_alive`, `last_seen_ms`, `links`; `[]` without high"
    " availability",
)
async def get_cluster_status(call: Call) -> list[Json]:
    """An object for each member of the cluster."""
    return await system.cluster_status(call.ctx, call.actor)
