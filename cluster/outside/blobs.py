"""Files in a directory (`FileSettings.Directory`), which nodes of a cluster share. Fulfils `app.ports.Blobs`.

A file is written under a name of its own in `.mmnode-tmp`, made durable, then renamed: so whoever reads a key gets all
of one file or none, also after a power cut, and of two that write one key the later one stays. What a process that died
left there goes after some hours. Whatever may wait for a disk or a server of files is done in threads, boundedly.
"""

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.ports import BlobFailed, Stored
from app.workpool import WorkPool
from db.model.ids import new_id

log = logging.getLogger(__name__)

T = TypeVar("T")

CHUNK_BYTES = 262_144
LIMIT_S = 30.0
"""For one step (a chunk, a rename): a server of files that does not answer is one that is not there."""
LEFT_OVER_S = 6 * 3600.0
MAX_KEY_BYTES = 1024
TEMPORARY = ".mmnode-tmp"
_THREADS = 4
_MAX_WAITING = 512
_MAX_PER_KEY = 8
_MAX_NAME_BYTES = 255
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OTHER_KIND = (FileExistsError, NotADirectoryError, IsADirectoryError)
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class LocalBlobs:
    """directory: FileSettings.Directory; it is made when the first file is written."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._work = WorkPool(
            "files", threads=_THREADS, max_waiting=_MAX_WAITING, max_per_source=_MAX_PER_KEY, refuse=_busy
        )
        self._swept_at = float("-inf")

    async def put(self, key: str, parts: AsyncIterable[bytes], *, max_bytes: int) -> Stored:
        """See `app.ports.Blobs`."""
        writer = _Writer(self._root, _checked(key), max_bytes)
        await self._sweep_sometimes()
        try:
            await self._do(key, writer.open)
            waiting = bytearray()
            async for part in parts:
                waiting += part
                if len(waiting) >= CHUNK_BYTES:
                    await self._do(key, partial(writer.write, bytes(waiting)))
                    waiting.clear()
            await self._do(key, partial(writer.write, bytes(waiting)))
            return await self._do(key, writer.finish)
        finally:
            self._later(writer.close)

    @contextlib.asynccontextmanager
    async def open(self, key: str) -> AsyncIterator["LocalBlob"]:
        """See `app.ports.Blobs`."""
        file = _File(self._root / _checked(key))
        try:
            size = await self._do(key, file.open)
            yield LocalBlob(
                size, file.descriptor, lambda start, length: self._do(key, partial(file.read, start, length))
            )
        finally:
            self._later(file.close)

    async def delete(self, key: str) -> bool:
        """See `app.ports.Blobs`."""
        return await self._do(key, partial(_delete, self._root / _checked(key)))

    async def exists(self, key: str) -> int | None:
        """See `app.ports.Blobs`."""
        return await self._do(key, partial(_size, self._root / _checked(key)))

    def close(self) -> None:
        """End the threads; what is under way has a second."""
        self._work.close()

    async def _do(self, key: str, step: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._work.run(key, step)
        except TimeoutError as error:
            raise BlobFailed("unavailable", "the directory of files does not answer") from error
        except OSError as error:
            raise _failed(error) from error

    def _later(self, step: Callable[[], None]) -> None:
        """Without waiting, whoever has gone: after the step that may still be under way."""

        def run() -> None:
            try:
                step()
            except OSError as error:
                log.warning("a file cannot be closed", extra={"reason": error.strerror})

        with contextlib.suppress(RuntimeError):  # the process ends, and with it every descriptor
            self._work.begin(run)

    async def _sweep_sometimes(self) -> None:
        now = time.monotonic()
        if now - self._swept_at >= LEFT_OVER_S:
            self._swept_at = now
            if removed := await self._do("", partial(sweep, self._root)):
                log.info("files that were never finished are removed", extra={"files": removed})


class LocalBlob:
    """Fulfils `app.ports.Blob`."""

    def __init__(self, size: int, descriptor: int, read: Callable[[int, int], Awaitable[bytes]]) -> None:
        self.size = size
        self.descriptor = descriptor
        self._read = read

    async def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `app.ports.Blob`."""
        if start < 0 or (length is not None and length < 0) or start > self.size:
            raise BlobFailed("range", "there is no such part of the file")
        end = self.size if length is None else min(self.size, start + length)
        while start < end:
            chunk = await self._read(start, min(CHUNK_BYTES, end - start))
            if not chunk:
                raise BlobFailed("unavailable", "the file has become shorter")
            start += len(chunk)
            yield chunk


# In threads ----------------------------------------------------------------------------------------------------------


class _File:
    """A file that is read. Steps of one may follow each other in several threads: the lock keeps them in turn."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._closed = False
        self.descriptor = -1

    def open(self) -> int:
        """Its size."""
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "closed")
            self.descriptor = os.open(self._path, _READ)
            found = os.fstat(self.descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.ENOENT, "no file")
            return found.st_size

    def read(self, start: int, length: int) -> bytes:
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "closed")
            return os.pread(self.descriptor, length, start)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self.descriptor >= 0:
                descriptor, self.descriptor = self.descriptor, -1
                os.close(descriptor)


class _Writer:
    """A file that is written. `close` takes away what was not finished."""

    def __init__(self, root: Path, key: str, max_bytes: int) -> None:
        self._root = root
        self._path = root / key
        self._temporary = root / TEMPORARY / new_id()
        self._most = max_bytes
        self._lock = threading.Lock()
        self._descriptor = -1
        self._closed = self._finished = False
        self._size = 0
        self._sha256 = hashlib.sha256()

    def open(self) -> None:
        with self._lock:
            self._check_open()
            try:
                _make(self._temporary.parent, self._root)
            except _OTHER_KIND as error:
                raise BlobFailed("unavailable", "where the directory of files should be is something else") from error
            self._descriptor = os.open(self._temporary, _NEW, 0o600)

    def write(self, data: bytes) -> None:
        with self._lock:
            self._check_open()
            self._size += len(data)
            if self._size > self._most:
                raise BlobFailed("too_large", f"the file is larger than {self._most} bytes")
            self._sha256.update(data)
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]

    def finish(self) -> Stored:
        with self._lock:
            self._check_open()
            os.fsync(self._descriptor)
            try:
                _make(self._path.parent, self._root)
                self._temporary.rename(self._path)
            except _OTHER_KIND as error:
                raise BlobFailed("key", "a file and a directory cannot have one name") from error
            self._finished = True
            _sync(self._path.parent)
            return Stored(self._size, self._sha256.hexdigest())

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._descriptor >= 0:
                descriptor, self._descriptor = self._descriptor, -1
                if not self._finished:
                    self._temporary.unlink(missing_ok=True)
                os.close(descriptor)

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "closed")


def sweep(root: Path, older_than_s: float = LEFT_OVER_S) -> int:
    """Remove what nobody has written to for so long and was never finished; how many files."""
    removed = 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / TEMPORARY) as found:
        for one in found:
            with contextlib.suppress(FileNotFoundError):  # another process was quicker
                if time.time() - one.stat(follow_symlinks=False).st_mtime > older_than_s:
                    os.unlink(one.path)
                    removed += 1
    return removed


def _make(directory: Path, root: Path) -> None:
    """Make it with what is above it; each new name is durable."""
    if directory.is_dir():
        return
    if directory != root:
        _make(directory.parent, root)
        directory.mkdir(mode=0o750, exist_ok=True)
    else:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    _sync(directory.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    _sync(path.parent)
    return True


def _size(path: Path) -> int | None:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _checked(key: str) -> str:
    """The key. Raises BlobFailed for what leads out of the directory, or what no file can be called."""
    names = key.split("/")
    if (
        not all(_is_name(name) for name in names)
        or names[0] == TEMPORARY
        or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES
    ):
        raise BlobFailed("key", "there can be no such file")
    return key


def _is_name(name: str) -> bool:
    if name in ("", ".", "..") or not name.isprintable() or "\\" in name:
        return False
    return len(name.encode()) <= _MAX_NAME_BYTES


def _failed(error: OSError) -> BlobFailed:
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError) or error.errno == errno.ELOOP:
        return BlobFailed("missing", "there is no such file")
    if error.errno in _FULL:
        log.error("there is no room for files", extra={"reason": error.strerror})
        return BlobFailed("full", f"there is no room for the file: {error.strerror}")
    log.error("files cannot be read or written", extra={"reason": error.strerror})
    return BlobFailed("unavailable", f"the directory of files cannot be used: {error.strerror}")


def _busy() -> BlobFailed:
    return BlobFailed("busy", "too many files are read or written")
