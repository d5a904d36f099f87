"""Launcher: puts its own folder first on the path, so that the same plain packages serve checkout and wheel."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def main() -> int:
    """The `mmnode` command; returns the exit status."""
    from cluster.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
