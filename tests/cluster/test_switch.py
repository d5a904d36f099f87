"""What nodes tell each other when an operator changes the master: places without credentials, what was acknowledged."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import Config, SqlSettings
from cluster.commands import of_worker
from cluster.commands.of_node import Switch, read
from cluster.node import followed
from cluster.node.servers import DatabaseServers
from cluster.node.switch import HEADS, MasterSwitch, packed, unpacked
from db.pool.place import Where, where

OLD = "postgres://mm:own%20secret@old:5433/chat?sslmode=require"
NEW: dict[str, object] = {"host": "new", "port": "5434", "database": "chat"}


class Workers:
    """Of one node: they do what is asked, and remember it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sources: list[str] = []
        self.refuse = ""
        self.heads: dict[str, int] = {}
        """By which the target was judged last."""

    async def __call__(self, roles: Collection[str], command: of_worker.AnyCommand) -> dict[str, dict[str, Any]]:
        self.asked.append(command.name())
        match command:
            case of_worker.Failover():
                self.heads = command.heads
            case of_worker.Recycle() if "relay" in roles:
                self.sources.append(command.sources.data_source)
        if command.name() == self.refuse:
            return {"relay": {"ok": False, "error": "no", "unreachable": True}}
        heads = {"heads": {"channel": 7}} if isinstance(command, of_worker.Heads) else {}
        return {role: {"ok": True, **heads} for role in roles}


def _node(peers: Any, memory: Path = Path("/dev/null/none")) -> tuple[MasterSwitch, Workers, Config]:
    config = Config(sql_settings=SqlSettings(data_source=OLD, data_source_replicas=["host=new port=5434 dbname=chat"]))
    workers = Workers()
    return (
        MasterSwitch(DatabaseServers(config.sql_settings, None, workers, memory), peers, lambda *_: None),
        workers,
        config,
    )


def _follow(place: dict[str, Any]) -> Switch:
    asked = read("switch", {"step": "follow", **place}, "peer")
    assert isinstance(asked, Switch)
    return asked


async def _nobody(*_: object) -> dict[str, dict[str, Any]]:
    return {}


def test_what_was_acknowledged_is_told_of_the_channels_written_to_last() -> None:
    heads = {f"channel{number}": number for number in range(HEADS + 5)}
    told = unpacked([packed(heads), "channel7:9000", "", "what is : no pair"])
    assert len(told) == HEADS
    assert told["channel7"] == 9000
    assert "channel4" not in told
    assert len(packed({"c" * 26: 1 << 62}) + " ") * HEADS < 256 * 1024


async def test_who_follows_goes_by_its_own_credentials_and_leaves_the_heir_out_of_its_replicas() -> None:
    switch, workers, config = _node(_nobody)
    assert (await switch.take(Switch("hold"), config))["heads"] == "channel:7"
    answer = await switch.take(_follow(NEW), config)
    assert answer["ok"]
    (source,) = workers.sources
    assert "password='own secret'" in source
    assert "host='new'" in source
    assert "sslmode='require'" in source
    await switch.take(Switch("release"), config)
    assert workers.asked[-1] == "release"
    assert answer["changed"]
    assert await switch.take(_follow(NEW), config) == {"ok": True}, "it has followed already: nothing to be audited"
    assert len(workers.sources) == 1


@pytest.mark.parametrize("place", [{}, {"host": "new"}, {**NEW, "database": ""}, {**NEW, "host": "a b\0"}])
async def test_a_place_that_is_none_moves_nobody(place: dict[str, Any]) -> None:
    switch, workers, config = _node(_nobody)
    assert not (await switch.take(_follow(place), config))["ok"]
    assert workers.sources == []


async def test_who_is_held_and_hears_nothing_more_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.node.switch.HELD_S", 0.05)
    switch, workers, config = _node(_nobody)
    await switch.take(Switch("hold"), config)
    assert "release" not in workers.asked
    async with asyncio.timeout(5):
        await switch.settled()
    assert workers.asked[-1] == "release"


async def test_a_node_that_does_not_say_what_it_acknowledged_is_a_reason_to_refuse() -> None:
    steps: list[str] = []

    async def peers(asked: Switch, _: float) -> dict[str, dict[str, Any]]:
        steps.append(asked.step)
        return {"dead": {"ok": False, "result": "down"}, "mute": {"ok": False, "result": "timeout"}}

    switch, workers, config = _node(peers)
    wanted = SqlSettings(data_source="host=new port=5434 dbname=chat")
    answer = await switch.lead(config, wanted, force=False, promote=False, store=False)
    assert answer["error"] == "these nodes do not say what they acknowledged: mute"
    assert steps == ["hold", "release"]
    assert workers.asked[-1] == "release"
    assert "failover" not in workers.asked
    assert (await switch.lead(config, wanted, force=True, promote=False, store=False))["ok"]


async def test_an_old_master_that_the_leader_does_not_reach_is_closed_by_a_peer() -> None:
    steps: list[str] = []
    switch: MasterSwitch

    async def peers(asked: Switch, _: float) -> dict[str, dict[str, Any]]:
        steps.append(asked.step)
        if asked.step == "close":
            workers.refuse = ""
        return {"peer": {"ok": True, "result": "ok", "heads": "channel:9"}}

    switch, workers, config = _node(peers)
    workers.refuse = "failover"
    wanted = SqlSettings(data_source="host=new port=5434 dbname=chat")
    assert (await switch.lead(config, wanted, force=False, promote=True, store=False))["ok"]
    assert steps == ["hold", "close", "follow", "release"]
    assert workers.heads == {"channel": 9}, "what any node acknowledged is asked of the target"


def test_a_place_is_told_without_credentials() -> None:
    assert Where.of(Where("h", "1", "d").told()) == Where("h", "1", "d")


async def test_a_node_that_followed_begins_there_until_its_configuration_says_something_else(tmp_path: Path) -> None:
    memory = tmp_path / "master.json"
    switch, _, config = _node(_nobody, memory)
    await switch.take(_follow(NEW), config)
    assert "secret" not in memory.read_text()
    began = followed.recall(memory, config.sql_settings)
    assert where("postgres", began.data_source) == Where.of(NEW)
    assert "own secret" in began.data_source
    assert began.data_source_replicas == []
    edited = SqlSettings(data_source="host=third dbname=chat")
    assert followed.recall(memory, edited) == edited
    memory.write_text("{")
    assert followed.recall(memory, config.sql_settings) == config.sql_settings
    followed.keep(memory, began, began)
    assert not memory.exists()
