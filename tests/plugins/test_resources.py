"""Who starts a server without its mark fails at once, by whatever way it is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.resources import MARKS, started_by

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("command", "resources"),
    [
        (["/x/bin/mmnode", "--workers", "2"], {"node"}),
        (["/x/bin/mmnode", "demo"], {"node"}),
        (["ip", "netns", "exec", "one", "/x/bin/mmnode", "--workers", "2"], {"node"}),
        (["unshare", "--user", "--", "/x/bin/mmnode", "--workers", "2"], {"node"}),
        (["setpriv", "--reuid", "1", "/x/bin/postgres", "-D", "/y"], {"postgres"}),
        (["/x/bin/python3.11", "-P", "-m", "mmnode", "--workers", "2"], {"node"}),
        (["bash", "-eu", "-c", "true\nmmnode --workers 2"], {"node"}),
        (["/x/bin/mmnode", "config", "validate"], set()),
        (["/x/bin/mmnode", "--version"], set()),
        (["/x/bin/postgres", "-D", "/y"], {"postgres"}),
        (["/x/bin/postgres", "--version"], set()),
        (["initdb", "-D", "/y"], {"postgres"}),
        (["mariadbd", "--no-defaults"], {"mariadb"}),
        (["mariadb-install-db"], {"mariadb"}),
        (["/usr/bin/chromium", "--headless"], {"browser"}),
        (["ip", "netns", "add", "one"], {"namespaces"}),
        (["ip", "link", "add", "one"], set()),
        (["git", "log", "mmnode.py"], set()),
        (["sh", "-c", "cd /x && A=1 exec mmnode --workers 2"], {"node"}),
        (["nohup", "mmnode"], {"node"}),
        ([], set()),
    ],
)
def test_what_a_command_starts(command: list[str], resources: set[str]) -> None:
    assert started_by(command) == resources


def _run(directory: Path, source: str, *options: str) -> str:
    """What pytest says of a file of tests that has our guard."""
    path = directory / "test_it.py"
    path.write_text(
        f"import asyncio, os, subprocess\nimport pytest\nfrom tests.plugins.resources import uses\n{source}"
    )
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(directory)]
    done = subprocess.run(
        [*command, "-p", "tests.plugins.resources", "-p", "no:cacheprovider", "-q", *options, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


START = "subprocess.run(['chromium', '--headless'], check=False)"
# A program that is not there: the guard lets it pass, and then it is not found.
PASSED = f"with pytest.raises(FileNotFoundError): {START.replace('chromium', '/nowhere/chromium')}"


@pytest.mark.parametrize(
    "source",
    [
        f"def test_it(): {START}",
        f"@pytest.fixture\ndef it(): {START}\ndef test_it(it): pass",
        f"@pytest.mark.node\ndef test_it(): {START}",
        "def test_it(): asyncio.run(asyncio.create_subprocess_exec('chromium'))",
        f"def test_it():\n    try: {START}\n    except BaseException: pass",
        "def test_it(): os.system('true; chromium --headless')",
        "def test_it(): os.posix_spawn('/nowhere/chromium', ['x'], {})",
        "def test_it(): subprocess.run(['x'], executable='/nowhere/chromium')",
    ],
    ids=[
        "in a test",
        "in a fixture",
        "another mark",
        "by asyncio",
        "whatever is caught",
        "by system",
        "by spawn",
        "by another name",
    ],
)
def test_without_its_mark_it_fails_by_name(tmp_path: Path, source: str) -> None:
    said = _run(tmp_path, source)
    assert "and lacks the mark `browser`" in said, said
    assert "1 passed" not in said


@pytest.mark.parametrize(
    "source",
    [
        f"@pytest.mark.browser\ndef test_it():\n    {PASSED}",
        f"pytestmark = pytest.mark.browser\ndef test_it():\n    {PASSED}",
        f"@pytest.fixture\n@uses('browser')\ndef it():\n    {PASSED}\n@pytest.fixture\ndef by(it): pass\ndef test_it(by): pass",
    ],
    ids=["its own", "of its module", "of a fixture"],
)
def test_with_its_mark_it_may(tmp_path: Path, source: str) -> None:
    said = _run(tmp_path, source)
    assert "1 passed" in said, said
    assert "1 deselected" in _run(tmp_path, source, "-m", "not browser")


def test_a_node_may_start_its_postgresql(tmp_path: Path) -> None:
    start = "with pytest.raises(FileNotFoundError): subprocess.run(['/nowhere/postgres', '-D', 'x'])"
    assert "1 passed" in _run(tmp_path, f"@pytest.mark.node\ndef test_it():\n    {start}")


def test_make_unit_leaves_every_mark_out() -> None:
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "-m 'not (" in line]
    assert set(line.partition("not (")[2].partition(")")[0].split(" or ")) == set(MARKS)


def test_a_server_that_runs_already_needs_the_mark_too(tmp_path: Path) -> None:
    source = "from tests.plugins import resources\n{}def test_it(): resources.require('postgres')"
    assert "uses a server and lacks the mark `postgres`" in _run(tmp_path, source.format(""))
    assert "1 passed" in _run(tmp_path, source.format("@pytest.mark.postgres\n"))
    assert "1 passed" in _run(tmp_path, source.format("@pytest.mark.node\n"))
