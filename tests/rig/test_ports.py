"""Ranges of ports: two processes never hand out the same port, and none is handed out that somebody listens on."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.ports import FIRST, LAST, SIZE, Exhausted, PortRange, free_port


def test_ranges_that_are_held_at_once_differ_and_one_that_was_given_back_is_taken_again(tmp_path: Path) -> None:
    first, second = PortRange(tmp_path), PortRange(tmp_path)
    assert {first.index, second.index} == {0, 1}
    first.close()
    assert PortRange(tmp_path).index == 0


def test_another_process_gets_another_range(tmp_path: Path) -> None:
    held = PortRange(tmp_path)
    code = f"from tests.rig.ports import PortRange, Path; print(PortRange(Path({str(tmp_path)!r})).index)"
    root = Path(__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert (held.index, int(said)) == (0, 1)
    assert PortRange(tmp_path).index == 1, "the range of a process that has ended is free"


def test_no_port_is_handed_out_twice_within_a_round(tmp_path: Path) -> None:
    ports = PortRange(tmp_path)
    found = [ports.block(3) for _ in range(100)]
    assert all(FIRST <= port < FIRST + SIZE for port in found)
    assert len({port + place for port in found for place in range(3)}) == 300


def test_a_block_never_leaves_the_range(tmp_path: Path) -> None:
    ports = PortRange(tmp_path)
    assert all(ports.block(7) + 7 <= FIRST + SIZE for _ in range(2 * SIZE // 7))


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    """Of our own range: another one's ports may be given to a server that has not yet begun to listen."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert port not in [free_port() for _ in range(SIZE)]
    assert port in [free_port() for _ in range(SIZE)]


def test_when_all_ranges_are_held_it_says_so(tmp_path: Path) -> None:
    held = [PortRange(tmp_path) for _ in range((LAST - FIRST) // SIZE)]
    with pytest.raises(Exhausted, match=f"all {len(held)} ranges"):
        PortRange(tmp_path)
