"""What the documents promise is true: the curl session works when pasted, links lead somewhere."""

import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.resources import uses
from tests.rig import mariadb, postgres
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


@pytest.fixture
@uses("node")
def own_node() -> Iterator[Node]:
    with Node(workers=1) as node:
        yield node


def _blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_curl_session_of_the_readme_works_when_pasted(own_node: Node) -> None:
    (session,) = [block for block in _blocks((ROOT / "README.md").read_text()) if "curl" in block]
    assert "http://127.0.0.1:8065" in session
    script = session.replace("http://127.0.0.1:8065", own_node.url)
    run = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    signed_up, written, read = run.stdout.strip().splitlines()
    assert '"roles":"system_admin system_user"' in signed_up
    assert '"message":"hello, world"' in written
    assert '"message":"hello, world"' in read


def _postgres() -> tuple[dict[str, str], dict[str, str], str]:
    """A node's environment, that of the commands, and what they call the empty database."""
    (named,) = re.findall(r"`site-packages/(\S+/bin)`", OPERATIONS)
    programs = f"{Path(sysconfig.get_path('purelib')) / named}:{os.environ['PATH']}"
    source, empty = postgres.shared().new_database(schema=True), postgres.shared().new_database()
    return {"MM_SQLSETTINGS_DATASOURCE": source}, {"DATASOURCE": source, "EMPTY": empty, "PATH": programs}, empty


def _mariadb(directory: Path) -> tuple[dict[str, str], dict[str, str], str]:
    server = mariadb.shared()
    source, empty = server.new_database(schema=True), server.new_database()
    client = f"[client]\nsocket={server.data}/s.sock\nuser={mariadb.USER}\npassword={mariadb.PASSWORD}\n"
    (directory / ".my.cnf").write_text(client)
    node = {"MM_SQLSETTINGS_DRIVERNAME": "mysql", "MM_SQLSETTINGS_DATASOURCE": source}
    return (
        node,
        {"HOME": str(directory), **{word: _name(dsn) for word, dsn in (("mattermost", source), ("empty", empty))}},
        empty,
    )


def _name(source: str) -> str:
    return source.rpartition("/")[2].partition("?")[0]


def _backup_comes_back(found: tuple[dict[str, str], dict[str, str], str], program: str, directory: Path) -> None:
    """Accounts, sessions, posts: on an empty database, by a node that knows nothing else of them."""
    of_node, of_commands, empty = found
    (commands,) = [block for block in _blocks(OPERATIONS) if program in block]
    for word in ("mattermost", "empty"):
        commands = re.sub(rf"(?<= ){word}(?= )", of_commands.get(word, word), commands)
    with Node(database="configured", workers=1, environment=of_node) as node:
        ann = new_user(node.url)
        channel = new_channel(ann, new_team(ann))
        post = ann.write(channel["id"], "to be kept")
        command = ["bash", "-eu", "-c", commands]
        run = subprocess.run(
            command, cwd=directory, env={**os.environ, **of_commands}, capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stderr) == (0, "")
    with Node(
        database="configured", workers=1, environment={**of_node, "MM_SQLSETTINGS_DATASOURCE": empty}
    ) as restored:
        again = ann.at(restored.url)
        assert again.get(f"/channels/{channel['id']}/posts")["order"][0] == post["id"]
        assert again.write(channel["id"], "and goes on")["create_at"] > post["create_at"]


@pytest.mark.node
@pytest.mark.postgres
def test_a_backup_of_postgresql_comes_back(tmp_path: Path) -> None:
    _backup_comes_back(_postgres(), "pg_dump", tmp_path)


@pytest.mark.node
@pytest.mark.mariadb
def test_a_backup_of_mariadb_comes_back(tmp_path: Path) -> None:
    _backup_comes_back(_mariadb(tmp_path), "mariadb-dump", tmp_path)


def test_the_readme_begins_with_the_two_commands() -> None:
    screen = (ROOT / "README.md").read_text().splitlines()[:20]
    assert any(line.startswith("make run ") for line in screen)
    assert any(line.startswith("make test ") for line in screen)
    assert "not affiliated" in " ".join(screen)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


PACKAGES = [
    init.parent
    for top in ("api", "app", "cluster", "db", "ws", "console", "bench", "tests/rig", "tests/plugins")
    for init in sorted((ROOT / top).rglob("__init__.py"))
]


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_folders_map_names_its_files_and_no_others(folder: Path) -> None:
    named = set(re.findall(r"^(\w+(?:\.py|\.html|/)) +", (folder / "__init__.py").read_text(), re.MULTILINE))
    files = {path.name for path in folder.iterdir() if not path.name.startswith(("__", "test_"))}
    rooms = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    assert named - {"schema/"} == {name for name in files if name.endswith((".py", ".html"))} | rooms


def test_the_index_of_decisions_has_each_of_them() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^\| \[\d{4}\]\((\S+)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == sorted(path.name for path in folder.glob("0*.md"))
