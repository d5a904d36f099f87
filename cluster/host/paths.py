"""Where a node keeps its things: data directory (lasting), runtime directory (sockets, for one run), node id.

    <data-dir>/node_id   who this node is          <data-dir>/lock   held while it runs
    <data-dir>/run  ->  a short path: `own/` for our sockets, `pg/` for the embedded PostgreSQL's

Socket paths are limited to 107 bytes, so the runtime directory lies under /run or /tmp, whatever the data directory is.
"""

import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from db.model.ids import is_id, new_id

_PREFIX = "mmnode-"
_ENTERABLE = 0o711
"""Of root's directories: the account of the embedded PostgreSQL must get to its own folder in them."""


class DataDirInUse(Exception):
    """Another node runs on this data directory."""


@dataclass(frozen=True)
class Paths:
    """The places of one running node."""

    data: Path
    runtime: Path
    node_id: str

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.runtime / "own" / "control.sock"

    @property
    def bus(self) -> str:
        """ZeroMQ address of the relay for this node's workers."""
        return f"ipc://{self.runtime}/own/bus"

    @property
    def page(self) -> Path:
        """The node page."""
        return self.runtime / "own" / "page"

    @property
    def floors(self) -> Path:
        """The floors in shared memory."""
        return self.runtime / "own" / "floors"

    @property
    def stamps(self) -> Path:
        """The stamps in shared memory."""
        return self.runtime / "own" / "stamps"

    @property
    def metrics(self) -> Path:
        """What is counted, in shared memory."""
        return self.runtime / "own" / "metrics"

    @property
    def postgres_sockets(self) -> Path:
        """Directory of the embedded PostgreSQL's socket."""
        return self.runtime / "pg"

    def handover(self, worker: str) -> Path:
        """Socket on which a worker gets connections from others."""
        return self.runtime / "own" / worker


def control_socket(data: Path) -> Path:
    """The control socket of the node that runs on this data directory; raises FileNotFoundError when none does."""
    return Path(os.readlink(data / "run")) / "own" / "control.sock"


def lock(data: Path) -> int:
    """Create the data directory if need be and lock it; the descriptor that holds the lock. Raises DataDirInUse."""
    if not data.exists():
        data.mkdir(mode=0o700, parents=True)
        if os.getuid() == 0:
            data.chmod(_ENTERABLE)
    descriptor = os.open(data / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DataDirInUse(f"{data}: another mmnode runs on this data directory") from error
    return descriptor


def prepare(data: Path) -> Paths:
    """A fresh runtime directory for the node whose data directory is locked; that of its last run is removed."""
    link = data / "run"
    if link.is_symlink():
        last = Path(os.readlink(link))
        if last.name.startswith(_PREFIX):
            shutil.rmtree(last, ignore_errors=True)
        link.unlink()
    runtime = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))
    if os.getuid() == 0:
        runtime.chmod(_ENTERABLE)
    (runtime / "own").mkdir(mode=0o700)
    (runtime / "pg").mkdir(mode=0o700)
    link.symlink_to(runtime)
    return Paths(data, runtime, _node_id(data))


def clean_up(paths: Paths) -> None:
    """Remove the runtime directory."""
    shutil.rmtree(paths.runtime, ignore_errors=True)
    (paths.data / "run").unlink(missing_ok=True)


def _base() -> str:
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    for candidate in (["/run"] if os.getuid() == 0 else [own]) + ["/tmp"]:  # noqa: S108 (mkdtemp is safe there)
        if candidate and len(candidate) <= 60 and os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    return tempfile.gettempdir()


def _node_id(data: Path) -> str:
    path = data / "node_id"
    try:
        found = path.read_text(encoding="ascii").strip()
        if is_id(found):
            return found
    except FileNotFoundError:
        pass
    node_id = new_id()
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write(node_id + "\n")
    temporary.replace(path)
    return node_id
