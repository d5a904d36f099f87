"""The web pages: every path outside /api answers root.html, never from a browser's cache, as clients count on."""

from importlib.resources import files
from typing import Any

from falcon.asgi import Request, Response

from api import answers, replies
from app.errors import AppError


class Pages:
    """The sink for what no route takes."""

    def __init__(self) -> None:
        self._root = files("console").joinpath("root.html").read_bytes()
        self._policy = answers.policy_of(self._root)

    async def __call__(self, req: Request, resp: Response | None, **_: Any) -> None:
        """An unknown route of the API, or a page."""
        assert resp is not None
        if req.path.startswith("/api/") or req.path == "/api":
            # Mattermost's own habit, which clients know: the JSON of an error, but text/plain and no request id.
            resp.status = 404
            resp.content_type = "text/plain; charset=utf-8"
            resp.data = replies.error_body(AppError("api.context.404.app_error", 404), None)
            return
        if req.method not in ("GET", "HEAD"):
            resp.set_header("Allow", "GET, HEAD")
            raise AppError("api.context.405.app_error", 405)
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Cache-Control", "no-cache")
        resp.set_header("Content-Security-Policy", self._policy)
        resp.data = self._root
