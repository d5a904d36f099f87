"""Clocks of nodes that jump: what their Python takes for the time of day. Nothing else of the machine is touched."""

import os
import struct
from pathlib import Path

from tests.rig.node import Node

_OFFSET = struct.Struct("d")


class Clock:
    """Of one node, which has not been started yet."""

    def __init__(self, node: Node) -> None:
        self._path = node.directory / "clock"
        self._path.write_bytes(_OFFSET.pack(0.0))
        where = [str(Path(__file__).parent / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])]
        node.set_environment(MMNODE_TEST_CLOCK=str(self._path), PYTHONPATH=os.pathsep.join(where))

    def jump(self, seconds: float) -> None:
        """It is so much later there, from now on; 0.0: as here."""
        with self._path.open("r+b") as file:
            file.write(_OFFSET.pack(seconds))
