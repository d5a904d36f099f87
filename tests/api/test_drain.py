"""A listening socket that is to be closed: no beginning is heard any more, what has begun is accepted and served."""

import contextlib
import socket

import pytest

from api.http.drain import grace_s, refuse_new
from app.config.settings import ClusterSettings, Config


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_what_has_begun_is_accepted_and_what_begins_is_not_heard(family: socket.AddressFamily, host: str) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), family=family))
        held_elsewhere = stack.enter_context(listener.dup())
        address = listener.getsockname()
        waiting = stack.enter_context(socket.create_connection(address[:2], 5))
        waiting.sendall(b"first")
        refuse_new(listener)
        waiting.sendall(b" second")
        late = stack.enter_context(socket.socket(family))
        late.settimeout(0.3)
        with pytest.raises(TimeoutError):
            late.connect(address)
        accepted, _ = listener.accept()
        stack.enter_context(accepted)
        waiting.shutdown(socket.SHUT_WR)
        received = b""
        while more := accepted.recv(100):
            received += more
        assert received == b"first second"
        listener.close()
        held_elsewhere.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address[:2], 5)


def test_a_node_that_stands_alone_has_no_grace() -> None:
    assert grace_s(Config(cluster_settings=ClusterSettings(enable=False, drain_grace_s=7))) == 0
    assert grace_s(Config(cluster_settings=ClusterSettings(enable=True, drain_grace_s=7))) == 7
