"""On which databases a test runs: an axis, not copies of files.

A test that asks for the fixture `driver`, directly or through `node`, `dsn`, `database` and the like, runs on
PostgreSQL alone unless it says where else it means something:

    @drivers("postgres", "mysql")      # SQL of ours that both databases run
    pytestmark = drivers("all")        # and over replicas that are late: what a node serves of its caches and replicas

What is refused before any SQL runs says nothing new on another database and stays on one.
"""

from typing import Literal, get_args

import pytest

Driver = Literal["postgres", "mysql", "replicas"]
ALL: tuple[Driver, ...] = get_args(Driver)
_MARKS = {"postgres": "postgres", "mysql": "mariadb", "replicas": "postgres"}


def drivers(*names: Driver | Literal["all"]) -> pytest.MarkDecorator:
    """The mark of a test, or of a module; that of the test counts."""
    chosen = ALL if names == ("all",) else names
    assert chosen, "on which databases?"
    assert set(chosen) <= set(ALL), chosen
    return pytest.mark.drivers(*chosen)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Some of the databases only."""
    parser.addoption("--drivers", default=",".join(ALL), help="comma-separated: run on these databases only")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", "drivers(*names): the databases that a test runs on; default: postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each database."""
    if "driver" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("drivers")
    named: tuple[Driver, ...] = mark.args if mark is not None else ("postgres",)
    wanted = metafunc.config.getoption("drivers").split(",")
    values = [pytest.param(name, marks=getattr(pytest.mark, _MARKS[name]), id=name) for name in named if name in wanted]
    metafunc.parametrize("driver", values, indirect=True, scope="session")
