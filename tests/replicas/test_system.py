"""See tests/api/test_system.py."""

from tests.api.test_system import *  # noqa: F403
