"""See tests/api/test_reactions.py."""

from tests.api.test_reactions import *  # noqa: F403
