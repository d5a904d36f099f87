"""How flaky tests are found: each is counted, and a run that goes wrong is no good one."""

from pathlib import Path

import pytest

from tests import flakes


def _main(monkeypatch: pytest.MonkeyPatch, *runs: dict[str, str]) -> int:
    left = iter(runs)

    def run(_: list[str], __: Path, ___: int) -> tuple[dict[str, str], str]:
        return next(left), "what pytest said"

    monkeypatch.setattr(flakes, "run", run)
    return flakes.main(["-n", str(len(runs)), "-j", "1", "--load", "0", "tests"])


def test_runs_that_all_pass_are_good(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(monkeypatch, {"a": "passed", "b": "skipped"}, {"a": "passed", "b": "passed"}) == 0
    assert "2 tests, 4 times: 0 failures, 0 runs that went wrong" in capsys.readouterr().out


@pytest.mark.parametrize("outcome", ["failed", "error", "lost"])
def test_who_fails_once_is_named_with_how_often(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcome: str
) -> None:
    good, bad = {"a": "passed", "b": "passed"}, {"a": "passed", "b": outcome}
    assert _main(monkeypatch, good, bad, good) == 1
    said = capsys.readouterr().out
    assert "1 of 3 failed: b" in said
    assert "failed: a" not in said
    assert "what pytest said" in said


def test_a_run_that_does_not_come_to_its_end_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _main(monkeypatch, {"a": "passed"}, {}) == 1
    assert _main(monkeypatch, {}) == 1


def test_a_run_tells_the_outcome_of_each_test(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text("def test_good(): pass\ndef test_bad(): assert False\n")
    outcomes, said = flakes.run([str(path)], tmp_path, 1)
    assert {name.rpartition("::")[2]: outcome for name, outcome in outcomes.items()} == {
        "test_good": "passed",
        "test_bad": "failed",
    }
    assert "1 failed" in said
    assert flakes.run([str(tmp_path / "nowhere.py")], tmp_path, 2)[0] == {}
