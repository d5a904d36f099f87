"""The wheel and the editable install: one package `mmnode`, and the checkout is what runs (decision 0002)."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ["api", "app", "cluster", "console", "db", "ws"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target], cwd=ROOT, check=True)
    (built,) = target.glob("*.whl")
    return built


def test_the_wheel_holds_one_package_with_all_that_is_needed(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"mmnode", next(top for top in tops if top.endswith(".dist-info"))}
    assert "mmnode/__init__.py" in names
    assert "mmnode/__main__.py" in names
    tracked = subprocess.run(["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in set(tracked.stdout.split()) - {"cluster/__main__.py"}:  # it is mmnode/__main__.py
        assert f"mmnode/{name}" in names
    assert not any("test" in name for name in names)


def test_the_wheel_runs_from_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mmnode, cluster.cli, db.pool.migrate, api.http.pages;"
        "[api.http.pages.Page(one) for one in api.http.pages.PAGES.values()]; print(mmnode.__file__, cluster.cli.__file__, db.pool.migrate.newest())"
    )
    run = subprocess.run([sys.executable, "-P", "-c", code, site], capture_output=True, text=True, check=True, cwd="/")
    launcher, cli, schema = run.stdout.split()
    assert launcher == f"{site}/mmnode/__init__.py"
    assert cli == f"{site}/mmnode/cluster/cli.py"
    assert int(schema) >= 1


def test_the_installed_command_runs_this_checkout() -> None:
    code = "import mmnode, cluster.cli; print(cluster.cli.__file__)"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert run.stdout.strip() == str(ROOT / "cluster" / "cli.py")
