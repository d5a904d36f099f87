"""What a newcomer writes, as data."""

from dataclasses import dataclass

NEW = "\0"
"""In the place of `before`: a file that is not there yet. '' is the end of one that is."""


@dataclass(frozen=True)
class Edit:
    """before: text of the file, which stays and is followed by `more`. instead: it does not stay."""

    path: str
    before: str
    more: str
    instead: bool = False

    def of(self, text: str) -> str:
        """The file after it. Raises ValueError where `before` is not there, or more than once."""
        if self.before in ("", NEW):
            return text + self.more
        if text.count(self.before) != 1:
            raise ValueError(f"{self.path} has {text.count(self.before)} times: {self.before}")
        return text.replace(self.before, self.more if self.instead else self.before + self.more)


@dataclass(frozen=True)
class Step:
    """edits: what is written. missing: what then says that something is: tests, contracts, files in which mypy finds it."""

    edits: tuple[Edit, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """heading: of CONTRIBUTING.md. made: (document, what it shows once its command has run)."""

    heading: str
    steps: tuple[Step, ...]
    made: tuple[tuple[str, str], ...] = ()
