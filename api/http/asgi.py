"""create_app: the routes of the operations, and what every answer of theirs carries."""

from collections.abc import Collection
from time import perf_counter

from falcon.asgi import App, Request, Response

from api import errors, known, replies, responder, table
from api.auth import Authenticator
from api.http import cors
from api.http.measures import Measures
from api.http.pages import PAGES, Page
from api.http.webapp import WebApp
from api.operation import Operation
from app.context import Context
from db.model.ids import new_id


def create_app(ctx: Context, operations: Collection[Operation] = table.EVERY) -> App[Request, Response]:
    """The ASGI application of an api worker."""
    app = App(middleware=[Headers(ctx)])
    app.resp_options.secure_cookies_by_default = False
    leads_to = known.Map(operations, known.read(), pages=PAGES)
    errors.add_handlers(app, leads_to)
    resources: dict[str, _Resource] = {}
    auth = Authenticator(ctx)
    for operation in operations:
        respond = responder.create(operation, ctx, auth, leads_to.words_of(operation.path))
        setattr(resources.setdefault(operation.path, _Resource()), f"on_{operation.method.lower()}", respond)
    for path, resource in resources.items():
        app.add_route(path, resource)
    for path, name in PAGES.items():
        if path != "/" or ctx.web_app is None:
            app.add_route(path, Page(name))
    if ctx.web_app is not None:
        web_app = WebApp(ctx)
        app.add_route("/", web_app)
        app.add_sink(web_app, "/")
    return app


class _Resource:
    """What Falcon looks for the responders of a path in."""


class Headers:
    """What every reply carries (`replies.common_headers`), and what is answered before any operation is."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._measures = Measures(ctx.metrics)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Name the request. `operation` of its context: what it is counted as, '' while no operation has it."""
        req.context.request_id = new_id()
        req.context.operation = ""
        req.context.began = perf_counter()
        if cors.is_preflight(req):
            resp.status = 204
            resp.complete = True

    async def process_response(self, req: Request, resp: Response, _resource: object, _succeeded: bool) -> None:
        """Set the headers, and count how long it took."""
        if req.context.operation:
            taken_s = perf_counter() - req.context.began
            self._measures.observe(req.context.operation, req.method, resp.status_code, taken_s)
        version_id = self._ctx.client_config.version_id
        resp.set_headers(replies.common_headers(req.context.request_id, version_id))
