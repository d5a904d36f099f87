"""What all nodes tell clients alike: a rolling update, a node that starts again, a change of the configuration."""

from pathlib import Path

import pytest

from app.config.client import ClientConfig, Told, together
from app.config.settings import Config, ServiceSettings, TeamSettings
from cluster.peers.telling import STAYS_S, Telling
from cluster.shm import page
from cluster.shm.page import Page

OLD, NEW = "10.11.0 " + "a" * 32, "11.7.0 " + "b" * 32


def _told(text: str) -> Told:
    told = Told.read(text)
    assert told is not None
    return told


def _config(version: str, site_name: str = "mmnode") -> Config:
    return Config(
        service_settings=ServiceSettings(compatibility_version=version), team_settings=TeamSettings(site_name=site_name)
    )


def test_nodes_of_a_rolling_update_tell_the_lowest_version_alike() -> None:
    """10.11 is more than 9.2: versions are numbers."""
    configs = [ClientConfig(_config(version)) for version in ("10.11.0", "9.2.1", "11.7.0")]
    alike = set()
    for n, one in enumerate(configs):
        peers = together([other.own for m, other in enumerate(configs) if m != n])
        heard = ClientConfig(_config(one.own.version), peers)
        alike.add((heard.version, heard.version_id))
        assert b'"Version":"9.2.1"' in heard.full
        assert b'"Version":"9.2.1"' in heard.limited
    assert len(alike) == 1
    assert alike.pop()[0] == "9.2.1"


def test_clients_hear_of_another_configuration_when_all_nodes_have_it() -> None:
    """Who reads it again in between, on a node that has the former one, reads it once more."""
    before, after = ClientConfig(_config("11.7.0")), ClientConfig(_config("11.7.0", "other"))
    same = ClientConfig(_config("11.7.0"), before.own)
    assert same.version_id == before.version_id
    mixed = {
        ClientConfig(_config("11.7.0"), after.own).version_id,
        ClientConfig(_config("11.7.0", "other"), before.own).version_id,
    }
    assert len(mixed) == 1
    assert len({before.version_id, after.version_id, *mixed}) == 3


def test_a_lower_version_counts_at_once_and_for_a_while_after_its_node_went() -> None:
    telling = Telling()
    assert telling.look({}, 0.0) is None
    assert telling.look({"b": NEW}, 1.0) == _told(NEW)
    found = telling.look({"b": NEW, "c": OLD}, 2.0)
    assert found is not None
    assert found.version == "10.11.0"
    found = telling.look({"b": NEW}, 2.0 + STAYS_S - 0.1)
    assert found is not None
    assert found.version == "10.11.0"
    assert telling.look({"b": NEW}, 2.1 + STAYS_S) == _told(NEW)


def test_a_node_that_comes_back_newer_is_new_at_once() -> None:
    telling = Telling()
    telling.look({"b": OLD}, 0.0)
    assert telling.look({"b": NEW}, 1.0) == _told(NEW)


@pytest.mark.parametrize("text", ["", "11.7.0", "11.7 " + "a" * 32, "11.7.0 nothing", "11.7.0 " + "a" * 32 + " ", "x"])
def test_what_is_nothing_of_the_kind_counts_nothing(text: str) -> None:
    assert Told.read(text) is None
    assert Telling().look({"b": text}, 0.0) is None


def test_the_node_page_holds_what_many_nodes_tell(tmp_path: Path) -> None:
    page.create(tmp_path / "page")
    relay, worker = Page(tmp_path / "page", writable=True), Page(tmp_path / "page")
    assert worker.told() == ""
    relay.set_waits_for("x" * 600)
    many = together([_told(f"11.7.0 {n:032x}") for n in range(40)])
    relay.set_told(str(many))
    assert Told.read(worker.told()) == many
    assert worker.load(0) is None
    relay.set_told("")
    assert worker.told() == ""
