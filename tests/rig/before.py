"""The version before this one, out of the history of this checkout: what a cluster is being brought to a new version from."""

import io
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from tests.tables import ROOT

COMMIT = ROOT / "tests" / "rig" / "before.txt"
"""A commit, for as long as no version is released; raised only where the changelog says that nodes of both cannot serve."""
VERSION = "0.0.9"
"""What nodes of it call themselves here, whatever it was."""
_CODE = ("api", "app", "cluster", "console", "db", "ws", "mmnode.py")


@cache
def commit() -> str:
    """The last release that is not this commit, else what the file says; '' where the clone has no such history."""
    released = _git("tag", "--list", "v*", "--no-contains", "HEAD", "--merged", "HEAD", "--sort=-v:refname").split()
    wanted = released[0] if released else COMMIT.read_text().split()[0]
    return _git("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}").strip()


def write(into: Path) -> Path:
    """Its code in this folder, for PYTHONPATH."""
    packed = subprocess.run(["git", "archive", commit(), *_CODE], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(into, filter="data")
    said = into / "app" / "version.py"
    lines = said.read_text().splitlines()
    said.write_text(
        "\n".join(f'VERSION = "{VERSION}"' if one.startswith("VERSION = ") else one for one in lines) + "\n"
    )
    return into


def _git(*arguments: str) -> str:
    """'' also where there is no git, or no repository."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""
