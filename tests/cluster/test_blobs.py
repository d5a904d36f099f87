"""Files in a directory: whole or not there, nowhere else, in bounded memory, and nothing left over."""

import asyncio
import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import pytest

from app.ports import BlobFailed, Stored
from cluster.outside import blobs
from cluster.outside.blobs import CHUNK_BYTES, TEMPORARY, LocalBlobs, sweep

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "data"


@pytest.fixture
def store(root: Path) -> Iterator[LocalBlobs]:
    made = LocalBlobs(root)
    yield made
    made.close()


async def _parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def _put(store: LocalBlobs, key: str, *parts: bytes, most: int = 64 * MIB) -> Stored:
    return await store.put(key, _parts(*parts), max_bytes=most)


async def _get(store: LocalBlobs, key: str, start: int = 0, length: int | None = None) -> bytes:
    async with store.open(key) as blob:
        return b"".join([part async for part in blob.read(start, length)])


async def _refusal(doing: Awaitable[object]) -> str:
    with pytest.raises(BlobFailed) as failed:
        await doing
    return failed.value.why


async def _left(root: Path, number: int = 0) -> None:
    """What is left of unfinished files becomes so many: that is done behind everybody's back."""
    async with asyncio.timeout(20):
        while len(list((root / TEMPORARY).iterdir())) != number:
            await asyncio.sleep(0.01)


async def test_what_was_put_is_got_whole_and_in_parts(store: LocalBlobs, root: Path) -> None:
    data = random.Random(1).randbytes(3 * CHUNK_BYTES + 7)
    stored = await _put(store, "20261128/teams/a b/ä.png", data[:10], b"", data[10:500_000], data[500_000:])
    assert stored == Stored(len(data), hashlib.sha256(data).hexdigest())
    key = "20261128/teams/a b/ä.png"
    assert (root / key).read_bytes() == data
    assert await store.exists(key) == len(data)
    assert await _get(store, key) == data
    for start, length in [(0, 1), (5, 0), (CHUNK_BYTES - 1, 2), (len(data) - 3, 100), (len(data), None), (7, None)]:
        assert await _get(store, key, start, length) == data[start : None if length is None else start + length]
    assert await _refusal(_get(store, key, len(data) + 1)) == "range"
    assert await _refusal(_get(store, key, -1)) == "range"
    await _left(root)


async def test_an_empty_file_is_a_file(store: LocalBlobs) -> None:
    assert await _put(store, "empty") == Stored(0, hashlib.sha256().hexdigest())
    assert (await store.exists("empty"), await _get(store, "empty")) == (0, b"")


async def test_reads_are_in_chunks_and_the_descriptor_can_be_sent(store: LocalBlobs) -> None:
    data = bytes(range(256)) * 4096
    await _put(store, "a/b", data)
    async with store.open("a/b") as blob:
        assert blob.size == len(data)
        assert max([len(part) async for part in blob.read()]) <= CHUNK_BYTES
        assert os.pread(blob.descriptor, 4, 2) == data[2:6]


async def test_what_is_not_there(store: LocalBlobs) -> None:
    assert await store.exists("a") is None
    assert await store.delete("a") is False
    assert await _refusal(_get(store, "a")) == "missing"
    await _put(store, "a/b", b"1")
    for key in ("a", "a/b/c"):  # a directory; below a file
        assert await store.exists(key) is None
        assert await store.delete(key) is False
        assert await _refusal(_get(store, key)) == "missing"
    for key in ("a", "a/b/c"):
        assert await _refusal(_put(store, key, b"x")) == "key"
    assert await _get(store, "a/b") == b"1"


async def test_deleted_files_are_gone_and_who_reads_them_reads_on(store: LocalBlobs) -> None:
    await _put(store, "a", b"x" * MIB)
    async with store.open("a") as blob:
        assert await store.delete("a") is True
        assert sum([len(part) async for part in blob.read()]) == MIB
    assert await store.exists("a") is None


@pytest.mark.parametrize(
    "key",
    [
        *(
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/../../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "a/./b",
            "a\\b",
            "a\0b",
            "a\nb",
        ),
        *(
            "\ud800",
            "a/\x7f",
            "x" * 256,
            "ä" * 128,
            "/".join(["x" * 200] * 6),
            f"{TEMPORARY}/x",
            TEMPORARY,
            "a/\u202eb",
        ),
    ],
)
async def test_no_key_leads_out_of_the_directory(store: LocalBlobs, root: Path, key: str) -> None:
    outside = root.parent / "a"
    outside.parent.mkdir(parents=True, exist_ok=True)
    outside.write_bytes(b"not yours")
    for doing in (_put(store, key, b"x"), _get(store, key), store.exists(key), store.delete(key)):
        assert await _refusal(doing) == "key"
    assert outside.read_bytes() == b"not yours"


async def test_what_is_no_file_is_not_read_and_nobody_waits_for_it(store: LocalBlobs, root: Path) -> None:
    await _put(store, "a", b"x")
    os.mkfifo(root / "fifo")
    (root / "link").symlink_to("/etc/passwd")
    for key in ("fifo", "link"):
        assert await store.exists(key) is None
        assert await asyncio.wait_for(_refusal(_get(store, key)), 10) == "missing"


async def test_what_is_too_large_is_refused_and_nothing_is_left(store: LocalBlobs, root: Path) -> None:
    await _put(store, "a", b"old")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    assert await _refusal(store.put("a", endless(), max_bytes=MIB)) == "too_large"
    assert await _refusal(_put(store, "a", b"1234", most=3)) == "too_large"
    assert await _get(store, "a") == b"old"
    await _left(root)


async def test_who_sends_it_fails_and_nothing_is_left(store: LocalBlobs, root: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        raise ConnectionError("the client is gone")

    with pytest.raises(ConnectionError):
        await store.put("a", breaks(), max_bytes=64 * MIB)
    await _left(root)

    async def hangs() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        await asyncio.Event().wait()

    task = asyncio.create_task(store.put("a", hangs(), max_bytes=64 * MIB))
    await _left(root, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _left(root)
    assert await store.exists("a") is None


@pytest.mark.parametrize("step", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_said_so(
    store: LocalBlobs, root: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    await _put(store, "a", b"old")

    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, step, full)
    assert await _refusal(_put(store, "a", b"new")) == "full"
    monkeypatch.undo()
    assert await _get(store, "a") == b"old"
    await _left(root)


async def test_a_directory_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = LocalBlobs(tmp_path / "file")
    assert await _refusal(_put(store, "a", b"x")) == "unavailable"
    store.close()


async def test_a_disk_that_hangs_is_said_so_and_keeps_nobody(
    store: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _put(store, "a", b"x")
    monkeypatch.setattr(blobs, "LIMIT_S", 0.1)
    go_on = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: go_on.wait(30))
    assert await _refusal(_put(store, "b", b"x")) == "unavailable"
    go_on.set()


async def test_a_file_is_durable_before_it_has_its_name_and_the_name_before_it_is_acknowledged(
    store: LocalBlobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        done.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), root))
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    await _put(store, "a/b/c", b"x")
    first = next(at for at, name in enumerate(done) if name.startswith(TEMPORARY + "/"))
    assert first < done.index("rename") < len(done) - 1 - done[::-1].index("a/b")
    assert {"..", ".", "a"} <= set(done[: done.index("rename")])  # the names of the new directories


async def test_whoever_reads_gets_all_of_one_file(store: LocalBlobs) -> None:
    """Five write one key, again and again; readers never see a mixture, nor nothing."""
    await _put(store, "a", b"0" * 600_000)
    stop = False

    async def write(mark: bytes) -> None:
        while not stop:
            await _put(store, "a", mark * 300_000, mark * 300_000)

    writers = [asyncio.create_task(write(b"%d" % one)) for one in range(5)]
    for _ in range(40):
        found = await _get(store, "a")
        assert (len(found), len(set(found))) == (600_000, 1)
    stop = True
    await asyncio.gather(*writers)


_WRITER = """
import asyncio, sys
from pathlib import Path
from cluster.outside.blobs import LocalBlobs

async def parts(mark):
    for _ in range(20):
        yield mark * 100_000

async def main():
    store = LocalBlobs(Path(sys.argv[1]))
    for number in range(1000):
        await store.put("a", parts(b"%d" % (number % 10)), max_bytes=1 << 30)
        print(number, flush=True)

asyncio.run(main())
"""


async def test_a_writer_that_is_killed_leaves_the_last_whole_file(store: LocalBlobs, root: Path) -> None:
    for turn in range(5):
        writer = subprocess.Popen(  # noqa: ASYNC220 (a moment, and nobody else is here)
            [sys.executable, "-c", _WRITER, str(root)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(1 + turn):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.stdout.close()
        writer.wait()
        found = await _get(store, "a")
        assert (len(found), len(set(found))) == (2_000_000, 1)


async def test_left_over_files_go_after_a_while_and_no_others(root: Path) -> None:
    store = LocalBlobs(root)
    await _put(store, "a", b"x")
    await _left(root)
    for name, age_s in (("old", blobs.LEFT_OVER_S + 60), ("young", 60)):
        (root / TEMPORARY / name).write_bytes(b"x")
        os.utime(root / TEMPORARY / name, (time.time() - age_s,) * 2)
    again = LocalBlobs(root)
    await _put(again, "b", b"x")
    await _left(root, 1)
    assert (root / TEMPORARY / "young").exists()
    assert (await again.exists("a"), sweep(root)) == (1, 0)
    store.close()
    again.close()


async def test_no_descriptor_is_left_open(store: LocalBlobs, root: Path) -> None:
    await _put(store, "a", b"x" * MIB)
    await _left(root)
    before = len(os.listdir("/proc/self/fd"))

    async def read() -> None:
        async with store.open("a") as blob:
            async for _ in blob.read():
                await asyncio.sleep(10)

    tasks = [asyncio.create_task(read()) for _ in range(5)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(20):
        await _refusal(_get(store, "nothing"))
    async with asyncio.timeout(20):
        while len(os.listdir("/proc/self/fd")) > before:
            await asyncio.sleep(0.01)
