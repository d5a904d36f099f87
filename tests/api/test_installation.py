"""Busy servers, figures, reports of clients, first steps, and the true answers of what is not there."""

import json
import time
from pathlib import Path

from api.operation import Operation
from api.ops import absent
from app import logfile
from tests.api.conftest import Configure
from tests.api.expect import refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.rest import Rest
from tests.rig.wait import until

pytestmark = drivers("all")


def _typing(who: Rest, channel_id: str) -> int:
    return who.call("POST", f"/users/{who.id}/typing", {"channel_id": channel_id}).status_code


def test_busy_servers_refuse_typing_until_the_end_that_was_set(world: World) -> None:
    """On every worker; posts are written as ever."""
    admin, member, channel = world.system_admin, world.member, world.private["id"]
    assert admin.get("/server_busy") == {"busy": False, "expires": 0, "expires_ts": ""}
    try:
        assert admin.call("POST", "/server_busy?seconds=600").json() == {"status": "OK"}
        state = admin.get("/server_busy")
        assert state["busy"] is True
        assert abs(state["expires"] - time.time() - 600) < 60
        assert state["expires_ts"].endswith(str(time.gmtime(state["expires"]).tm_year))
        until(lambda: [_typing(member, channel) for _ in range(8)] == [503] * 8, 10, "503 by every worker")
        member.write(channel, "written although it is busy")
    finally:
        assert admin.call("DELETE", "/server_busy").status_code == 200
    assert admin.get("/server_busy")["busy"] is False
    until(lambda: [_typing(member, channel) for _ in range(8)] == [200] * 8, 10, "200 by every worker")


def test_busy_ends_by_itself(world: World) -> None:
    world.system_admin.call("POST", "/server_busy?seconds=1")
    until(lambda: world.system_admin.get("/server_busy")["busy"] is False, 10, "the end")
    for seconds in ("0", "86401", "x", "-1"):
        refused(world.system_admin.call("POST", f"/server_busy?seconds={seconds}"), 400)


def test_figures_are_those_of_the_database(world: World, node: Node) -> None:
    rows = {row["name"]: row["value"] for row in world.system_admin.get("/analytics/old")}
    counted = {
        "team_count": "SELECT count(*) FROM teams WHERE delete_at = 0",
        "unique_user_count": "SELECT count(*) FROM users WHERE delete_at = 0",
        "channel_private_count": "SELECT count(*) FROM channels WHERE type = 'P'",
    }
    assert rows["post_count"] >= 0
    assert [rows[name] for name in counted] == [node.sql(sql)[0][0] for sql in counted.values()]
    extra = {row["name"]: row["value"] for row in world.system_admin.get("/analytics/old?name=extra_counts")}
    assert extra["session_count"] > 0
    assert extra["command_count"] == 0
    for series in ("post_counts_day", "user_counts_with_posts_day", "bot_post_counts_day"):
        assert world.system_admin.get(f"/analytics/old?name={series}") == [{"name": "", "value": -1}]
    refused(world.system_admin.call("GET", "/analytics/old?name=nothing"), 400)


def test_a_report_of_a_client_is_taken_and_nonsense_is_not(world: World) -> None:
    report = {"version": "0.1.0", "start": 1, "end": 2, "labels": {"platform": "made up"}}
    times = [{"metric": "channel_switch", "value": 120.5}, {"metric": "made up", "value": -1}]
    assert world.member.call("POST", "/client_perf", {**report, "histograms": times}).status_code == 200
    wrongs: list[dict[str, object]] = [{"version": "9"}, {"start": 3}, {"histograms": [{}] * 201}]
    for wrong in wrongs:
        refused(world.member.call("POST", "/client_perf", {**report, **wrong}), 400)


def test_what_a_page_of_the_console_needs_comes_after_what_was_asked(world: World) -> None:
    asked = ["sysconsole_write_environment_database", "other", "other"]
    assert world.member.post("/permissions/ancillary", asked) == [
        "sysconsole_write_environment_database", "other", "recycle_database_connections"
    ]  # fmt: skip


@drivers("postgres")
def test_lines_of_the_log_where_it_goes_to_a_file(own_node: Node, own_admin: Rest, configure: Configure) -> None:
    assert own_admin.get("/logs") == []
    path = own_node.directory / "node.log"
    configure({"LogSettings": {"EnableFile": True, "FileLocation": str(path)}})
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    assert own_admin.get("/logs?logs_per_page=2&page=49")[-1].startswith("line ")
    entries = [("2026-11-28T16:00:00.000Z", "error"), ("2026-11-28T17:00:00.000Z", "info")]
    path.write_text("".join(json.dumps({"timestamp": at, "level": level, "msg": "m"}) + "\n" for at, level in entries))
    wanted = {"log_levels": ["error"], "date_to": "2026-11-28 18:30:00.000 +02:00"}
    ((found),) = own_admin.post("/logs/query", wanted).values()
    assert [one["timestamp"] for one in found] == ["2026-11-28T16:00:00.000Z"]
    assert own_admin.post("/logs/query", {"server_names": ["another"]}) == {}
    refused(own_admin.call("POST", "/logs/query", {"date_from": "yesterday"}), 400)
    path.unlink()
    refused(own_admin.call("GET", "/logs"), 500, "api.admin.file_read_error")


def test_the_end_of_a_long_log_is_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100 + b"\n" + b"y" * (logfile.MOST_BYTES - 200) + b"\nlast \xff\n")
    assert logfile.tail(path)[-1] == "last \ufffd"
    path.write_bytes(b"begin\n" + b"z\n" * (logfile.MOST_BYTES // 2))
    assert set(logfile.tail(path)) == {"z"}


def test_the_first_steps_are_done_once(world: World) -> None:
    admin = world.system_admin
    assert admin.get("/system/onboarding/complete")["name"] == "FirstAdminSetupComplete"
    admin.post("/system/onboarding/complete", {"organization": "Ours"})
    assert admin.get("/system/onboarding/complete") == {"name": "FirstAdminSetupComplete", "value": "true"}


def test_the_versions_of_the_schema_are_the_migrations(world: World, node: Node) -> None:
    found = world.system_admin.get("/system/schema/version")
    assert [one["version"] for one in found] == sorted(one["version"] for one in found)
    assert found[0]["name"].startswith("0001_")


def test_what_is_off_is_said_to_be_off(world: World) -> None:
    """A client that is told of a feature asks for more than nothing."""
    config = world.member.get("/config/client")
    off = {
        "AllowPersistentNotifications", "AllowSyncedDrafts", "ContentFlaggingEnabled", "EnableCommands",
        "EnableCustomEmoji", "EnableCustomGroups", "EnableCustomTermsOfService", "EnableCustomBrand",
        "EnableOAuthServiceProvider", "EnableOutgoingOAuthConnections", "FeatureFlagCustomProfileAttributes",
        "PluginsEnabled", "PostAcknowledgements", "PostPriority", "ScheduledPosts",
    }  # fmt: skip
    assert {name: config[name] for name in off} == dict.fromkeys(off, "false")
    assert config["CollapsedThreads"] == "disabled"
    assert [one for one in vars(absent).values() if isinstance(one, Operation)]


def test_scheduled_posts_are_by_team(world: World) -> None:
    team = world.team["id"]
    path = f"/posts/scheduled/team/{team}"
    assert world.member.get(path) == {team: []}
    assert world.member.get(f"{path}?includeDirectChannels=true") == {team: [], "directChannels": []}
