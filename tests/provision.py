"""Provides what the tests need beyond pip: `python -m tests.provision` (by `make setup`), and the fixture `require`.

A part that cannot be provided fails with its name. With MMNODE_SKIP_MISSING=1 tests that need it are skipped instead.
A further part is a further entry of PARTS.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.rig.network import namespaces_available

SKIP_VARIABLE = "MMNODE_SKIP_MISSING"
JS = Path(__file__).parent / "clients" / "js"

_INSTALL_S = 900.0
_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_SERVICES = b"#!/bin/sh\n# In place while mmnode's tests are provisioned: packages start no service.\nexit 101\n"
# The first with Headers.getSetCookie, by which talk.mjs keeps its cookies.
_NODE_JS = (18, 15)


class Missing(Exception):
    """A part is not there and could not be provided; the text names it and says why."""


class InstallError(Exception):
    """What went wrong while a part was installed."""


@dataclass(frozen=True)
class Part:
    """Something the tests need. `present` is quick; `install` may raise InstallError. needs: parts that come first."""

    name: str
    present: Callable[[], bool]
    install: Callable[[], None]
    needs: tuple[str, ...] = ()


class Provision:
    """A set of parts and what is known of them: each is looked for, and installed, at most once."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = {part.name: part for part in parts}
        self._provided: dict[str, str] = {}
        self._missing: dict[str, str] = {}

    def provide(self, name: str) -> str:
        """Make sure that a part is there: "present" or "installed". Raises Missing; KeyError for an unknown name."""
        part = self._parts[name]
        for need in part.needs:
            self.provide(need)
        if name not in self._provided and name not in self._missing:
            try:
                self._provided[name] = _provide(part)
            except InstallError as error:
                self._missing[name] = f"{name} is missing: {error}"
        if name in self._missing:
            raise Missing(self._missing[name])
        return self._provided[name]

    def provide_all(self) -> list[str]:
        """Make sure that all parts are there, telling of each; what is missing."""
        missing = []
        for name in self._parts:
            try:
                print(f"{name}: {self.provide(name)}", flush=True)
            except Missing as error:
                missing.append(str(error))
        return list(dict.fromkeys(missing))  # a part that others need is named once


def _provide(part: Part) -> str:
    if part.present():
        return "present"
    with _alone(Path(__file__).parent):
        if part.present():  # another run has just installed it
            return "present"
        print(f"{part.name}: installing …", flush=True)
        part.install()
    if not part.present():
        raise InstallError("it was installed, and still is not there, or not in a version that will do")
    return "installed"


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One process at a time, by a lock on a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def run(*command: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> None:
    """Run a command to its end. Raises InstallError with the last it said."""
    try:
        result = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_INSTALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(str(error)) from error
    if result.returncode != 0:
        last = "\n".join(result.stdout.strip().splitlines()[-10:])
        raise InstallError(f"`{' '.join(command)}` ended with status {result.returncode}:\n{last}")


def apt_install(*packages: str, policy: Path = _POLICY) -> None:
    """Install Debian packages, none of which starts a service. Raises InstallError, also for who is not root."""
    if os.geteuid() != 0:
        raise InstallError(f"only root can install the packages {' '.join(packages)}")
    if shutil.which("apt-get") is None:
        raise InstallError(f"there is no apt-get to install the packages {' '.join(packages)}")
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    with _alone(policy.parent), no_services(policy):
        run("apt-get", "update", environment=environment)
        run("apt-get", "install", "--yes", "--no-install-recommends", *packages, environment=environment)


@contextlib.contextmanager
def no_services(policy: Path) -> Iterator[None]:
    """A policy-rc.d by which no service starts; afterwards it is as it was."""
    before = policy.read_bytes() if policy.exists() else _NO_SERVICES
    mode = policy.stat().st_mode if policy.exists() else 0
    policy.write_bytes(_NO_SERVICES)
    policy.chmod(0o755)
    try:
        yield
    finally:
        if before == _NO_SERVICES:  # there was none, or one that a killed run of ours left
            policy.unlink()
        else:
            policy.write_bytes(before)
            policy.chmod(mode)


def _has_node_js() -> bool:
    if shutil.which("npm") is None:
        return False
    try:
        said = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.match(r"v(\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= _NODE_JS


def _lock_hash() -> str:
    return hashlib.sha256((JS / "package-lock.json").read_bytes()).hexdigest()


def _has_js_clients() -> bool:
    stamp = JS / "node_modules" / ".mmnode-lock-sha256"
    return stamp.exists() and stamp.read_text() == _lock_hash()


def _install_js_clients() -> None:
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=JS)
    (JS / "node_modules" / ".mmnode-lock-sha256").write_text(_lock_hash())  # npm has removed the former one


def _no_namespaces() -> None:
    raise InstallError("they need root, iproute2 and /dev/net/tun, which not every container has")


PARTS = (
    Part("network namespaces", namespaces_available, _no_namespaces),
    Part("Node.js", _has_node_js, lambda: apt_install("nodejs", "npm")),
    Part("JavaScript clients", _has_js_clients, _install_js_clients, needs=("Node.js",)),
    Part("MariaDB", lambda: shutil.which("mariadbd") is not None, lambda: apt_install("mariadb-server")),
    Part("nginx", lambda: shutil.which("nginx") is not None, lambda: apt_install("nginx-light")),
    Part("openssl", lambda: shutil.which("openssl") is not None, lambda: apt_install("openssl")),
    Part("systemd-analyze", lambda: shutil.which("systemd-analyze") is not None, lambda: apt_install("systemd")),
    Part("PgBouncer", lambda: shutil.which("pgbouncer") is not None, lambda: apt_install("pgbouncer")),
    Part("haproxy", lambda: shutil.which("haproxy") is not None, lambda: apt_install("haproxy")),
)


def may_skip() -> bool:
    """Whether what needs a missing part is to be skipped."""
    return os.environ.get(SKIP_VARIABLE) == "1"


def main() -> int:
    """Provide all parts; exit status 1 when one is missing, unless that is allowed."""
    missing = Provision(PARTS).provide_all()
    for text in missing:
        print(text, file=sys.stderr)
    return 1 if missing and not may_skip() else 0


if __name__ == "__main__":
    sys.exit(main())
