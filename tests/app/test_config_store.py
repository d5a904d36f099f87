"""Values that an administrator sets are kept in the file: these, whole, and nothing that is not the file's to hold."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.config import file as configfile
from app.config.file import ConfigError, load, overridden, store
from app.config.settings import MASK, Config, masked

SECRET = "k" * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "config.json"
    found.write_text(
        json.dumps(
            {
                "TeamSettings": {"SiteName": "Before", "Unknown": 1},
                "ClusterSettings": {"Secret": SECRET},
                "PluginSettings": {"Enable": True},
            }
        )
    )
    found.chmod(0o600)
    return found


def _keep(path: Path, changes: dict[str, dict[str, Any]], **environment: str) -> dict[str, Any]:
    store(path, changes, load(path, environment).config, environment)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_what_is_changed_is_written_and_all_else_stays_as_it_is(path: Path) -> None:
    kept = _keep(path, {"TeamSettings": {"SiteName": "After", "MaxUsersPerTeam": 50}, "Strange": {"Key": 1}})
    assert kept == {
        "TeamSettings": {"SiteName": "After", "Unknown": 1},
        "ClusterSettings": {"Secret": SECRET},
        "PluginSettings": {"Enable": True},
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["config.json"]


def test_all_that_is_shown_sent_back_changes_nothing(path: Path) -> None:
    """The console sends back the whole configuration that it was shown."""
    environment = {"MM_SERVICESETTINGS_SITEURL": "https://chat.example.com"}
    before, config = path.read_text(), load(path, environment).config
    assert store(path, masked(config), config, environment) == []
    assert path.read_text() == before


def test_what_the_environment_decides_never_goes_into_the_file(path: Path) -> None:
    changes = {"ServiceSettings": {"SiteURL": "https://other.example.com"}, "TeamSettings": {"SiteName": "After"}}
    kept = _keep(path, changes, MM_SERVICESETTINGS_SITEURL="https://chat.example.com")
    assert "ServiceSettings" not in kept
    assert kept["TeamSettings"]["SiteName"] == "After"
    assert overridden({"mm_servicesettings_siteurl": "x", "HOME": "/"}) == {"ServiceSettings": {"SiteURL": True}}


def test_a_masked_secret_stays_as_it_is_and_another_one_is_written(path: Path) -> None:
    sources = {"DataSource": MASK, "DataSourceReplicas": [MASK, MASK]}
    kept = _keep(path, {"ClusterSettings": {"Secret": MASK}, "SqlSettings": sources})
    assert kept["ClusterSettings"]["Secret"] == SECRET
    assert "SqlSettings" not in kept
    assert _keep(path, {"ClusterSettings": {"Secret": "o" * 40}})["ClusterSettings"]["Secret"] == "o" * 40


@pytest.mark.parametrize(
    "changes",
    [
        {"TeamSettings": {"MaxUsersPerTeam": "many"}},
        {"TeamSettings": {"SiteName": "x" * 31}},
        {"ServiceSettings": {"SiteURL": "chat.example.com"}},
        {"ServiceSettings": {"CompatibilityVersion": "new"}},
        {"SqlSettings": {"DriverName": "oracle"}},
        {"ServiceSettings": {"TrustedProxies": {"a": [{}]}}},
    ],
)
def test_what_cannot_be_used_leaves_the_file_as_it_was(path: Path, changes: dict[str, dict[str, Any]]) -> None:
    before = path.read_text()
    with pytest.raises(ConfigError):
        _keep(path, {**changes, "EmailSettings": {"EnableSignUpWithEmail": False}})
    assert path.read_text() == before


def test_where_there_is_no_file_one_is_made_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store(None, {"TeamSettings": {"SiteName": "Ours"}}, Config(), {}) == ["TeamSettings.SiteName"]
    found = configfile.find()
    assert found is not None
    assert json.loads(found.read_text()) == {"TeamSettings": {"SiteName": "Ours"}}
    assert found.stat().st_mode & 0o777 == 0o600


def test_null_is_as_not_given(path: Path) -> None:
    before = json.loads(path.read_text())
    assert _keep(path, {"TeamSettings": {"SiteName": None}}) == before
