"""A small REST client: one user on one node."""

import os
from typing import Any

import requests

from db.model.ids import new_id

PASSWORD = "Passw0rd!"


class Rest:
    """Calls on behalf of one user; `user` is their JSON after `log_in`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False  # it looks for proxies and passwords at each call: a third of its time
        self.session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True  # of a balancer (`tests/rig/balancer.py`)
        self.token = ""
        self.user: dict[str, Any] = {}

    @property
    def id(self) -> str:
        """Id of the user."""
        return str(self.user["id"])

    def call(self, method: str, path: str, body: object = None, **options: Any) -> requests.Response:
        """A call below /api/v4."""
        options.setdefault("timeout", 30)
        if body is not None:
            options["json"] = body
        return self.session.request(method, f"{self.url}/api/v4{path}", **options)

    def get(self, path: str, **options: Any) -> Any:
        """The JSON of a GET that must succeed."""
        return self._good(self.call("GET", path, **options))

    def post(self, path: str, body: object, **options: Any) -> Any:
        """The JSON of a POST that must succeed."""
        return self._good(self.call("POST", path, body, **options))

    @staticmethod
    def _good(response: requests.Response) -> Any:
        assert response.status_code < 300, f"{response.status_code} {response.text}"
        return response.json()

    def log_in(self, login_id: str, password: str = PASSWORD) -> "Rest":
        """Log in by a token in the header, as bots and drivers do."""
        response = self.call("POST", "/users/login", {"login_id": login_id, "password": password})
        self.user = self._good(response)
        self.token = response.headers["Token"]
        self.session.headers["Authorization"] = f"Bearer {self.token}"
        return self

    def at(self, url: str) -> "Rest":
        """The same session at another address, or on another connection: no cookies, only the token."""
        rest = Rest(url)
        rest.user, rest.token = self.user, self.token
        rest.session.headers["Authorization"] = f"Bearer {self.token}"
        return rest

    def write(self, channel_id: str, message: str, **more: Any) -> dict[str, Any]:
        """Post a message."""
        post: dict[str, Any] = self.post("/posts", {"channel_id": channel_id, "message": message, **more})
        return post

    def close(self) -> None:
        """Close the connections."""
        self.session.close()


def unique(prefix: str) -> str:
    """A name nobody has."""
    return prefix + new_id()[:12]
