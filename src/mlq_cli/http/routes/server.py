"""Routes about the server itself: whether it lives, whether it can work, how it is spoken to."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.http.answers import in_text, responses, text
from mlq_cli.http.guards import PAGE
from mlq_cli.http.problems import Problem
from mlq_cli.http.roles import Role, needs
from mlq_cli.http.served import served
from mlq_cli.model.errors import MlqError
from mlq_cli.model.jsonable import to_json

READY_SECONDS = 2.0  # for which a Redis that does not answer is waited for

router = APIRouter(tags=["server"])
_OPEN: dict[str, Any] = {"response_model": None, "openapi_extra": {"security": []}}


@router.get("/healthz", operation_id="get_health", summary="Whether the server lives",
            responses=responses(s200=in_text("It does.", "ok", {"type": "string", "const": "ok"})),
            **_OPEN)  # fmt: skip
async def get_health() -> Response:
    """Say `ok`, whatever Redis does."""
    return text("ok")


@router.get("/readyz", operation_id="get_readiness", summary="Whether the server can work",
            responses=responses(s200=in_text("It can.", "ok", {"type": "string", "const": "ok"})),
            **_OPEN)  # fmt: skip
async def get_readiness(request: Request) -> Response:
    """Say `ok` when Redis answers and the server is not about to stop; else 503."""
    about = served(request)
    if about.stopping.is_set():
        raise Problem(503, "stopping", "the server is about to stop")
    try:
        async with asyncio.timeout(READY_SECONDS):
            await about.desk.do(about.mlq.store.states, ["1"])
    except (MlqError, TimeoutError):
        raise Problem(503, "store-unavailable", "Redis does not answer") from None
    return text("ok")


@router.get("/openapi.json", operation_id="get_openapi", summary="This document", dependencies=[needs(Role.READ)],
            response_model=None,
            responses=responses(s200={"description": "OpenAPI 3.1.",
                                      "content": {"application/json": {"schema": {"type": "object"}}}}))  # fmt: skip
async def get_openapi(request: Request) -> Response:
    """Give the OpenAPI document."""
    state = request.app.state
    if not hasattr(state, "openapi"):
        state.openapi = to_json(request.app.openapi())
    return Response(state.openapi, media_type="application/json", headers={"cache-control": "no-cache"})


_PAGE = Path(__file__).parents[1] / "docs_page"
_FILES = {"docs.js": "text/javascript; charset=utf-8", "docs.css": "text/css; charset=utf-8"}


@router.get("/docs", operation_id="get_docs", summary="This document, for people",
            responses=responses(s200={"description": "A page.",
                                      "content": {"text/html": {"schema": {"type": "string"}}}}),
            **_OPEN)  # fmt: skip
async def get_docs() -> Response:
    """Give a page that shows the OpenAPI document; nothing on it comes from elsewhere."""
    return Response(_read("docs.html"), media_type="text/html; charset=utf-8", headers=PAGE)


@router.get("/docs/{file}", operation_id="get_docs_file", summary="A file of that page",
            responses=responses({404: "There is no such file."},
                                s200={"description": "A script or a style sheet.",
                                      "content": {kind.partition(";")[0]: {"schema": {"type": "string"}}
                                                  for kind in _FILES.values()}}),
            **_OPEN)  # fmt: skip
async def get_docs_file(file: Annotated[str, InPath(pattern="^docs[.](?:js|css)$", examples=["docs.js"])]) -> Response:
    """Give a file of that page."""
    return Response(_read(file), media_type=_FILES[file], headers=PAGE)


@cache
def _read(name: str) -> bytes:
    return (_PAGE / name).read_bytes()
