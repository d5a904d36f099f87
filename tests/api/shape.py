"""Whether what was answered has the declared type: all of its fields, and no others."""

from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from api import shapes


def unlike(value: Any, wanted: Any, where: str = "") -> list[str]:
    """What is otherwise; nothing where all is right. wanted: `answers` of an operation."""
    if wanted is None and where == "":
        wanted = shapes.Done
    if wanted is Any:
        return []
    if is_typeddict(wanted):
        return _unlike_fields(value, wanted, where)
    origin, of = get_origin(wanted), get_args(wanted)
    if origin is NotRequired:
        return unlike(value, of[0], where)
    if origin in (Union, UnionType):
        return [] if any(not unlike(value, one, where) for one in of) else [f"{where} is {value!r}"]
    if origin is Literal:
        return [] if value in of else [f"{where} is {value!r}"]
    if origin is list and isinstance(value, list):
        return [one for number, item in enumerate(value) for one in unlike(item, of[0], f"{where}[{number}]")]
    if origin is dict and isinstance(value, dict):
        return [one for key, item in value.items() for one in unlike(item, of[1], f"{where}.{key}")]
    kind = NoneType if wanted is None else wanted
    good = isinstance(kind, type) and isinstance(value, kind) and not (isinstance(value, bool) and kind is int)
    return [] if good else [f"{where} is {value!r}"]


def _unlike_fields(value: Any, wanted: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is {value!r}"]
    hints = get_type_hints(wanted, include_extras=True)
    needed = {key for key, one in hints.items() if get_origin(one) is not NotRequired}
    found = [f"{where}.{key} is missing" for key in sorted(needed - value.keys())]
    found += [f"{where}.{key} is not declared" for key in sorted(value.keys() - hints.keys())]
    return found + [
        one for key in value.keys() & hints.keys() for one in unlike(value[key], hints[key], f"{where}.{key}")
    ]
