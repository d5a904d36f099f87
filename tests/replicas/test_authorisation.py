"""See tests/api/test_authorisation.py."""

from tests.api.test_authorisation import *  # noqa: F403
