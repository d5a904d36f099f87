"""Our version, and versions of Mattermost, whose protocol we speak."""

import re

VERSION = "0.1.0"
BUILD_NUMBER = "mmnode"
_NUMBERS = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})", re.ASCII)


def numbers_of(version: str) -> tuple[int, ...] | None:
    """The three numbers of a version (semver.org, without what may follow them); None for anything else."""
    found = _NUMBERS.fullmatch(version)
    return tuple(map(int, found.groups())) if found is not None else None
