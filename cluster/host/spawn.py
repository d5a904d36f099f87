"""Starting children that never outlive us.

Never forked after threads or sockets (workers are forked by `forkserver.py`, which has neither); PR_SET_PDEATHSIG kills
a child when the supervisor dies, and the end of its channel tells it so as well.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None, use_errno=True)
PARENT_VARIABLE = "MMNODE_SUPERVISOR_PID"
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
"""glibc moves this threshold up to 32 MiB by itself; from then on what large answers took is never given back."""
FATAL_STATUS = 78
"""Of a worker, then of its node: starting it again is no use before somebody has changed something (EX_CONFIG)."""


@dataclass(frozen=True)
class Account:
    """Under whom to run a child: user and group id; None: as we are."""

    user: int | None = None
    group: int | None = None

    @property
    def groups(self) -> list[int] | None:
        """Supplementary groups: none of root's."""
        return None if self.user is None else []


def die_with_parent(parent: int, with_signal: int = signal.SIGKILL) -> None:
    """Have the kernel signal this process when its parent dies; exit at once if that has happened already.

    Must come after any change of user: the kernel forgets the wish then.
    """
    if _LIBC.prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """From now on we are the parent of all descendants whose parents end."""
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def name_of(role: str, index: int) -> str:
    """What a worker is called in logs, in the status and in `ps`; a node has one relay."""
    return role if role == "relay" else f"{role}{index}"


def start_python(arguments: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start `python -m mmnode ARGUMENTS`, which inherits these descriptors."""
    # The configuration comes by the channel: no worker has its secrets in an environment that it hands on.
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("MM_")}
    return subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-P", "-m", "mmnode", *arguments],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is the supervisor's to handle
        env={**ALLOCATOR, **environment, PARENT_VARIABLE: str(os.getpid())},
    )


def start_postgres(
    command: Sequence[str], environment: Mapping[str, str], account: Account, errors_to: Path
) -> subprocess.Popen[bytes]:
    """Start a postmaster under `account`. It stops at once when we die. errors_to: a file, for what it says."""
    parent = os.getpid()
    with open(_append(errors_to), "ab") as errors:
        return subprocess.Popen(  # noqa: S603 (a path of our own making)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd="/",
            env=dict(environment),
            start_new_session=True,
            # The only code of ours between fork and exec: it takes no lock that the log's thread might have held.
            preexec_fn=lambda: die_with_parent(parent, signal.SIGQUIT),
            user=account.user,
            group=account.group,
            extra_groups=account.groups,
        )


def _append(path: Path) -> int:
    """A descriptor that appends to the file, which others may not read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        log.error("a file cannot be opened", extra={"path": str(path), "reason": error.strerror})
        return os.open(os.devnull, flags)
