"""The configuration as administrators change it over the API: kept, masked, in force everywhere, or refused whole."""

import json
from typing import Any

import pytest

from app.config.settings import MASK
from tests.api.conftest import Configure
from tests.api.expect import refused
from tests.rig.node import Node
from tests.rig.rest import Rest


@pytest.fixture
def _restored(configure: Configure) -> None:
    """`configure` writes an empty file at the end."""
    configure({})


def _put(admin: Rest, path: str, body: object) -> Any:
    response = admin.call("PUT", path, body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.usefixtures("_restored")
def test_what_is_patched_is_in_force_and_in_the_file(own_node: Node, own_admin: Rest) -> None:
    answer = _put(own_admin, "/config/patch", {"TeamSettings": {"SiteName": "Ours"}})
    assert answer["TeamSettings"]["SiteName"] == "Ours"
    assert own_admin.get("/config/client?format=old")["SiteName"] == "Ours"
    assert own_admin.get("/config")["TeamSettings"]["SiteName"] == "Ours"
    assert json.loads(own_node.config_path.read_text())["TeamSettings"] == {"SiteName": "Ours"}


@pytest.mark.usefixtures("_restored")
def test_the_whole_configuration_sent_back_keeps_secrets_and_what_the_environment_says(
    own_node: Node, own_admin: Rest
) -> None:
    shown: dict[str, Any] = own_admin.get("/config")
    assert own_admin.get("/config/environment")["TeamSettings"] == {"EnableOpenServer": True}
    shown["TeamSettings"]["SiteName"] = "Whole"
    shown["TeamSettings"]["EnableOpenServer"] = True
    answer = _put(own_admin, "/config", shown)
    assert answer["TeamSettings"]["EnableOpenServer"] is False
    assert json.loads(own_node.config_path.read_text()) == {"TeamSettings": {"SiteName": "Whole"}}
    assert MASK not in own_node.config_path.read_text()


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("path", ["/config", "/config/patch"])
def test_what_cannot_be_used_is_refused_with_every_problem(own_node: Node, own_admin: Rest, path: str) -> None:
    before = own_node.config_path.read_text()
    body = {"TeamSettings": {"MaxUsersPerTeam": 0}, "PasswordSettings": {"MinimumLength": 4}}
    error = own_admin.call("PUT", path, body)
    refused(error, 400, "api.config.update_config.invalid.app_error")
    for key in ("TeamSettings.MaxUsersPerTeam", "PasswordSettings.MinimumLength"):
        assert key in error.json()["message"]
    assert own_node.config_path.read_text() == before


@pytest.mark.usefixtures("_restored")
def test_the_address_of_the_site_cannot_be_cleared(own_admin: Rest) -> None:
    _put(own_admin, "/config/patch", {"ServiceSettings": {"SiteURL": "http://chat.example.com"}})
    error = own_admin.call("PUT", "/config/patch", {"ServiceSettings": {"SiteURL": ""}})
    refused(error, 400, "api.config.update_config.clear_siteurl.app_error")
