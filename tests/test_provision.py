"""What happens when a part that tests need is there, can be installed, or is missing."""

import sys
from pathlib import Path

import pytest

from tests.provision import (
    JS,
    PARTS,
    InstallError,
    Missing,
    Part,
    Provision,
    apt_install,
    main,
    may_skip,
    no_services,
    run,
)
from tests.rig.require import Require


class FakePart:
    """A part that is there or not, and counts how often it was installed. works: whether installing provides it."""

    def __init__(self, *, there: bool = False, works: bool = True, error: str = "") -> None:
        self.there, self.works, self.error = there, works, error
        self.installed = 0

    def part(self, name: str = "fake", *needs: str) -> Part:
        return Part(name, lambda: self.there, self._install, needs)

    def _install(self) -> None:
        self.installed += 1
        if self.error:
            raise InstallError(self.error)
        self.there = self.works


def test_present_part_is_not_installed() -> None:
    fake = FakePart(there=True)
    assert Provision([fake.part()]).provide("fake") == "present"
    assert fake.installed == 0


def test_absent_part_is_installed_once() -> None:
    fake = FakePart()
    provision = Provision([fake.part()])
    assert provision.provide("fake") == "installed"
    provision.provide("fake")
    assert fake.installed == 1
    assert Provision([fake.part()]).provide("fake") == "present"
    assert fake.installed == 1


def test_part_that_cannot_be_installed_is_missing_by_name_and_not_tried_again() -> None:
    fake = FakePart(error="no network")
    provision = Provision([fake.part()])
    for _ in range(2):
        with pytest.raises(Missing, match=r"^fake is missing: no network$"):
            provision.provide("fake")
    assert fake.installed == 1


def test_part_that_is_not_there_after_its_installation_is_missing() -> None:
    with pytest.raises(Missing, match=r"^fake is missing: it was installed, and still"):
        Provision([FakePart(works=False).part()]).provide("fake")


def test_parts_that_a_part_needs_come_first() -> None:
    base, top = FakePart(), FakePart()
    Provision([top.part("top", "base"), base.part("base")]).provide("top")
    assert (base.installed, top.installed) == (1, 1)
    broken, top = FakePart(error="no network"), FakePart()
    with pytest.raises(Missing, match=r"^base is missing"):
        Provision([top.part("top", "base"), broken.part("base")]).provide("top")
    assert top.installed == 0


def test_all_that_is_missing_is_named_once_and_the_rest_is_provided() -> None:
    good, broken = FakePart(), FakePart(error="no network")
    parts = [broken.part("base"), FakePart().part("top", "base"), good.part("other")]
    assert Provision(parts).provide_all() == ["base is missing: no network"]
    assert good.there


def test_missing_part_fails_the_test_by_name() -> None:
    provision = Provision([FakePart(error="no network").part()])
    with pytest.raises(pytest.fail.Exception, match="fake is missing: no network"):
        Require(provision, may_skip=False)("fake")


def test_missing_part_skips_the_test_where_that_is_allowed() -> None:
    provision = Provision([FakePart(error="no network").part()])
    with pytest.raises(pytest.skip.Exception, match="fake is missing: no network"):
        Require(provision, may_skip=True)("fake")


@pytest.mark.parametrize("may_skip", [True, False])
def test_part_that_is_there_lets_the_test_run(may_skip: bool) -> None:
    Require(Provision([FakePart().part()]), may_skip=may_skip)("fake")


@pytest.mark.parametrize(("value", "allowed"), [("1", True), ("0", False), ("", False), (None, False)])
def test_skipping_is_allowed_by_mmnode_skip_missing_1_only(
    monkeypatch: pytest.MonkeyPatch, value: str | None, allowed: bool
) -> None:
    if value is None:
        monkeypatch.delenv("MMNODE_SKIP_MISSING", raising=False)
    else:
        monkeypatch.setenv("MMNODE_SKIP_MISSING", value)
    assert may_skip() is allowed


@pytest.mark.parametrize(("value", "status"), [("", 1), ("1", 0)])
def test_the_command_fails_naming_what_is_missing_unless_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str, status: int
) -> None:
    monkeypatch.setenv("MMNODE_SKIP_MISSING", value)
    monkeypatch.setattr("tests.provision.PARTS", (FakePart(error="no network").part(),))
    assert main() == status
    assert capsys.readouterr().err == "fake is missing: no network\n"


def test_command_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(InstallError, match=r"ended with status 3:\nlast words$"):
        run(sys.executable, "-c", "import sys; print('last words'); sys.exit(3)")
    with pytest.raises(InstallError, match="no-such-command"):
        run("no-such-command")


def fake_command(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Where policy-rc.d would lie."""
    return tmp_path / "policy-rc.d"


def test_no_service_may_start_while_packages_are_installed(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    fake_command(tmp_path, "apt-get", f'{policy}\necho "$? $DEBIAN_FRONTEND $*" >> {calls}')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("DEBIAN_FRONTEND", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    apt_install("one", "two", policy=policy)
    assert calls.read_text().splitlines() == [
        "101 noninteractive update",
        "101 noninteractive install --yes --no-install-recommends one two",
    ]
    assert not policy.exists()


def test_packages_are_for_root_to_install(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(policy.parent))  # a fault here must not reach the real apt-get
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(InstallError, match="only root can install the packages nodejs npm"):
        apt_install("nodejs", "npm", policy=policy)


def test_policy_of_the_machine_is_put_back_also_after_a_failure(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o700)

    def fail() -> None:
        with no_services(policy):
            run(str(policy))

    with pytest.raises(InstallError, match="ended with status 101"):
        fail()
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.stat().st_mode & 0o777 == 0o700


def test_policy_that_a_killed_run_left_is_removed(policy: Path) -> None:
    with no_services(policy):
        left = policy.read_bytes()
    policy.write_bytes(left)
    with no_services(policy):
        pass
    assert not policy.exists()


def real_part(name: str) -> Part:
    return next(part for part in PARTS if part.name == name)


@pytest.mark.parametrize(
    ("version", "will_do"), [("v18.15.0", True), ("v20.1.0", True), ("v18.14.9", False), ("v9.9.9", False), ("", False)]
)
def test_node_js_is_there_from_18_15_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, will_do: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fake_command(tmp_path, "npm", "exit 1")
    fake_command(tmp_path, "node", f"echo {version}")
    assert real_part("Node.js").present() is will_do


@pytest.mark.parametrize("other", ["node", "npm"])
def test_node_js_is_not_there_without_its_other_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fake_command(tmp_path, other, "echo v20.0.0")
    assert not real_part("Node.js").present()


def test_javascript_clients_are_there_for_one_lock_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = real_part("JavaScript clients")
    monkeypatch.setattr("tests.provision.JS", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    fake_command(tmp_path, "npm", "echo $1 > calls; rm -rf node_modules; mkdir node_modules")
    lock = tmp_path / "package-lock.json"
    lock.write_text("{}")
    assert not part.present()
    part.install()
    assert part.present()
    assert (tmp_path / "calls").read_text() == "ci\n"
    lock.write_text('{"packages": {}}')
    assert not part.present()
    fake_command(tmp_path, "npm", "rm -rf node_modules; mkdir node_modules; exit 1")
    with pytest.raises(InstallError):
        part.install()
    assert not part.present()


def test_lock_file_names_no_registry() -> None:
    assert "resolved" not in (JS / "package-lock.json").read_text()
