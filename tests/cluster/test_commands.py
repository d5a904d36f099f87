"""Commands as types: who may ask what, what the audit log says, and that what is malformed is an error in words."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from typing import Any, cast, get_args

import msgspec
import pytest

from cluster import cli
from cluster.commands import of_node, of_worker
from cluster.commands.of_node import BadCommand, By, read
from cluster.node import control
from cluster.node.supervisor import Supervisor
from cluster.workers import main
from cluster.workers.channel import Channel, to_supervisor, to_worker
from cluster.workers.operator import SupervisorLink

# What the version before says, and must be understood: names and arguments are only ever added to this.
BEFORE: dict[str, dict[str, object]] = {
    "status": {},
    "drain": {},
    "diff": {},
    "database": {},
    "reload": {"cluster": True},
    "environment": {},
    "save": {"sections": {"TeamSettings": {"SiteName": "Ours"}}},
    "recycle": {"cluster": False, "force": True},
    "failover": {"to": "host=b", "force": False},
    "purge": {"cluster": True},
    "cluster": {},
    "remove": {"node": "n" * 26},
    "upgrade": {"begin": False},
    "unlock": {"user": "ann@example.com"},
    "switch": {"step": "follow", "store": True, "host": "h", "port": "1", "database": "d"},
}
READS = {"status", "diff", "database", "cluster", "environment"}
SECRET = "secret-piece"


def _kinds(above: type[Any]) -> Iterator[type[Any]]:
    for kind in above.__subclasses__():
        yield from _kinds(kind)
        if kind is not of_node.ForEveryNode:
            yield kind


def test_no_command_is_left_out_of_its_union() -> None:
    assert set(_kinds(of_node.Command)) == set(of_node.COMMANDS)
    assert set(_kinds(of_worker.Command)) == set(of_worker.COMMANDS)
    messages = {*get_args(of_worker.ToWorker), *get_args(of_worker.ToSupervisor)}
    assert set(_kinds(of_worker.Message)) == messages


@pytest.mark.parametrize("kind", of_node.COMMANDS, ids=lambda kind: kind.name())
def test_every_command_says_who_may_ask_what_the_audit_log_says_and_what_it_is(kind: type[of_node.Command]) -> None:
    assert {"by", "audit"} <= vars(kind).keys(), "to be said by each, not inherited"
    assert kind.by <= set(get_args(By))
    assert kind.by
    assert (kind.audit is None) == (kind.name() in READS)
    assert (kind.__doc__ or "").partition("\n")[0].endswith((".", ","))
    found = {one.name: one for one in of_node.arguments_of(kind)}
    assert set(kind.told) <= found.keys()
    assert not [name for name in kind.told if found[name].secret], "the audit log shows no secret"
    assert bool(kind.line) == ("operator" in kind.by and kind is not of_node.Purge)


@pytest.mark.parametrize("name", BEFORE)
def test_what_the_version_before_says_is_understood(name: str) -> None:
    by = _any_of(name)
    command = read(name, BEFORE[name] | {"what a later version": "adds"}, by)
    assert command.name() == name
    for argument, value in BEFORE[name].items():
        assert getattr(command, argument) == value
    again = read(name, command.arguments(), by)
    assert again == command


def _any_of(name: str) -> By:
    return "peer" if name == "switch" else "worker" if name in ("save", "environment") else "operator"


def test_the_vocabulary_of_the_version_before_is_whole() -> None:
    assert {one.name() for one in of_node.COMMANDS} == BEFORE.keys()
    assert {one.name() for one in of_node.COMMANDS if "peer" in one.by} == {"reload", "recycle", "purge", "switch"}
    asked_by_workers = {one.name() for one in of_node.COMMANDS if "worker" in one.by}
    assert asked_by_workers == {"reload", "recycle", "purge", "cluster", "save", "environment"}


def test_what_another_node_asks_of_all_is_done_here_alone() -> None:
    assert read("recycle", {"cluster": True, "force": True}, "peer") == of_node.Recycle()
    assert read("reload", {"cluster": SECRET}, "peer") == of_node.Reload()


@pytest.mark.parametrize(
    ("name", "by"), [("switch", "operator"), ("switch", "worker"), ("failover", "worker"), ("failover", "peer"), ("drain", "peer"), ("status", "peer"), ("remove", "worker")]
)  # fmt: skip
def test_who_may_not_ask_is_told_that_there_is_no_such_command(name: str, by: By) -> None:
    with pytest.raises(BadCommand, match=f"unknown command '{name}'"):
        read(name, BEFORE[name], by)


WRONG: list[object] = [SECRET, [SECRET], {SECRET: SECRET}, None, 5, 1.5, True, SECRET * 100_000, ""]


@pytest.mark.parametrize("name", [name for name in BEFORE if BEFORE[name]])
def test_an_argument_that_cannot_be_is_an_error_that_repeats_nothing(name: str) -> None:
    by, refused = _any_of(name), []
    for argument in BEFORE[name]:
        for wrong in WRONG:
            try:
                read(name, {**BEFORE[name], argument: wrong}, by)
            except BadCommand as error:
                refused.append(str(error))
    assert len(refused) >= 5 * len(BEFORE[name])
    assert all(text.startswith(name) and SECRET not in text and len(text) < 200 for text in refused)
    required = [one.name for one in of_node.arguments_of(type(read(name, BEFORE[name], by))) if one.required]
    for argument in required:
        with pytest.raises(BadCommand, match=argument):
            read(name, {one: value for one, value in BEFORE[name].items() if one != argument}, by)


@pytest.mark.parametrize(
    "line",
    [b"", b"secret-piece", b"\xff", b"[]", b"5", b"null", b'"secret-piece"', b"{}", b'{"secret-piece": 1}', b'{"command": 5}',
     b'{"command": {"secret-piece": 1}}', b'{"command": null}', b'{"command": "failover", "to": ["secret-piece"]}',
     b'{"command": "failover", "to": "\\ud800secret-piece"}', b'{"command": "failover"}', b'{"command": "remove", "node": ""}',
     b"[" * 50_000],
)  # fmt: skip
def test_no_line_on_the_control_socket_is_more_than_an_error(line: bytes) -> None:
    with pytest.raises(BadCommand) as caught:
        control.read(line)
    assert SECRET not in str(caught.value)


def test_no_repr_shows_an_argument() -> None:
    failover = of_worker.Failover("postgres", SECRET, {}, force=False, promote=True, closed=False)
    sources = of_worker.Sources(cast(Any, None), SECRET, [SECRET])
    switch = of_node.Switch("follow", host=SECRET)
    shown = [of_node.Failover(SECRET), failover, sources, of_worker.Ask(1, failover), of_worker.Verify(sources), switch]
    assert SECRET not in repr(shown)
    assert SECRET not in repr(of_worker.Start(sources, "n", "r", "d", 1, 1, 1, [SECRET]))


# The command line ------------------------------------------------------------------------------------------------------


def test_every_command_of_the_command_line_says_what_it_says(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    asked: list[of_node.Command] = []

    def ask(_options: object, command: of_node.Command) -> dict[str, Any]:
        asked.append(command)
        return {"ok": False, "error": "no"}

    monkeypatch.setattr(cli, "_ask", ask)
    for line in ("status --json", "drain", "cluster drain", "config reload --cluster", "config diff", "db status",
                 "db recycle --cluster --force", "db failover --to host=b", "cluster status", "cluster remove abc",
                 "cluster upgrade begin", "cluster upgrade end", "user unlock ann"):  # fmt: skip
        assert cli.main(line.split()) == 1
    drain = of_node.Drain()
    assert asked == [of_node.Status(), drain, drain, of_node.Reload(cluster=True), of_node.Diff(), of_node.Database(),
                     of_node.Recycle(cluster=True, force=True), of_node.Failover("host=b"), of_node.Cluster(),
                     of_node.Remove("abc"), of_node.Upgrade(True), of_node.Upgrade(False), of_node.Unlock("ann")]  # fmt: skip
    assert {type(one) for one in asked} == {kind for _, kind in of_node.offered()}
    assert capsys.readouterr().out.count('"error": "no"') == len(asked)


@pytest.mark.parametrize(
    "line", ["cluster remove", "cluster upgrade now", "db failover", "db status --force", "db recycle --to x", "cluster", "db", "status now"]
)  # fmt: skip
def test_what_a_command_does_not_take_is_status_2(line: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(line.split())
    assert left.value.code == 2
    assert "usage: mmnode" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["cluster", "remove", ""], ["user", "unlock", "a" * 257]])
def test_what_is_out_of_bounds_is_status_2_before_a_node_is_asked(line: list[str], capsys: Any) -> None:
    assert cli.main(line) == 2
    assert f"mmnode: {line[1]}: Expected `str` of length" in capsys.readouterr().err


# Between supervisor and worker -----------------------------------------------------------------------------------------


class Operations:
    """Does all, and remembers for whom."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    async def run(self, command: of_node.AnyCommand, by: str) -> dict[str, Any]:
        self.done.append((command.name(), by))
        return {"ok": True}


class Sent:
    """A channel."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(message)


async def test_a_worker_passes_on_what_administrators_may_ask_and_the_relay_what_other_nodes_may() -> None:
    supervisor, operations = Supervisor.__new__(Supervisor), Operations()
    supervisor._operations = cast(Any, operations)
    for role in ("api", "ws", "relay"):
        for name in BEFORE:
            channel = Sent()
            command = read(name, BEFORE[name], _any_of(name))
            await supervisor._answer(role, cast(Any, channel), of_worker.Request(7, command))
            (answer,) = channel.messages
            assert answer.id == 7
            may = ("peer" if role == "relay" else "worker") in command.by
            assert answer.body == ({"ok": True} if may else {"ok": False, "error": f"unknown command {name!r}"})
    assert ("switch", "another node") in operations.done
    assert ("cluster", "administrator") in operations.done


async def test_an_administrators_malformed_command_is_answered_at_once() -> None:
    link = SupervisorLink()
    for name, arguments in (("failover", {"to": "x"}), ("reload", {"cluster": SECRET}), ("no such", {})):
        answer = await link.command(name, **arguments)
        assert not answer["ok"]
        assert SECRET not in answer["error"]


async def test_a_command_that_fails_in_a_worker_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Worker:
        async def act(self, _command: object) -> None:
            raise KeyError(SECRET)

    channel = Sent()
    await main._act(cast(Any, channel), cast(Any, Worker()), 9, of_worker.Close())
    assert channel.messages == [of_worker.Answer(9, {"ok": False, "error": "it failed: KeyError"})]
    assert "a command of the supervisor failed" in caplog.text


async def test_a_line_that_is_no_message_is_logged_and_what_follows_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    channel: Channel[of_worker.ToSupervisor] = await to_worker(ours)
    lines = (
        b"secret-piece",
        b'{"kind": "secret-piece"}',
        b'{"kind": "answer", "id": "secret-piece"}',
        b'{"kind": "beat"}',
    )
    theirs.sendall(b"\n".join(lines) + b"\n")
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(5):
            assert await anext(channel.messages()) == of_worker.Beat()
    reasons = [vars(one)["reason"] for one in caplog.records]
    assert reasons == ["not JSON", "Invalid value - at `$.kind`", "Expected `int`, got `str` - at `$.id`"]
    channel.close()
    theirs.close()


async def test_every_message_comes_out_of_the_channel_as_it_went_in() -> None:
    ours, theirs = socket.socketpair()
    supervisor, worker = await to_worker(ours), await to_supervisor(theirs)
    step = of_node.Switch("follow", host="h", port="1", database="d")
    told: list[of_worker.ToWorker] = [of_worker.Ask(3, of_worker.Everywhere(step, 2.5)), of_worker.Stop(at_once=True)]
    said: list[of_worker.ToSupervisor] = [of_worker.Request(4, of_node.Recycle(force=True)), of_worker.Ready()]
    for down in told:
        supervisor.send(down)
    for up in said:
        worker.send(up)
    hears, heard = supervisor.messages(), worker.messages()
    assert [await anext(heard), await anext(heard)] == told
    assert [await anext(hears), await anext(hears)] == said
    supervisor.close()
    worker.close()


def test_a_step_goes_to_other_nodes_as_the_version_before_has_it() -> None:
    assert of_node.Switch("hold").arguments()["step"] == "hold"
    by_socket = of_node.Switch("follow", host="/run/mysqld.sock", database="d").arguments()
    assert by_socket["port"] == "", "the version before takes a place that lacks one of the three for none"
    assert msgspec.json.decode(msgspec.json.encode(of_node.Recycle(cluster=True))) == {
        "command": "recycle",
        "cluster": True,
    }
    step = of_node.Switch("follow", True, "h", "1", "d")
    assert (step.name(), step.arguments()) == ("switch", BEFORE["switch"])
