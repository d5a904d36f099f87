"""See tests/clients/test_js_client.py."""

from tests.clients.test_js_client import *  # noqa: F403
