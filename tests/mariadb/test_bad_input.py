"""See tests/api/test_bad_input.py."""

from tests.api.test_bad_input import *  # noqa: F403
