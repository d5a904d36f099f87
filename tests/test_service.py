"""The unit for systemd: how much it closes, and that a node can do what it needs in what is left."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.resources import uses
from tests.rig.node import Node
from tests.rig.people import new_user
from tests.rig.require import Require
from tests.rig.rest import Rest

UNIT = Path(__file__).parents[1] / "etc" / "mmnode.service"
MOST = 3.0
# What seccomp, prctl and resource limits can say without systemd: no new rights, no memory that is written and run.
_CLOSED = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
libc.prctl(65, 1, 0, 0, 0)              # PR_SET_MDWE, since Linux 6.3
os.umask(0o027)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_unit_leaves_little_open(require: Require) -> None:
    require("systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)
    assert found is not None, said
    assert float(found[1]) <= MOST, said


def test_the_unit_is_understood(require: Require, tmp_path: Path) -> None:
    require("systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(), flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert not [line for line in done.stderr.splitlines() if unit.name in line], done.stderr


def test_what_the_sample_configuration_names_lies_where_the_unit_may_write() -> None:
    """Relative paths begin where the unit starts the node, and of all else of the system nothing can be written."""
    unit = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line))
    state = Path("/var/lib") / unit["StateDirectory"]
    config = json.loads((UNIT.parent / "config.json").read_text())
    for name in (config["FileSettings"]["Directory"], config["LogSettings"]["FileLocation"]):
        assert (Path(unit["WorkingDirectory"]) / name).is_relative_to(state)


@pytest.fixture
@uses("node")
def closed_node() -> Iterator[Node]:
    with Node(database="embedded", workers=1, prefix=[sys.executable, "-c", _CLOSED]) as node:
        yield node


def test_a_node_serves_without_new_rights_and_without_memory_that_is_written_and_run(closed_node: Node) -> None:
    ann: Rest = new_user(closed_node.url)
    assert ann.get("/users/me")["id"] == ann.id
    node_id = (closed_node.data_dir / "node_id").read_text().strip()
    assert (closed_node.data_dir / "node_id").stat().st_mode & 0o777 == 0o600
    assert (closed_node.data_dir / "lock").stat().st_mode & 0o777 == 0o600
    assert (closed_node.data_dir / "postgres.log").stat().st_mode & 0o777 == 0o600
    assert not Path("/var/lib/mmnode", node_id).exists()
    assert closed_node.data_dir.stat().st_mode & 0o666 == 0o600, "others may at most pass through, to PostgreSQL's own"
    for path in closed_node.data_dir.iterdir():
        assert path.is_symlink() or path.stat().st_mode & 0o066 == 0, path
