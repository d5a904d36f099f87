"""The control socket: who does not speak or does not read costs nothing and is let go."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from cluster.commands import of_node
from cluster.node import control
from cluster.node.control import Answer

pytestmark = pytest.mark.asyncio


async def _handle(command: of_node.AnyCommand) -> Answer:
    return {"ok": True, "much": "x" * 5_000_000} if isinstance(command, of_node.Diff) else {"ok": True}


async def test_a_client_that_does_not_read_its_answer_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_TALK_S", 0.3)
    path = tmp_path / "control.sock"
    async with await control.serve(path, _handle):
        with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as deaf:
            silent.connect(str(path))
            deaf.connect(str(path))
            deaf.sendall(b'{"command": "diff"}\n')
            answer = await asyncio.to_thread(control.ask, path, "status")
            assert answer == {"ok": True}
            async with asyncio.timeout(5):
                while len(asyncio.all_tasks()) > 1:
                    await asyncio.sleep(0.05)
            silent.settimeout(5)
            assert silent.recv(1) in (b"", b"{")


async def test_a_long_answer_comes_whole(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with await control.serve(path, _handle):
        answer = await asyncio.to_thread(control.ask, path, "diff")
    assert len(answer["much"]) == 5_000_000


@pytest.mark.parametrize("line", [b"secret-piece\n", b'{"secret-piece": 1}\n', b'"secret-piece"\n', b"\xff\n"])
async def test_what_is_no_command_is_not_repeated(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "control.sock"
    async with await control.serve(path, _handle):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        answer = json.loads(await reader.readline())
        writer.close()
    assert not answer["ok"]
    assert "secret" not in json.dumps(answer)
