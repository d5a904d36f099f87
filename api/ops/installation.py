"""The installation: busy or not, figures, what clients measure, first steps."""

from typing import Any

import msgspec

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import LogPage, Seconds, Text
from app import ancillary, busy, errors, installation, logfile, may
from app.events.wire import Json
from db.model import limits

_SYSTEM = (may.System("manage_system"),)


@operation("GET", "/server_busy", verb_asks=_SYSTEM, answers=shapes.ServerBusy)
async def get_server_busy(call: Call) -> Json:
    """Whether the servers are declared busy, and until when."""
    return await installation.busy_state(call.ctx, call.actor)


@operation(
    "POST",
    "/server_busy",
    verb_asks=_SYSTEM,
    example=Example(query="?seconds=1"),
    notes=f"`seconds` to {busy.MOST_S}; on all nodes, within a second; typing is 503 then",
)
async def set_server_busy(call: Call, seconds: Seconds = busy.DEFAULT_S) -> None:
    """Declare the servers busy for a while: what nobody needs is refused."""
    await installation.set_busy(call.ctx, call.actor, seconds)


@operation("DELETE", "/server_busy", verb_asks=_SYSTEM)
async def clear_server_busy(call: Call) -> None:
    """Declare that they are not."""
    await installation.clear_busy(call.ctx, call.actor)


@operation(
    "GET",
    "/analytics/old",
    verb_asks=_SYSTEM,
    answers=list[shapes.Figure],
    notes="`standard` and `extra_counts`; -1 for what is not counted, as in Mattermost of a large installation; posts"
    " are estimated by the database",
)
async def get_analytics(call: Call, name: Text = "standard", team_id: Text = "") -> list[Json]:
    """Figures of the installation."""
    del team_id
    return await installation.analytics(call.ctx, call.actor, name)


@operation(
    "POST",
    "/client_perf",
    body_name="report",
    example=Example({"version": "0.1.0", "labels": {"platform": "linux"}, "start": 1, "end": 2, "histograms": []}),
    notes="counted as metrics",
)
async def report_performance(call: Call, body: installation.Report) -> None:
    """What a client measured of itself."""
    installation.count_report(call.ctx, body)


@operation(
    "GET",
    "/logs",
    verb_asks=_SYSTEM,
    answers=list[str],
    errors=("api.admin.file_read_error",),
    notes="of this node, where its log goes to a file; page 0 has the newest",
)
async def get_logs(call: Call, page: LogPage) -> list[str]:
    """Lines of the log."""
    return await logfile.lines(call.ctx, call.actor, page.number, page.size)


@operation(
    "POST",
    "/logs/query",
    verb_asks=_SYSTEM,
    answers=dict[str, list[dict[str, Any]]],
    body_name="log_filter",
    errors=("api.admin.file_read_error",),
    example=Example({"log_levels": ["error"], "server_names": []}),
    notes="of the node that answers, by its host's name",
)
async def query_logs(call: Call, body: logfile.Query, page: LogPage) -> dict[str, list[Json]]:
    """The same as objects, those of some levels and times."""
    return await logfile.query(call.ctx, call.actor, body, page.number, page.size)


@operation(
    "POST",
    "/permissions/ancillary",
    answers=list[str],
    body_name="permissions",
    example=Example(["sysconsole_write_environment_database"]),
    notes=f"those named, then what they need; at most {limits.NAMES}",
)
async def get_ancillary_permissions(_call: Call, body: list[str]) -> list[str]:
    """Which permissions pages of the console need beside their own."""
    if len(body) > limits.NAMES:
        raise errors.invalid_body("permissions")
    return ancillary.with_ancillary(body)


class Onboarding(msgspec.Struct, kw_only=True):
    """POST /system/onboarding/complete."""

    organization: str = ""
    install_plugins: list[str] = []


@operation("GET", "/system/onboarding/complete", verb_asks=_SYSTEM, answers=dict[str, str])
async def get_onboarding(call: Call) -> Json:
    """Whether the first administrator has been through the first steps."""
    return await installation.onboarding(call.ctx, call.actor)


@operation(
    "POST",
    "/system/onboarding/complete",
    verb_asks=_SYSTEM,
    body_name="onboarding_request",
    example=Example({"organization": "Ours", "install_plugins": []}),
    notes="no plugin is installed",
)
async def complete_onboarding(call: Call, body: Onboarding) -> None:
    """They are done."""
    del body
    await installation.complete_onboarding(call.ctx, call.actor)


@operation("GET", "/system/schema/version", verb_asks=_SYSTEM, answers=list[shapes.Migration])
async def get_schema_versions(call: Call) -> list[Json]:
    """The migrations of the database."""
    return await installation.schema_versions(call.ctx, call.actor)
