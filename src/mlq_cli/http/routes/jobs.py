"""Routes about single jobs: how they are, what they gave, cancel them, run them again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.http.answers import HEADERS, RecordId, in_json, in_text, responses, tagged, text
from mlq_cli.http.results import BYTES, JSON, SHOWN, check_extension, respond, result_of
from mlq_cli.http.roles import Role, needs
from mlq_cli.http.schemas import Job
from mlq_cli.http.served import look_after, look_whole, served
from mlq_cli.model.job import Record, progress_of
from mlq_cli.model.jsonable import to_json

router = APIRouter()

JobId = Annotated[str, RecordId]
_NOT_MODIFIED = {"description": "As in `If-None-Match`.", "headers": {"ETag": {"schema": {"type": "string"}}}}
_ETAG = {"ETag": {"description": "Changes with the job.", "schema": {"type": "string"}}}


@router.get(
    "/jobs/count",
    operation_id="count_jobs",
    tags=["jobs"],
    summary="How many jobs wait",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=responses(s200=in_text("A whole number.", "17", {"type": "integer", "minimum": 0})),
)
async def count_jobs(request: Request) -> Response:
    """Say how many jobs wait: queued, scheduled or blocked."""
    about = served(request)
    return text(str(await about.desk.do(about.mlq.job_count)))


@router.get(
    "/jobs/{job_id}",
    operation_id="get_job",
    tags=["jobs"],
    summary="All that is known of a job",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=responses(found=True, s200=in_json("The job.", Job, ETag="Changes with the job."), s304=_NOT_MODIFIED),
)
async def get_job(request: Request, job_id: JobId) -> Response:
    """Give the record of a job. With `If-None-Match` it is only sent when it has changed."""
    return tagged(request, await look_whole(request, job_id, to_json))


@router.delete(
    "/jobs/{job_id}",
    operation_id="cancel_job",
    tags=["jobs"],
    summary="Cancel a job",
    dependencies=[needs(Role.POST)],
    response_model=None,
    status_code=202,
    responses=responses({409: "It has ended already."}, found=True, s202=in_json("The job.", Job)),
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """Cancel a job. One that waits is canceled at once; a running one is stopped by its worker within seconds."""
    about = served(request)
    await about.desk.do(about.mlq.cancel, job_id)
    return Response(await look_after(request, job_id), 202, HEADERS, "application/json")


@router.post(
    "/jobs/{job_id}/retry",
    operation_id="retry_job",
    tags=["jobs"],
    summary="Run a dead or canceled job again",
    dependencies=[needs(Role.POST)],
    response_model=None,
    status_code=202,
    responses=responses({409: "It is neither dead nor canceled."}, found=True, s202=in_json("The job.", Job)),
)
async def retry_job(request: Request, job_id: JobId) -> Response:
    """Put a dead or canceled job back into its queue, with all its attempts."""
    about = served(request)
    await about.desk.do(about.mlq.retry, job_id)
    return Response(await look_after(request, job_id), 202, HEADERS, "application/json")


@router.get(
    "/jobs/{job_id}/progress",
    operation_id="get_progress",
    tags=["results"],
    summary="How far a job is",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=responses(found=True, s200=in_text("What it says of itself, or how it stands.", "[queued; not started]")),
)
async def get_progress(request: Request, job_id: JobId) -> Response:
    """Say how far a job is.

    What its listener said last, or `[queued; not started]`, `[started]`, `[completed]`, `[failed]`, `[canceled]`.
    """
    said = await served(request).desk.look(job_id, progress_of, brief=True)
    return text(_as_text(said))


@router.get(
    "/jobs/{job_id}/short_result",
    operation_id="get_short_result",
    tags=["results"],
    summary="The short result of a job",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=responses(found=True, s200=in_text("The short result; `[no result]` when there is none.", "widget")),
)
async def get_short_result(request: Request, job_id: JobId) -> Response:
    """Give the short result of a job as text."""
    said = await served(request).desk.look(job_id, _short_result, brief=True)
    return text(said or "[no result]")


_RESULT = responses(
    {
        409: "The job has not ended.",
        410: "The job was canceled.",
        416: "The result has no such bytes.",
        424: "The job is dead.",
    },
    found=True,
    s200={
        "description": "The result: bytes as they are, text as text, all else as JSON.",
        "content": {
            BYTES: {"schema": {"type": "string", "format": "binary"}},
            "text/plain": {"schema": {"type": "string"}},
            JSON: {"schema": {}},
        },
        "headers": _ETAG,
    },
    s206={
        "description": "The part that `Range` asks for.",
        "content": {"*/*": {"schema": {}}},
        "headers": _ETAG | {"Content-Range": {"schema": {"type": "string"}}},
    },
    s304=_NOT_MODIFIED,
)


@router.get(
    "/jobs/{job_id}/result",
    operation_id="get_result",
    tags=["results"],
    summary="The result of a job",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=_RESULT,
)
@router.get(
    "/jobs/{job_id}/results",
    operation_id="get_results",
    tags=["results"],
    summary="The same, by its other name",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=_RESULT,
)
async def get_result(request: Request, job_id: JobId) -> Response:
    """Give the result of a job that succeeded; one `Range` of it, when that is asked for."""
    return respond(request, job_id, await look_whole(request, job_id, result_of))


_SHOWN_TYPES = sorted({kind.partition(";")[0] for kind in SHOWN.values()} | {BYTES})


@router.get(
    "/jobs/{job_id}/result.{extension}",
    operation_id="get_result_as",
    tags=["results"],
    summary="The result of a job, as a file of some kind",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=_RESULT
    | {
        200: {
            "description": "The same bytes; the extension sets the type where a browser can do no harm with it.",
            "content": {kind: {"schema": {}} for kind in _SHOWN_TYPES},
            "headers": _ETAG,
        }
    },
)
async def get_result_as(
    request: Request,
    job_id: JobId,
    extension: Annotated[str, InPath(pattern="^[a-z0-9]{1,8}$", examples=["png"])],
) -> Response:
    """Give the result of a job that succeeded as `image/png`, `audio/mpeg` … by the extension.

    What a browser could run, such as `html`, `svg` or `pdf`, and extensions that are not known, are only downloaded.
    """
    check_extension(extension)
    return respond(request, job_id, await look_whole(request, job_id, result_of), extension)


def _short_result(record: Record) -> str | None:
    return record["short_result"]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value).decode()
