"""See tests/api/test_first_steps.py."""

from tests.api.test_first_steps import *  # noqa: F403
