"""See tests/api/test_users.py."""

from tests.api.test_users import *  # noqa: F403
