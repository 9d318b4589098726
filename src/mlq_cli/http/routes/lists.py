"""Routes that list jobs, a page at a time: all of them, or the dead."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.http.answers import document, in_json, responses, summary
from mlq_cli.http.cursors import read_cursor, write_cursor
from mlq_cli.http.roles import Role, needs
from mlq_cli.http.schemas import ANY_QUEUE, DeadPage, JobPage
from mlq_cli.http.served import Served, served
from mlq_cli.model.job import Record, State
from mlq_cli.store.base import Place

router = APIRouter()

_LOOKS = 10  # pages that are read for one of which little is shown

Limit = Annotated[int, Query(ge=1, le=500, description="So many at most.")]
Cursor = Annotated[
    str | None, Query(max_length=1000, pattern="^[A-Za-z0-9_-]+$", description="`next` of the page before.")
]
OfQueue = Annotated[str | None, Query(pattern=ANY_QUEUE, description="Only of this queue.", examples=["default"])]


@router.get(
    "/jobs",
    operation_id="list_jobs",
    tags=["jobs"],
    summary="List jobs",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=responses(
        {404: "No page has this cursor."},
        s200=in_json("A page of jobs, and where the next one is.", JobPage, Link='The next page: `rel="next"`.'),
    ),
)
async def list_jobs(
    request: Request,
    state: Annotated[list[State] | None, Query(description="Only in these states; repeat it.")] = None,
    queue: OfQueue = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List jobs by state, then by queue: what runs, what waits in the order of its turn, what has ended newest first.

    Jobs that stay in their state come once each, however others move while somebody goes from page to page.
    """
    about = served(request)
    states = list(State) if state is None else list(dict.fromkeys(state))
    jobs, place = await about.desk.do(_page, about, states, queue, cursor, limit)
    return _answer(request, [summary(job) for job in jobs], place)


@router.get(
    "/dlq",
    operation_id="list_dead_jobs",
    tags=["operations"],
    summary="List dead jobs",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=responses(
        {404: "No page has this cursor."},
        s200=in_json("A page of dead jobs, and where the next one is.", DeadPage, Link='The next page: `rel="next"`.'),
    ),
)
async def list_dead_jobs(
    request: Request,
    queue: OfQueue = None,
    error: Annotated[
        str | None, Query(max_length=256, description="Only with an error of this type.", examples=["ValueError"])
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the jobs that gave up, by queue, the newest first. With `error` a page may be short: go on from `next`."""
    about = served(request)
    jobs, place = await about.desk.do(_dead, about, queue, error, cursor, limit)
    return _answer(request, [summary(job) | {"traceback": job["traceback"]} for job in jobs], place)


def _page(
    about: Served, states: list[State], queue: str | None, cursor: str | None, limit: int
) -> tuple[list[Record], Place | None]:
    store = about.mlq.store
    after = None if cursor is None else read_cursor(cursor)
    ids, place = store.page(None if queue is None else [queue], states, after, limit)
    # What has moved on since, or was forgotten, is told as it is now, or not at all.
    return [record for record in store.records(ids, values=False) if record is not None], place


def _dead(
    about: Served, queue: str | None, error: str | None, cursor: str | None, limit: int
) -> tuple[list[Record], Place | None]:
    found: list[Record] = []
    for _ in range(_LOOKS):
        jobs, place = _page(about, [State.DEAD], queue, cursor, limit)
        found += [job for job in jobs if job["state"] is State.DEAD and error in (None, job["error_type"])]
        if place is None or found or error is None:
            break
        cursor = write_cursor(place)
    return found, place


def _answer(request: Request, jobs: list[dict[str, Any]], place: Place | None) -> Response:
    following = None if place is None else write_cursor(place)
    headers = {}
    if following is not None:
        asked = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        address = f"{request.url.path}?{urlencode([*asked, ('cursor', following)])}"
        headers["link"] = f'<{address}>; rel="next"'
    return document({"jobs": jobs, "next": following}, headers)
