"""For nodes of tests whose clock is to jump: Python imports it at its start. Seconds to add are in the file of MMNODE_TEST_CLOCK."""

import mmap
import os
import struct
import time


def _shift(path: str) -> None:
    with open(path, "rb") as file:
        shared = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    offset, wall, wall_ns = struct.Struct("d"), time.time, time.time_ns
    time.time = lambda: wall() + offset.unpack_from(shared)[0]
    time.time_ns = lambda: wall_ns() + int(1e9 * offset.unpack_from(shared)[0])


if path := os.environ.get("MMNODE_TEST_CLOCK"):
    _shift(path)
