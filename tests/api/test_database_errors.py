"""What a client gets when the database is not there, full, or slow: 503 with Retry-After, in Mattermost's form."""

import falcon.asgi
import pytest
from falcon import testing
from falcon.asgi import Request, Response

from api.errors import on_database_error
from db.model import errors
from db.model.errors import Busy, Deadlock, Unavailable


def _kinds(base: type[Exception]) -> list[type[Exception]]:
    return [base, *(kind for one in base.__subclasses__() for kind in _kinds(one))]


class _Named:
    async def process_request(self, req: Request, _resp: Response) -> None:
        req.context.request_id = "a-request"


@pytest.mark.parametrize("kind", [*_kinds(Unavailable), Busy, Deadlock])
def test_is_503_that_says_when_to_come_back(kind: type[Exception]) -> None:
    class Fails:
        async def on_post(self, _req: Request, _resp: Response) -> None:
            raise kind("the server was closed by Ann, whose password is hunter2")

    app = falcon.asgi.App(middleware=[_Named()])
    app.add_error_handler(errors.DatabaseError, on_database_error)
    app.add_route("/", Fails())
    answer = testing.TestClient(app).simulate_post("/")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json["id"] == "api.context.server_busy.app_error"
    assert answer.json["status_code"] == 503
    assert answer.json["request_id"] == "a-request"
    assert "hunter2" not in answer.text
