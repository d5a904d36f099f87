"""See tests/api/test_channels.py."""

from tests.api.test_channels import *  # noqa: F403
