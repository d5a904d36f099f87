"""Texts in patterns of LIKE."""

_SPECIAL = str.maketrans({"!": "!!", "%": "!%", "_": "!_"})


def containing(text: str) -> str:
    """The pattern of what holds this text in lower case, for `LIKE … ESCAPE '!'`. Nothing: anything."""
    return f"%{text.lower().translate(_SPECIAL)}%"
