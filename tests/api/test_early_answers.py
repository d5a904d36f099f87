"""Large bodies that are refused, through a real nginx by the document's own sample: no 502, and no node is given up."""

from collections.abc import Iterator

import pytest
import requests

from tests.api.serving import Serving
from tests.rig.balancer import Balancer
from tests.rig.require import Require

MB = 1_000_000


@pytest.fixture(scope="module", params=["document", "nginx", "haproxy"])
def balancer(request: pytest.FixtureRequest, require: Require) -> Iterator[Balancer]:
    require("haproxy" if request.param == "haproxy" else "nginx")
    count = 2 if request.param == "document" else 3
    servings = [Serving().__enter__() for _ in range(count)]
    try:
        with Balancer(request.param, [one.url for one in servings]) as balancer:
            yield balancer
    finally:
        for one in servings:
            one.__exit__(None, None, None)


@pytest.mark.parametrize("size", [310_000, 5 * MB, 20 * MB])
@pytest.mark.parametrize("status", [401, 404, 413])
def test_a_large_body_that_is_refused_takes_no_node_out(balancer: Balancer, status: int, size: int) -> None:
    ping = f"{balancer.url}/api/v4/system/ping"
    for _ in range(6):
        refused = requests.post(f"{ping}?early={status}", data=b"x" * size, timeout=30)
        assert refused.status_code == status, balancer.log
        assert requests.get(ping, timeout=10).status_code == 200, balancer.log
