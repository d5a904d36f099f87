"""See tests/api/test_edits.py."""

from tests.api.test_edits import *  # noqa: F403
