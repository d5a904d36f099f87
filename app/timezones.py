"""The time zones that users may choose (`timezones.txt`): names of the tz database, the same on every node."""

from functools import cache
from importlib.resources import files


@cache
def names() -> tuple[str, ...]:
    """In order: 'Africa/Abidjan' and so on."""
    return tuple(files("app").joinpath("timezones.txt").read_text().split())
