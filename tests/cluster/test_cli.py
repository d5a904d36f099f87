"""The command line: what it refuses, and that it starts nothing then."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.version import VERSION

pytestmark = pytest.mark.node


def _mmnode(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MM_")}
    return subprocess.run(
        [str(Path(sys.executable).with_name("mmnode")), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=cwd,
        env={**clean, **environment},
    )


def _write(path: Path, config: object) -> Path:
    path.write_text(json.dumps(config))
    return path


def test_the_version_is_that_of_the_package() -> None:
    assert _mmnode("--version").stdout == f"mmnode {VERSION} (speaks Mattermost 11.7.0)\n"
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'version = "{VERSION}"' in pyproject


def test_a_valid_configuration_is_said_to_be_so(tmp_path: Path) -> None:
    path = _write(tmp_path / "c.json", {"TeamSettings": {"SiteName": "x"}, "PluginSettings": {}})
    result = _mmnode("config", "validate", "--config", path)
    assert result.returncode == 0
    assert result.stdout == f"{path}: valid\n"
    assert "PluginSettings" in result.stderr


def test_without_a_file_the_defaults_are_judged(tmp_path: Path) -> None:
    assert _mmnode("config", "validate", cwd=tmp_path).stdout == "defaults: valid\n"
    _write(tmp_path / "config.json", {"SqlSettings": {"DriverName": "x"}})
    assert _mmnode("config", "validate", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("command", [["config", "validate"], []])
def test_an_invalid_configuration_is_refused_as_a_whole_and_nothing_starts(tmp_path: Path, command: list[str]) -> None:
    path = _write(tmp_path / "c.json", {"ServiceSettings": {"ListenAddress": "x", "MaximumLoginAttempts": "many"}})
    result = _mmnode(*command, "--config", path, "--data-dir", tmp_path / "data", MM_SQLSETTINGS_MAXOPENCONNS="1")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f'{path}: ServiceSettings.MaximumLoginAttempts = "many": must be a whole number at least 1',
        "environment MM_SQLSETTINGS_MAXOPENCONNS: SqlSettings.MaxOpenConns = 1: must be a whole number at least 2",
    ]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers", "0"],
        ["--workers", "x"],
        ["--workers", "257"],
        ["--ws-workers", "-1"],
        ["--no-such"],
        ["nonsense"],
        ["config"],
        ["--work", "2"],
        ["user"],
        ["user", "unlock"],
        ["user", "delete", "ann"],
        ["demo", "--port-base", "0"],
        ["demo", "--port-base", "65001"],
        ["demo", "--port-base", "x"],
    ],
)
def test_a_wrong_command_line_is_status_2(arguments: list[str]) -> None:
    result = _mmnode(*arguments)
    assert result.returncode == 2
    assert "usage: mmnode" in result.stderr


def test_a_connection_string_that_can_never_work_ends_the_start(tmp_path: Path) -> None:
    secret = "postgres://mm:hunter2@db:port/mm"
    result = _mmnode("--data-dir", tmp_path / "data", MM_SQLSETTINGS_DATASOURCE=secret)
    assert result.returncode == 2
    assert "SqlSettings.DataSource" in result.stderr
    assert "port must be a number from 1 to 65535" in result.stderr
    assert "hunter2" not in result.stderr + result.stdout
    assert not (tmp_path / "data").exists()


def test_an_address_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = _mmnode("--data-dir", tmp_path / "data", MM_SERVICESETTINGS_LISTENADDRESS=address)
    assert result.returncode == 1
    assert f"ServiceSettings.ListenAddress = {address}: Address already in use" in result.stderr


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    result = _mmnode("--data-dir", tmp_path / "data", MM_SERVICESETTINGS_LISTENADDRESS="192.0.2.1:8065")
    assert result.returncode == 1
    assert "192.0.2.1:8065: Cannot assign requested address" in result.stderr


@pytest.mark.parametrize("command", [["status"], ["drain"], ["config", "reload"]])
def test_commands_to_a_node_that_does_not_run_say_so(tmp_path: Path, command: list[str]) -> None:
    result = _mmnode(*command, "--data-dir", tmp_path)
    assert result.returncode == 1
    assert f"no node runs on {tmp_path}" in result.stderr


@pytest.mark.parametrize("command", [["config", "validate"]])
def test_a_reader_that_has_read_enough_is_no_traceback(tmp_path: Path, command: list[str]) -> None:
    """`mmnode status | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    program = str(Path(sys.executable).with_name("mmnode"))
    result = subprocess.run(
        [program, *command], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30, check=False
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


# Into a directory that is closed then, without root's right to look into all of them.
_SHUT_OUT = """
import ctypes, os, sys
os.chdir(sys.argv[1])
os.chmod(".", 0)
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (["config", "validate"], 2, "config.json: (file) = -: cannot be read: Permission denied"),
        (["db", "migrate"], 2, "config.json: (file) = -: cannot be read: Permission denied"),
        ([], 2, "config.json: (file) = -: cannot be read: Permission denied"),
        (["status"], 1, "say this as root, or as the user of the node"),
    ],
)
def test_commands_from_the_directory_of_another_user_say_what_they_cannot_read(
    tmp_path: Path, command: list[str], status: int, words: str
) -> None:
    program = str(Path(sys.executable).with_name("mmnode"))
    result = subprocess.run(
        [sys.executable, "-c", _SHUT_OUT, str(tmp_path), program, *command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    tmp_path.chmod(0o700)
    assert result.returncode == status
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("ClusterSettings", "Enable", True, "a database that all nodes share"),
        ("SqlSettings", "DataSourceReplicas", ["x"], "needs a SqlSettings.DataSource"),
    ],
)
def test_what_this_version_cannot_do_is_refused_and_not_ignored(
    tmp_path: Path, section: str, key: str, value: object, words: str
) -> None:
    result = _mmnode("config", "validate", "--config", _write(tmp_path / "c.json", {section: {key: value}}))
    assert result.returncode == 2
    assert f"{section}.{key}" in result.stderr
    assert words in result.stderr
