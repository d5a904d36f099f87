"""The record of a proof: every test belongs to a part, and the record is short and tells what failed."""

from typing import Any

from tests.prove import LINES, PARTS, ROOT, files_of, part_of, record


def test_every_file_of_tests_is_in_one_part() -> None:
    files = [path for part in PARTS for path in files_of(part)]
    there = [path for path in (ROOT / "tests").rglob("test_*.py") if "node_modules" not in path.parts]
    assert len(files) == len(set(files)) == len(there)


def test_the_named_files_of_a_part_are_there() -> None:
    for places in PARTS.values():
        for path in places:
            assert not path.endswith(".py") or (ROOT / path).exists(), path


def _data(count: int, **of_first: Any) -> dict[str, Any]:
    tests = {f"tests/ws/test_x.py::test_{number}": {"call": 1.0, "outcome": "passed"} for number in range(count)}
    tests["tests/ws/test_x.py::test_0"] |= of_first
    return {"wall_s": 120.0, "exit_status": 1, "tests": tests}


def test_the_record_counts_by_part_and_names_seeds_and_failures() -> None:
    lines = record(_data(3, outcome="failed", seeds=1000), "make prove")
    assert "make prove: 2 passed, 1 not, 2 min, exit status 1" in lines
    assert "failed: tests/ws/test_x.py::test_0" in lines
    (counts,) = [line.split() for line in lines if line.startswith("ws ")]
    assert counts == ["ws", "2", "1", "0", "0", "0", "3"]
    assert any(line.split()[:1] == ["1000"] and line.endswith("::test_0") for line in lines)


def test_the_record_is_short_whatever_ran() -> None:
    data = _data(1000, outcome="failed")
    for test in data["tests"].values():
        test |= {"outcome": "failed", "seeds": 5}
    assert len(record(data, "make prove")) <= LINES


def test_a_part_is_known_by_the_first_place_that_fits() -> None:
    assert part_of("tests/api/test_refusals.py::test_x") == "attacks"
    assert part_of("tests/api/test_posts.py::test_x") == "api"
    assert part_of("tests/test_docs.py::test_x") == "rig"


def test_a_test_that_never_ran_is_lost_not_passed() -> None:
    data = _data(2)
    data["tests"]["tests/ws/test_x.py::test_1"] = {}
    lines = record(data, "make prove")
    assert "make prove: 1 passed, 1 not, 2 min, exit status 1" in lines
    assert "lost: tests/ws/test_x.py::test_1" in lines
