"""What the command line and administrators ask of a running node."""

import asyncio
import json
import os
from collections.abc import Collection
from pathlib import Path

import pytest

from app.config.settings import Config
from app.redaction import Redactor
from cluster.commands import of_node, of_worker
from cluster.host.paths import Paths
from cluster.node.operations import Answer, Operations
from cluster.node.servers import DatabaseServers


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MM_")]:
        monkeypatch.delenv(name)


async def _ask(_whom: Collection[str], _command: of_worker.AnyCommand) -> dict[str, dict[str, object]]:
    return {}


class Still(DatabaseServers):
    """Database servers to which nothing happens."""

    def __init__(self) -> None:
        self.config = Config()
        self.active = self.config.sql_settings
        self.ask = _ask

    def pending(self, _wanted: object) -> list[str]:
        return []


def _operations(config_path: Path | None, directory: Path) -> Operations:
    paths = Paths(directory, directory, "n" * 26)
    return Operations(config_path, Config(), Still(), _ask, list, paths, "http://127.0.0.1", Redactor())


def _diff(operations: Operations) -> Answer:
    return asyncio.run(operations.run(of_node.Diff(), "command line"))


def test_a_file_that_is_written_after_the_start_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    operations = _operations(None, tmp_path)
    assert _diff(operations) == {"ok": True, "differences": {}}
    written = tmp_path / "config.json"
    written.write_text(json.dumps({"ServiceSettings": {"TrustedProxies": ["10.0.0.1"]}}))
    assert _diff(operations) == {"ok": True, "differences": {"ServiceSettings.TrustedProxies": "reload"}}
    written.unlink()
    assert not _diff(operations)["ok"], "a file that is gone is no wish for the defaults"


def test_the_file_that_was_named_stays_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "named.json"
    named.write_text("{}")
    (tmp_path / "config.json").write_text(json.dumps({"ServiceSettings": {"TrustedProxies": ["10.0.0.1"]}}))
    assert _diff(_operations(named, tmp_path)) == {"ok": True, "differences": {}}


class Relay:
    """Of one node: remembers what it is asked."""

    def __init__(self) -> None:
        self.asked: list[of_worker.AnyCommand] = []

    async def __call__(self, _roles: Collection[str], command: of_worker.AnyCommand) -> dict[str, dict[str, object]]:
        self.asked.append(command)
        if isinstance(command, of_worker.Remove):
            raise KeyError("a fault of ours")
        return {"relay": {"ok": True}}


def test_a_command_that_fails_is_answered_logged_and_audited(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    relay = Relay()
    paths = Paths(tmp_path, tmp_path, "n" * 26)
    operations = Operations(None, Config(), Still(), relay, list, paths, "http://127.0.0.1", Redactor())
    answer = asyncio.run(operations.run(of_node.Remove("abc"), "command line"))
    assert answer == {"ok": False, "error": "it failed: KeyError"}
    assert "a command failed" in caplog.text
    assert relay.asked[-1] == of_worker.Audit("clusterRemove", "fail", 'by="command line" node=abc')


def test_the_audit_log_has_what_changes_and_of_its_arguments_those_that_may_be_seen(tmp_path: Path) -> None:
    relay = Relay()
    paths = Paths(tmp_path, tmp_path, "n" * 26)
    operations = Operations(None, Config(), Still(), relay, list, paths, "http://127.0.0.1", Redactor())
    rows = []
    for command in (
        of_node.Failover("no secret:hunter2", force=True),
        of_node.Purge(),
        of_node.Upgrade(True),
        of_node.Diff(),
    ):
        asyncio.run(operations.run(command, "command line"))
        rows += [one for one in relay.asked if isinstance(one, of_worker.Audit)]
        relay.asked.clear()
    asyncio.run(operations.run(of_node.Purge(), "administrator"))
    asyncio.run(operations.run(of_node.Switch("hold"), "another node"))
    assert not [one for one in relay.asked if isinstance(one, of_worker.Audit)]
    assert [(row.action, row.result, row.details) for row in rows] == [
        ("databaseFailover", "fail", 'by="command line" force=True'),
        ("invalidateCaches", "success", 'by="command line"'),
        ("clusterUpgrade", "success", 'by="command line" begin=True'),
    ]
