"""Documents show what is declared."""

from pathlib import Path

import pytest

from tests.tables import ROOT, TABLES, documents, written


@pytest.mark.parametrize("path", list(documents()), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_table_is_stale(path: Path) -> None:
    text = path.read_text()
    assert written(text) == text, "run: python -m tests.tables"


def test_every_table_stands_in_a_document() -> None:
    whole = "".join(path.read_text() for path in documents())
    assert [name for name in TABLES if f"<!-- table {name} " not in whole] == []
