"""The ASGI application: the routes over one namespace, and what they share while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mlq_cli import __version__
from mlq_cli.http.bodies import invalid, pointer
from mlq_cli.http.desk import Desk
from mlq_cli.http.heads import Heads
from mlq_cli.http.hub import Hub
from mlq_cli.http.openapi import TAGS, describe
from mlq_cli.http.overview import Overview
from mlq_cli.http.problems import of_error, problem
from mlq_cli.http.registered import RegisteredFunctions
from mlq_cli.http.roles import ROLE
from mlq_cli.http.routes import events, functions, jobs, lists, metrics, operations, posting, server, static
from mlq_cli.http.served import Served
from mlq_cli.http.viewers import Viewers
from mlq_cli.mlq import MLQ
from mlq_cli.model.errors import MlqError, NotAllowed

log = logging.getLogger("mlq.http")

ROUTERS = (
    posting.router, lists.router, jobs.router, events.router,
    operations.router, functions.router, metrics.router, server.router, static.router,
)  # fmt: skip


def make_app(mlq: MLQ, *, unsigned: bool = False) -> FastAPI:
    """Return the application that serves the namespace of `mlq`; `unsigned`: it takes functions that nobody has signed.

    `app.state.stopping`, an asyncio.Event, is to be set when the server is told to stop: streams then end, and whoever
    waits for a job is answered. Who may do what is the matter of the door in front of it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        desk = Desk(mlq.store)
        desk.start()
        hub = Hub(mlq.store, desk, app.state.stopping)
        hub.start()
        overview = Overview(mlq, unsigned=unsigned)
        viewers = Viewers(desk, hub, overview)
        app.state.served = Served(
            mlq, desk, hub, overview, viewers, RegisteredFunctions(mlq), app.state.stopping, unsigned
        )
        try:
            yield
        finally:
            app.state.stopping.set()
            await hub.stop()
            await asyncio.to_thread(desk.stop)

    app = FastAPI(
        title="mlq",
        version=__version__,
        lifespan=lifespan,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={
            MlqError: _of_ours,
            RequestValidationError: _of_validation,
            HTTPException: _of_framework,
            Exception: _unexpected,
        },
    )
    app.state.stopping = asyncio.Event()
    for router in ROUTERS:
        app.router.routes.extend(router.routes)  # `include_router` would look them up twice for each request
    describe(app)
    app.add_middleware(Heads)
    return app


async def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, MlqError)
    if isinstance(error, NotAllowed) and request.scope.get(ROLE) is None:
        return problem(401, "token-needed", "this takes a token", headers={"www-authenticate": "Bearer"})
    if error.http_status >= 500 and error.http_status != 503:
        log.error("%s %s: %s", request.method, request.url.path, error)
    return of_error(error)


async def _of_validation(request: Request, error: Exception) -> Response:
    """Say which parameter is wrong. The framework checks no bodies here."""
    assert isinstance(error, RequestValidationError)
    errors: list[dict[str, Any]] = []
    for one in error.errors()[:100]:
        where, *path = one["loc"]
        if where == "body":
            errors.append({"pointer": pointer(*path), "detail": one["msg"]})
        else:
            errors.append({"parameter": str(path[0]) if path else where, "in": where, "detail": one["msg"]})
    return of_error(invalid(errors))


async def _of_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(404, "no-such-route", "there is nothing at this address", hint="GET /openapi.json lists all")
    if error.status_code == 405:
        allowed = allowed_methods(request)
        if request.method == "OPTIONS":
            return Response(None, 204, {"allow": allowed})
        said = f"{request.method} does not work here"
        return problem(405, "method-not-allowed", said, hint=f"try {allowed}", headers={"allow": allowed})
    return problem(error.status_code, "refused", str(error.detail), headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    """Answer without a word of what is inside; the server logs it with its traceback."""
    return problem(500, "unexpected", "something unexpected happened; the log of the server says what")


def allowed_methods(request: Request) -> str:
    """Return what works at this address, as the header Allow has it."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    path = request.scope["path"]
    first = next((route.path for route in routes if route.path_regex.match(path)), None)
    found = {"OPTIONS"}.union(*(route.methods or () for route in routes if route.path == first))
    if "GET" in found:
        found.add("HEAD")
    return ", ".join(sorted(found))
