"""Who runs alone runs while nobody else does, and nobody waits for ever."""

import threading
import time
from pathlib import Path

from tests.plugins.alone import Locks


def test_nobody_runs_beside_one_who_runs_alone_and_others_run_side_by_side(tmp_path: Path) -> None:
    running: set[str] = set()
    seen: list[tuple[str, frozenset[str]]] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        locks = Locks(tmp_path)  # of a process of its own: flock is for each opening of a file
        for _ in range(30):
            with locks.held(alone=name == "alone"):
                with lock:
                    running.add(name)
                    seen.append((name, frozenset(running)))
                time.sleep(0.002)
                with lock:
                    running.discard(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c", "alone")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert len(seen) == 120
    assert all(beside == {"alone"} for name, beside in seen if name == "alone")
    assert not any("alone" in beside for name, beside in seen if name != "alone")
    assert any(len(beside) == 3 for _, beside in seen)
