"""The web pages: root.html, never from a browser's cache, as clients count on.

Every path that is not a page or an operation is 404: a monitor at a wrong path must not see a 200.
"""

from importlib.resources import files

from falcon.asgi import Request, Response

from api.http import answers


class Pages:
    """The node's own page."""

    def __init__(self) -> None:
        self._root = files("console").joinpath("root.html").read_bytes()
        self._policy = answers.policy_of(self._root)

    async def on_get(self, _req: Request, resp: Response) -> None:
        """GET /."""
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Cache-Control", "no-cache")
        resp.set_header("Content-Security-Policy", self._policy)
        resp.data = self._root

    on_head = on_get
