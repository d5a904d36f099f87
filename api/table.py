"""All operations: those of the modules of `api/ops`, and what follows from having all of them."""

import importlib
import pkgutil
from collections.abc import Iterator

from api import openapi, ops
from api.operation import Misdeclared, Operation


def _declared() -> Iterator[Operation]:
    for module in sorted(one.name for one in pkgutil.iter_modules(ops.__path__)):
        for value in vars(importlib.import_module(f"{ops.__name__}.{module}")).values():
            if isinstance(value, Operation):
                yield value
                if value.head:
                    yield value.as_head()


def _unlike(found: tuple[Operation, ...]) -> tuple[Operation, ...]:
    for names in ([one.title for one in found], [one.name for one in found]):
        if twice := {name for name in names if names.count(name) > 1}:
            raise Misdeclared(f"declared twice: {sorted(twice)}")
    return found


def _all() -> tuple[Operation, ...]:
    return EVERY


EVERY = _unlike((*_declared(), openapi.serving(_all)))
UNCOUNTED = frozenset(one.path for one in EVERY if not one.counted)
"""Load balancers take a node out that does not answer these. With a query they may ask the database, and count."""
