"""See tests/api/test_sessions.py."""

from tests.api.test_sessions import *  # noqa: F403
