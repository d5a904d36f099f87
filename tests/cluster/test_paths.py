"""Where a node keeps its things."""

import os
from pathlib import Path

import pytest

from cluster.host import paths


def test_a_node_keeps_its_id(tmp_path: Path) -> None:
    descriptor = paths.lock(tmp_path)
    first = paths.prepare(tmp_path)
    second = paths.prepare(tmp_path)
    assert len(first.node_id) == 26
    assert second.node_id == first.node_id
    paths.clean_up(second)
    os.close(descriptor)


def test_a_damaged_id_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "node_id").write_text("garbage\n")
    made = paths.prepare(tmp_path)
    assert len(made.node_id) == 26
    paths.clean_up(made)


def test_two_nodes_cannot_share_a_data_directory(tmp_path: Path) -> None:
    descriptor = paths.lock(tmp_path)
    with pytest.raises(paths.DataDirInUse, match="another mmnode"):
        paths.lock(tmp_path)
    os.close(descriptor)
    os.close(paths.lock(tmp_path))


def test_socket_paths_fit_however_deep_the_data_directory_lies(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 12)
    deep.mkdir(parents=True)
    made = paths.prepare(deep)
    assert len(str(made.control)) < 107
    assert len(f"{made.postgres_sockets}/.s.PGSQL.5432") < 107
    assert paths.control_socket(deep) == made.control
    paths.clean_up(made)


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    first = paths.prepare(tmp_path)
    second = paths.prepare(tmp_path)
    assert not first.runtime.exists()
    assert second.runtime.exists()
    paths.clean_up(second)
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "run").symlink_to(precious)
    third = paths.prepare(tmp_path)
    assert precious.exists()
    paths.clean_up(third)
    assert not third.runtime.exists()


def test_nobody_else_gets_at_our_sockets(tmp_path: Path) -> None:
    made = paths.prepare(tmp_path)
    assert (made.runtime / "own").stat().st_mode & 0o777 == 0o700
    assert made.postgres_sockets.stat().st_mode & 0o777 == 0o700
    paths.clean_up(made)


def test_without_a_running_node_there_is_no_control_socket(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        paths.control_socket(tmp_path)
