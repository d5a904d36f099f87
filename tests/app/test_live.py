"""What a field says of itself, and who is told of another value of it."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from app.config.live import Settings
from app.config.marks import Applies, Live, Mark, PerNode, Restart, Secret, marks_of
from app.config.settings import KEYS, Config, Section, keys_of, value_of


def _with(dotted: str, value: Any, config: Config | None = None) -> Config:
    config, key = config or Config(), KEYS[dotted]
    section = msgspec.structs.replace(getattr(config, key.section), **{key.name: value})
    return msgspec.structs.replace(config, **{key.section: section})


class Unsaid(Section, frozen=True):
    said: Live[bool] = False
    forgotten: Secret[str] = ""


class Twice(Section, frozen=True):
    both: Live[Restart[int]] = 1


class Whole(Struct, frozen=True, rename="pascal"):
    a_section: Unsaid = Unsaid()


class Other(Struct, frozen=True, rename="pascal"):
    a_section: Twice = Twice()


@pytest.mark.parametrize(("config", "key"), [(Whole, "ASection.Forgotten"), (Other, "ASection.Both")])
def test_a_key_that_does_not_say_what_applies_it_is_refused_by_name(config: type[Struct], key: str) -> None:
    with pytest.raises(TypeError, match=f"{key}: must be one of Live"):
        keys_of(config)


def test_marks_do_not_hide_bounds() -> None:
    listen, secret, barrier = (
        KEYS[f"{one}"]
        for one in ("ServiceSettings.ListenAddress", "ClusterSettings.Secret", "ClusterSettings.WriteBarrierMs")
    )
    assert (listen.applies, listen.marks) == (Applies.RESTART, frozenset({Mark.PER_NODE}))
    assert (secret.applies, secret.marks) == (Applies.LIVE, frozenset({Mark.SECRET}))
    for wrong in (-1, 5001, "50"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, barrier.kind)
    (only,) = [one for one in msgspec.structs.fields(Unsaid) if one.name == "forgotten"]
    assert marks_of(only) == (Mark.SECRET,)
    assert marks_of(msgspec.structs.fields(Config)[0]) == ()
    assert PerNode[str] != Live[str]


def test_who_watches_is_called_at_once_and_when_a_reload_changes_the_key() -> None:
    live = Settings(Config())
    told: list[int] = []
    live.watch("ClusterSettings.WriteBarrierMs", told.append)
    assert told == [50]
    live.replace(_with("TeamSettings.SiteName", "other"))
    assert told == [50]
    live.replace(_with("ClusterSettings.WriteBarrierMs", 7, live.config))
    assert told == [50, 7]
    assert live.config.team_settings.site_name == "other"


def test_who_watches_sees_the_whole_configuration_as_it_is_from_now_on() -> None:
    live = Settings(Config())
    seen: list[str] = []
    live.watch("ClusterSettings.Secret", lambda _: seen.append(live.config.cluster_settings.secret_next))
    both = _with("ClusterSettings.SecretNext", "n" * 32, _with("ClusterSettings.Secret", "s" * 32))
    live.replace(both)
    assert seen == ["", "n" * 32]


def test_who_uses_all_is_called_at_once_and_at_each_reload() -> None:
    live = Settings(Config())
    used: list[Config] = []
    live.on_reload(used.append)
    other = _with("TeamSettings.SiteName", "other")
    live.replace(other)
    live.replace(other)
    assert used == [Config(), other, other]


@pytest.mark.parametrize("dotted", [key for key, one in KEYS.items() if one.applies is not Applies.LIVE])
def test_nobody_watches_what_no_reload_applies(dotted: str) -> None:
    with pytest.raises(ValueError, match=dotted):
        Settings(Config()).watch(dotted, lambda _: None)


def test_nobody_watches_what_is_no_key() -> None:
    with pytest.raises(KeyError):
        Settings(Config()).watch("TeamSettings.NoSuch", lambda _: None)


def test_the_sample_file_has_the_defaults() -> None:
    sample = json.loads((Path(__file__).parents[2] / "etc" / "config.json").read_text())
    for section, values in sample.items():
        for name, value in values.items():
            assert value == KEYS[f"{section}.{name}"].default, f"{section}.{name}"


def test_every_key_has_its_default() -> None:
    assert {dotted: value_of(Config(), dotted) for dotted in KEYS} == {key: one.default for key, one in KEYS.items()}
