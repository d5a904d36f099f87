"""Texts in patterns of LIKE."""

_SPECIAL = str.maketrans({"!": "!!", "%": "!%", "_": "!_"})


def containing(text: str) -> str:
    """The pattern of what holds this text, for `LIKE … ESCAPE '!'`. The database folds case, alike on both sides."""
    return f"%{text.translate(_SPECIAL)}%"
