"""See tests/clients/test_mattermostdriver.py."""

from tests.clients.test_mattermostdriver import *  # noqa: F403
