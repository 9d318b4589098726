"""What all routes share: answers in JSON, and how OpenAPI is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from fastapi import Path
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.http.problems import PROBLEM
from mlq_cli.http.results import is_known
from mlq_cli.http.schemas import JOB_ID
from mlq_cli.model.job import Record
from mlq_cli.model.jsonable import to_json

#: What may happen on every route: by our door, by the framework, and by Redis.
_ALWAYS = {
    400: "The request makes no sense.",
    401: "A token is needed, or the one given is not known.",
    403: "The token does not allow this, or the request comes from a page of somebody else.",
    421: "The server does not go by this name.",
    422: "The request is not as it should be; `errors` says where.",
    429: "Too many requests.",
    431: "The headers are too large.",
    500: "Something unexpected; the log of the server says what.",
    503: "Redis is out of reach, or too many requests wait for it.",
}
_BODY = {408: "The request took too long.", 413: "The body is too large.", 415: "The body is not JSON.",
         507: "Redis has no memory left."}  # fmt: skip
_MISSING = {404: "There is no such job."}

RecordId = Path(description="The id of a job.", pattern=JOB_ID, examples=["53"])
HEADERS = {"cache-control": "private, no-cache", "x-content-type-options": "nosniff"}


def document(value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as JSON."""
    return Response(to_json(value), 200, {**HEADERS, **(headers or {})}, "application/json")


def tagged(request: Request, body: bytes, **headers: str) -> Response:
    """Return JSON that may be asked for again: with an ETag, and as 304 when the client has it."""
    etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    if is_known(request.headers.get("if-none-match"), etag):
        return Response(None, 304, HEADERS | headers | {"etag": etag})
    return Response(body, 200, HEADERS | headers | {"etag": etag}, "application/json")


def text(value: str, status: int = 200, **headers: str) -> Response:
    """Return plain text."""
    return Response(value.encode("utf-8", "replace"), status, HEADERS | headers, "text/plain; charset=utf-8")


def summary(record: Record) -> dict[str, Any]:
    """Return a record without what may be long."""
    return {name: value for name, value in record.items() if name not in ("msg", "result", "traceback")}


# --- for OpenAPI ---------------------------------------------------------------------------------------------------
def responses(
    *extra: dict[int, str],
    found: bool = False,
    body: bool = False,
    **given: Any,
) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer: `found`, that a job is looked up; `body`, that it takes one."""
    problems = dict(_ALWAYS)
    if found:
        problems |= _MISSING
    if body:
        problems |= _BODY
    for more in extra:
        problems |= more
    described: dict[int | str, dict[str, Any]] = {
        status: {
            "description": said,
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, said in sorted(problems.items())
    }
    for status, answer in given.items():
        described[int(status.removeprefix("s"))] = answer
    return described


def in_json(said: str, model: type[BaseModel], **headers: str) -> dict[str, Any]:
    """Describe an answer in JSON."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"description": said, "content": {"application/json": {"schema": schema}}} | _headers(headers)


def in_text(said: str, example: str, schema: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    """Describe an answer in plain text."""
    content = {"text/plain": {"schema": schema or {"type": "string"}, "example": example}}
    return {"description": said, "content": content} | _headers(headers)


def _headers(named: dict[str, str]) -> dict[str, Any]:
    if not named:
        return {}
    return {
        "headers": {
            name.replace("_", "-"): {"description": said, "schema": {"type": "string"}} for name, said in named.items()
        }
    }


def takes(*models: type[BaseModel]) -> dict[str, Any]:
    """Describe the body of a request, for `openapi_extra`: one of these."""
    schemas = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
