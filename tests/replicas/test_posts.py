"""See tests/api/test_posts.py."""

from tests.api.test_posts import *  # noqa: F403
