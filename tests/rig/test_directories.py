"""What a killed run leaves behind is removed with its processes, and what a living one uses is not."""

import os
import subprocess
import sys
from pathlib import Path

from tests.rig.directories import new_directory, processes_of, remove_stale
from tests.rig.wait import until

_ENDED = 2**22 + 1  # above any pid


def test_what_is_stale_goes_and_what_is_used_stays(tmp_path: Path) -> None:
    stale, used, other = (tmp_path / f"mmnode-test-{name}-x" for name in (_ENDED, os.getpid(), "nobodys"))
    for directory in (stale, used, other):
        directory.mkdir()
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(stale / "data")])
    try:
        until(lambda: processes_of(stale) == [left.pid], what="the process that was left")
        remove_stale(tmp_path)
        assert left.wait(5) < 0
        assert [one.exists() for one in (stale, used, other)] == [False, True, True]
    finally:
        left.kill()
        left.wait()


def test_a_new_directory_may_be_entered_by_others_and_says_whose_it_is() -> None:
    directory = new_directory()
    try:
        assert directory.stat().st_mode & 0o777 == 0o755
        assert directory.name.startswith(f"mmnode-test-{os.getpid()}-")
    finally:
        directory.rmdir()
