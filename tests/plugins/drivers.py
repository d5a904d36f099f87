"""On which databases a test runs: an axis, not copies of files.

A test that asks for the fixture `driver`, directly or through `node`, `dsn`, `database` and the like, runs on
PostgreSQL alone unless it says where else it means something:

    @drivers("postgres", "mysql")      # SQL of ours that both databases run
    pytestmark = drivers("all")        # and over replicas that are late: what a node serves of its caches and replicas

What is refused before any SQL runs says nothing new on another database and stays on one.
"""

from collections import Counter
from typing import Literal, get_args

import pytest

Driver = Literal["postgres", "mysql", "replicas"]
ALL: tuple[Driver, ...] = get_args(Driver)
ran: Counter[object] = Counter()
"""How many tests of each this process has begun."""
_MARKS = {"postgres": "postgres", "mysql": "mariadb", "replicas": "postgres"}


def drivers(*names: Driver | Literal["all"]) -> pytest.MarkDecorator:
    """The mark of a test, or of a module; that of the test counts."""
    chosen = ALL if names == ("all",) else names
    assert chosen, "on which databases?"
    assert set(chosen) <= set(ALL), f"drivers{chosen}: there are {', '.join(ALL)}, or 'all' alone"
    return pytest.mark.drivers(*chosen)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Some of the databases only."""
    parser.addoption(
        "--drivers",
        default=",".join(ALL),
        help=f"comma-separated, of {', '.join(ALL)}; what needs no database runs anyway",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    wrong = set(config.getoption("drivers").split(",")) - set(ALL)
    if wrong:
        raise pytest.UsageError(f"--drivers: {', '.join(sorted(wrong))}; there are {', '.join(ALL)}")
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on other databases than those that are asked for."""
    wanted = set(config.getoption("drivers").split(","))
    if wanted == set(ALL):
        return
    chosen = [item for item in items if driver_of(item) in {None, *wanted}]
    config.hook.pytest_deselected(items=[item for item in items if driver_of(item) not in {None, *wanted}])
    items[:] = chosen


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Count."""
    ran[driver_of(item)] += 1


def driver_of(item: pytest.Item) -> object:
    """The database that a test runs on; None where it says nothing."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("driver") if callspec is not None else None
