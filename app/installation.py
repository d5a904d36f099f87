"""The installation as administrators see it: whether it is busy, figures, its first steps."""

import time
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from app import busy, errors
from app.audit import audited
from app.context import Context
from app.events.wire import Json
from app.metrics import CLIENT_REPORTS, CLIENT_TIME
from app.permissions import Actor, can, require
from db.pool import migrate, systems
from db.sql import figures

# Busy ----------------------------------------------------------------------------------------------------------------


async def busy_state(ctx: Context, actor: Actor) -> Json:
    """Whether the servers are declared busy, and until when: seconds since 1970, and in words. Raises 403."""
    require(can(actor, "manage_system"))
    until_s = await ctx.busy.until_ms() // 1000
    words = time.strftime("%a %b %-d %H:%M:%S +0000 UTC %Y", time.gmtime(until_s)) if until_s else ""
    return {"busy": until_s > 0, "expires": until_s, "expires_ts": words}


@audited("setServerBusy", "seconds")
async def set_busy(ctx: Context, actor: Actor, seconds: int) -> None:
    """Declare it, on all nodes, for so long. Raises 400, 403."""
    require(can(actor, "manage_system"))
    if not 1 <= seconds <= busy.MOST_S:
        raise errors.invalid_url("seconds")
    await systems.put(ctx.db, busy.NAME, str(ctx.now_ms() + seconds * 1000))
    await ctx.busy.until_ms()


@audited("clearServerBusy")
async def clear_busy(ctx: Context, actor: Actor) -> None:
    """Not any more. Raises 403."""
    require(can(actor, "manage_system"))
    await systems.put(ctx.db, busy.NAME, "0")
    await ctx.busy.until_ms()


# Figures -------------------------------------------------------------------------------------------------------------

_SERIES: Final = ("post_counts_day", "bot_post_counts_day", "user_counts_with_posts_day")
_OF_OTHERS: Final = (
    "file_post_count",
    "hashtag_post_count",
    "incoming_webhook_count",
    "outgoing_webhook_count",
    "command_count",
)


async def analytics(ctx: Context, actor: Actor, name: str) -> list[Json]:
    """Rows of a name and a value, -1 for what is not counted. Raises 400, 403."""
    require(can(actor, "manage_system"))
    if name in _SERIES:
        return [{"name": "", "value": -1}]
    if name == "extra_counts":
        rows = dict.fromkeys(_OF_OTHERS, 0) | {"session_count": await figures.sessions(ctx.db)}
    elif name in ("", "standard"):
        rows = await figures.standard(ctx.db)
    else:
        raise errors.invalid_url("name")
    return [{"name": one, "value": value} for one, value in rows.items()]


class Sample(msgspec.Struct, kw_only=True):
    """One measurement of a client."""

    metric: Annotated[str, Meta(max_length=64)] = ""
    value: float = 0.0


class Report(msgspec.Struct, kw_only=True):
    """POST /client_perf: what a client measured of itself, in milliseconds."""

    version: Annotated[str, Meta(max_length=32)]
    labels: dict[str, str] = {}
    start: float = 0.0
    end: float = 0.0
    counters: Annotated[list[Sample], Meta(max_length=200)] = []
    histograms: Annotated[list[Sample], Meta(max_length=200)] = []


_PLATFORMS: Final = frozenset({"linux", "macos", "ios", "android", "windows"})
_TIMES: Final = {
    "page_load",
    "channel_switch",
    "team_switch",
    "rhs_load",
    "global_threads_load",
    "mobile_load",
    "mobile_channel_switch",
    "mobile_team_switch",
}


def count_report(ctx: Context, report: Report) -> None:
    """Show what a client measured of itself as metrics of this node. Raises 400."""
    if not report.version.startswith("0.1.") or not 0 <= report.start <= report.end < 1 << 63:
        raise errors.invalid_body("report")
    platform = report.labels.get("platform", "")
    ctx.metrics.counter(CLIENT_REPORTS, platform if platform in _PLATFORMS else "other").inc()
    for one in report.histograms:
        if one.metric in _TIMES and 0 <= one.value < 3_600_000:
            ctx.metrics.histogram(CLIENT_TIME, one.metric).observe(one.value / 1000)


# First steps ---------------------------------------------------------------------------------------------------------

_ONBOARDED: Final = "FirstAdminSetupComplete"


async def onboarding(ctx: Context, actor: Actor) -> Json:
    """Whether the first administrator has been through the first steps. Raises 403."""
    require(can(actor, "manage_system"))
    return {"name": _ONBOARDED, "value": await systems.find(ctx.db, _ONBOARDED) or "false"}


@audited("completeOnboarding")
async def complete_onboarding(ctx: Context, actor: Actor) -> None:
    """They are done. Raises 403."""
    require(can(actor, "manage_system"))
    await systems.put(ctx.db, _ONBOARDED, "true")


async def schema_versions(ctx: Context, actor: Actor) -> list[Json]:
    """The migrations that the schema has had, the first one first. Raises 403."""
    require(can(actor, "manage_system"))
    return [{"version": one.version, "name": one.name} for one in migrate.available(ctx.db.dialect)]
