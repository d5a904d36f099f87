"""See tests/api/test_post_lists.py."""

from tests.api.test_post_lists import *  # noqa: F403
