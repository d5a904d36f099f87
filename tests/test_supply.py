"""Where what a node is made of comes from: locks with hashes, a bill of materials, and that they agree."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from etc import lock

ROOT = Path(__file__).parents[1]
NAMES = list(lock.EXTRAS)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _pins(name: str) -> lock.Pins:
    return lock.read(ROOT / "etc" / "lock" / f"{name}.txt")


@pytest.mark.parametrize("name", NAMES)
def test_every_version_of_a_lock_is_the_constrained_one_and_has_hashes(name: str) -> None:
    pins = _pins(name)
    assert {one: version for one, (version, _) in pins.items()}.items() <= lock.read_constraints().items()
    for one, (_, hashes) in pins.items():
        assert hashes, one
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", found) for found in hashes), one


def test_every_constrained_version_is_in_a_lock() -> None:
    assert set(_pins("bench")) == set(lock.read_constraints())


@pytest.mark.parametrize("name", NAMES)
def test_what_the_project_asks_for_is_in_its_lock(name: str) -> None:
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    for extra in lock.EXTRAS[name]:
        wanted += PROJECT["project"]["optional-dependencies"][extra]
    names = {lock.canonical(re.split(r"[\[>=<~!; ]", one)[0]) for one in [*wanted, *lock.BUILD]}
    assert names <= set(_pins(name))


def test_what_is_locked_needs_nothing_that_is_not() -> None:
    """By what the installed packages say of themselves: pip would not find it in the lock, and refuse."""
    pins = _pins("dev")
    for name in pins:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for other machines
        for one in needs:
            if "extra ==" not in one and "win32" not in one and "Windows" not in one and "python_" not in one:
                assert lock.canonical(re.split(r"[\[>=<~!;( ]", one)[0]) in pins, f"{name} needs {one}"


def test_this_environment_is_what_the_lock_says() -> None:
    installed = {lock.canonical(one.name): one.version for one in metadata.distributions()}
    pins = {name: version for name, (version, _) in _pins("dev").items()}
    assert {name: installed[name] for name in pins if name in installed} == {
        name: version for name, version in pins.items() if name in installed
    }
    assert set(pins) - set(installed) == set()


def test_no_index_is_named() -> None:
    for path in [
        *(ROOT / "etc" / "lock").glob("*.txt"),
        ROOT / "etc" / "constraints.txt",
        ROOT / "etc" / "sbom.cdx.json",
    ]:
        assert not re.search(r"https?://(?!cyclonedx\.org/schema)|--index|--find-links", path.read_text()), path


def test_a_file_that_is_not_the_locked_one_is_not_installed(tmp_path: Path) -> None:
    """Somebody puts another file under the name of a locked version where pip looks for it."""
    version = _pins("run")["wsproto"][0]
    work = tmp_path / "work"
    work.mkdir()
    project = f'[build-system]\nrequires = []\nbuild-backend = "hatchling.build"\n[project]\nname = "wsproto"\nversion = "{version}"\n'
    (work / "pyproject.toml").write_text(project)
    (work / "wsproto.py").write_text("evil = True\n")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=work,
        check=True,
        capture_output=True,
    )
    (tmp_path / "lock.txt").write_text(lock.lines({"wsproto": _pins("run")["wsproto"]}))
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path), "--no-deps"]
    command += ["--target", str(tmp_path / "t"), "--require-hashes", "-r", str(tmp_path / "lock.txt")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**clean, "PIP_CONFIG_FILE": os.devnull}
    )
    assert done.returncode != 0
    assert "HASH" in done.stderr.upper()
    assert not (tmp_path / "t").exists()


def test_the_bill_of_materials_is_of_the_lock() -> None:
    text = (ROOT / "etc" / "sbom.cdx.json").read_text()
    assert text == lock.bill(_pins("run"), PROJECT["project"]["version"])
    bill = json.loads(text)
    refs = [one["bom-ref"] for one in bill["components"]]
    assert f"pkg:pypi/falcon@{_pins('run')['falcon'][0]}" in refs
    assert bill["dependencies"] == [{"ref": "mmnode", "dependsOn": refs}]


@pytest.mark.parametrize("name", ["Makefile", "README.md", "docs/operations.md"])
def test_everybody_installs_by_the_lock(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "--require-hashes -r etc/lock/run.txt" in text
    assert "--no-deps --no-build-isolation" in text
    assert "-c etc/constraints.txt" not in text
    assert not re.search(r"pip install [^\n]*-e '?\.\[", text)
