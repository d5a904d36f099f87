"""All recipes, and what they run last."""

from tests.recipes import keeping, serving, telling

RECIPES = (
    serving.OPERATION,
    telling.LOSABLE,
    telling.RECOVERABLE,
    keeping.CACHED,
    keeping.JOB,
    keeping.MIGRATION,
    telling.COMMAND,
    serving.SETTING,
    serving.METRIC,
    serving.PORT,
    serving.PAGE,
)
RENEW = ("api.reference", "tests.tables")
"""Modules that make documents of declarations."""
RENEWED = frozenset({serving.OPERATIONS, serving.SETTINGS, telling.PROTOCOL})
"""What says so until then."""
