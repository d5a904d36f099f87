"""What runs on one worker, and in which order; what becomes of the tests of a worker that dies."""

import os
import subprocess
import sys
from pathlib import Path

from tests.plugins.schedule import DATABASES, NODES, REST, STORIES, Group, choose, group_of


def test_a_group_is_a_module_on_one_database() -> None:
    assert group_of("tests/stories/test_kill.py::test_a") == Group(STORIES, "", "tests/stories/test_kill.py", "")
    assert group_of("tests/stories/test_balancers.py::test_a[nginx]").driver == "nginx"
    posts = group_of("tests/api/test_posts.py::test_a[mysql-x[]]")
    assert posts == Group(NODES, "node on mysql", "tests/api/test_posts.py", "mysql")
    assert group_of("tests/api/test_posts.py::test_a[replicas]") != posts
    assert group_of("tests/api/test_errors.py::test_a") == Group(NODES, "", "tests/api/test_errors.py", "")
    assert group_of("tests/db/test_posts.py::test_a[postgres]").kind == DATABASES
    assert group_of("tests/db/test_cache.py::test_a[postgresque]") == Group(REST, "", "tests/db/test_cache.py", "")


def _group(kind: int, servers: str = "", module: str = "m") -> Group:
    return Group(kind, servers, module, "")


def test_stories_come_first_and_the_rest_last() -> None:
    waiting = [_group(REST), _group(NODES), _group(STORIES), _group(DATABASES)]
    order = []
    while waiting:
        order.append(choose(waiting, set(), set()))
        waiting.remove(order[-1])
    assert [group.kind for group in order] == [STORIES, NODES, DATABASES, REST]


def test_of_one_kind_the_first_is_the_largest() -> None:
    assert choose([_group(STORIES, module="large"), _group(STORIES, module="small")], set(), set()).module == "large"


def test_a_worker_goes_on_where_its_servers_are_and_else_where_nobody_has_any() -> None:
    waiting = [_group(NODES, "a"), _group(NODES, "b"), _group(NODES, "c")]
    assert choose(waiting, {"b"}, {"a"}).servers == "b"
    assert choose(waiting, set(), {"a", "b"}).servers == "c"
    assert choose(waiting, set(), {"a", "b", "c"}).servers == "a"


def test_when_a_worker_dies_its_test_fails_once_and_all_others_run(tmp_path: Path) -> None:
    for number in range(7):
        body = "import os; os._exit(1)" if number == 3 else "pass"
        text = f"def test_a(): pass\ndef test_b(): {body}\ndef test_c(): pass\n"
        (tmp_path / f"test_{number}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
    options = ("-p", "tests.plugins.schedule", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup", "-q")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    said = subprocess.run(
        [*command, *options],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    assert "1 failed, 20 passed" in said, said
