"""The axis of databases: one test for each that it names, PostgreSQL alone where it names none."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.drivers import ALL, drivers

ROOT = Path(__file__).parents[2]
SOURCE = """
import pytest
from tests.plugins.drivers import drivers

@pytest.fixture(scope="session")
def driver(request): return request.param
@pytest.fixture
def dsn(driver): return driver

def test_default(dsn): pass
@drivers("postgres", "mysql")
def test_two(dsn): pass
@drivers("all")
def test_all(dsn): pass
@drivers("all")
def test_without(): pass
"""


def _collected(directory: Path, *options: str) -> set[str]:
    path = directory / "test_it.py"
    path.write_text(SOURCE)
    plugins = ("-p", "tests.plugins.resources", "-p", "tests.plugins.drivers")
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(directory), *plugins]
    said = subprocess.run(
        [*command, "--collect-only", "-q", *options, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return {line.partition("::")[2] for line in said.splitlines() if "::" in line}


def test_each_names_its_databases(tmp_path: Path) -> None:
    two = {"test_two[postgres]", "test_two[mysql]"}
    all_ = {f"test_all[{name}]" for name in ALL}
    assert _collected(tmp_path) == {"test_default[postgres]", "test_without", *two, *all_}


def test_some_of_them_may_be_asked_for(tmp_path: Path) -> None:
    assert _collected(tmp_path, "--drivers", "mysql") == {"test_two[mysql]", "test_all[mysql]", "test_without"}


def test_a_database_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        _collected(tmp_path, "--drivers", "mysq")
    assert "--drivers: mysq; there are postgres, mysql, replicas" in raised.value.stderr


def test_a_database_has_the_mark_of_its_server(tmp_path: Path) -> None:
    assert _collected(tmp_path, "-m", "mariadb") == {"test_two[mysql]", "test_all[mysql]"}


@pytest.mark.parametrize("names", [(), ("oracle",), ("all", "mysql")])
def test_what_is_no_database_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError):
        drivers(*names)  # type: ignore[arg-type]
