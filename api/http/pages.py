"""The web pages: never from a browser's cache, as clients count on.

Every path that is not a page or an operation is 404: a monitor at a wrong path must not see a 200.
"""

from collections.abc import Mapping
from importlib.resources import files

from falcon.asgi import Request, Response

from api.http import answers

PAGES: Mapping[str, str] = {"/": "root.html"}
"""Path -> file of `console/`."""


class Page:
    """One of them."""

    def __init__(self, name: str) -> None:
        """name: of the file in `console/`."""
        self._page = files("console").joinpath(name).read_bytes()
        self._policy = answers.policy_of(self._page)

    async def on_get(self, _req: Request, resp: Response) -> None:
        """GET of the page."""
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Cache-Control", "no-cache")
        resp.set_header("Content-Security-Policy", self._policy)
        resp.data = self._page

    on_head = on_get
