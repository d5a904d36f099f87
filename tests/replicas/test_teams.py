"""See tests/api/test_teams.py."""

from tests.api.test_teams import *  # noqa: F403
