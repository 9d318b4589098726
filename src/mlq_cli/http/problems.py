"""Errors as `application/problem+json` (RFC 9457): what a client gets when something did not go well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from mlq_cli.model.errors import JobFailed, MlqError
from mlq_cli.model.jsonable import to_json

PROBLEM = "application/problem+json"
RETRY_SECONDS = 1  # until which a client waits when it was told to come again


class Problem(MlqError):
    """An answer that is a problem by its own code, where none of our errors says it."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail, hint=hint)
        self.http_status, self.code, self.headers = status, code, dict(headers or {})
        self.errors, self.members = errors, members


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, Any]] | None = None,
    **members: Any,
) -> Response:
    """Return a problem as an answer. `code` is what programs look at, `detail` a sentence for people.

    `errors`: what is wrong with which part of the request, by JSON pointer or the name of a parameter.
    """
    document = document_of(status, code, detail, hint)
    if errors is not None:
        document["errors"] = list(errors)
    about = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        about["retry-after"] = str(RETRY_SECONDS)
    return Response(to_json(document | members), status, about | dict(headers or {}), PROBLEM)


def document_of(status: int, code: str, detail: str, hint: str | None = None) -> dict[str, Any]:
    """Return what every problem says, as JSON has it."""
    said = {
        "type": f"urn:mlq:problem:{code}",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "code": code,
    }
    return said if hint is None else said | {"hint": hint}


def of_error(error: MlqError) -> Response:
    """Return what a client gets for an error of ours."""
    if isinstance(error, Problem):
        return problem(
            error.http_status, error.code, error.message,
            hint=error.hint, headers=error.headers, errors=error.errors, **error.members,
        )  # fmt: skip
    members: dict[str, Any] = {}
    if (job_id := getattr(error, "job_id", None)) is not None:
        members["job_id"] = job_id
    if isinstance(error, JobFailed):
        members["error"] = error.error
    return problem(error.http_status, code_of(type(error)), error.message, hint=error.hint, **members)


def code_of(kind: type[MlqError]) -> str:
    """Return the code of an error of ours: `job-not-found` of JobNotFound."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
