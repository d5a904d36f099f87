"""An application that fails when it has begun an answer: the client is told, and no connection is left without one."""

from collections.abc import Iterator

import pytest

from tests.api.serving import Serving, get


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


@pytest.mark.parametrize("fault", ["raise", "return", "header"])
def test_a_fault_behind_the_start_of_an_answer_is_a_500(serving: Serving, fault: str) -> None:
    with serving.connect() as sock:
        sock.settimeout(5)
        sock.sendall(get(f"fault={fault}"))
        found = b""
        while part := sock.recv(4096):
            found += part
    assert found.startswith(b"HTTP/1.1 500"), found
    assert b"set-cookie" not in found
    assert found.count(b"HTTP/1.1") == 1
