"""What the command line and administrators ask of a running node."""

import asyncio
import json
import os
from collections.abc import Collection
from pathlib import Path

import pytest

from app.config.settings import Config
from app.redaction import Redactor
from cluster.host.paths import Paths
from cluster.node.operations import Answer, Operations
from cluster.node.servers import DatabaseServers


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MM_")]:
        monkeypatch.delenv(name)


class Still(DatabaseServers):
    """Database servers to which nothing happens."""

    def __init__(self) -> None:
        self.config = Config()
        self.active = self.config.sql_settings

    def pending(self, _wanted: object) -> list[str]:
        return []


async def _ask(_whom: Collection[str], _command: str, _body: dict[str, object]) -> dict[str, dict[str, object]]:
    return {}


def _operations(config_path: Path | None, directory: Path) -> Operations:
    paths = Paths(directory, directory, "n" * 26)
    return Operations(config_path, Config(), Still(), _ask, list, paths, "http://127.0.0.1", Redactor())


def _diff(operations: Operations) -> Answer:
    return asyncio.run(operations.run("diff", {}, "command line"))


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
