"""What the documents promise is true: the curl session works when pasted, links lead somewhere."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.resources import uses
from tests.rig.node import Node

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


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


def test_every_folders_map_names_its_files_and_no_others() -> None:
    for folder in ("api", "app", "cluster", "db", "ws", "console", "bench", "tests/rig", "tests/plugins"):
        text = (ROOT / folder / "__init__.py").read_text()
        files = {path.name for path in (ROOT / folder).iterdir() if not path.name.startswith(("__", "test_"))}
        named = set(re.findall(r"^(\w+\.(?:py|html)) +", text, re.MULTILINE))
        assert named == {name for name in files if name.endswith((".py", ".html"))}, folder
