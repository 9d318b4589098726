"""Routes that stream: what happens to one job, and what happens in the namespace."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi import Path as InPath
from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.following import PAGE, Event, Following
from mlq_cli.http.answers import responses
from mlq_cli.http.hub import Follower
from mlq_cli.http.roles import Role, needs
from mlq_cli.http.schemas import JOB_ID
from mlq_cli.http.served import Served, served
from mlq_cli.http.sse import KEEPALIVE, KEEPALIVE_SECONDS, TYPE, EventStream, event
from mlq_cli.model.errors import JobNotFound, MlqError
from mlq_cli.model.job import Record

router = APIRouter()

OUTAGE_SECONDS = 30.0  # for which a stream goes on without Redis; the client comes back by itself
LOOK_SECONDS = 5.0  # between two looks of a stream that hears nothing

_STREAM: dict[str, Any] = {
    "description": "Server-sent events, for as long as there are any.",
    "content": {TYPE: {"schema": {"type": "string"}}},
}


@router.get(
    "/jobs/{job_id}/events",
    operation_id="follow_job",
    tags=["results"],
    summary="What happens to a job, as it happens",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=responses(
        found=True,
        s200=_STREAM,
        s204={"description": "The job has ended, and `Last-Event-ID` was its last event: do not come back."},
    ),
)
async def follow_job(
    request: Request,
    job_id: Annotated[str, InPath(pattern=JOB_ID, description="The id of a job.", examples=["53"])],
    last_event_id: Annotated[
        str | None,
        Header(
            pattern=r"^\d{1,20}-\d{1,20}$",
            max_length=41,
            description="The id of the last event that was received: only what came after it is sent.",
        ),
    ] = None,
) -> Response:
    """Follow a job until it has ended.

    Events: `state` (a dict with state, attempt, progress, position, estimated_wait, error), `progress` (what the
    listener said), `part` (what it emitted), `reset` (a new attempt begins: the parts so far are void), `position`.
    Data are JSON. The stream ends after the last event.
    """
    about = served(request)
    following = Following(job_id, last_event_id)
    # Before the headers: what is not there is 404, and no stream. One page only: a slow reader keeps it in memory.
    first = await _take(about, following)
    if last_event_id is not None and following.ended and not _stored(first):
        return Response(None, 204)
    return EventStream(_follow(about, about.hub.follow(job_id), following, first))


def _stored(events: list[Event]) -> bool:
    """Whether there is anything that the client does not have; how the job stands now is no news at its end."""
    return any(each.id is not None for each in events)


async def _take(about: Served, following: Following) -> list[Event]:
    """Return what is new, a page of it at most."""
    store = about.mlq.store
    job_id = following.job_id
    entries = await about.desk.do(store.entries, job_id, following.after, PAGE)
    record: Record | None = None
    if not entries:
        try:
            record = await about.desk.look(job_id, _same, brief=True)
        except JobNotFound:
            record = None
        # Once more, or an end might be told before what came before it.
        entries = await about.desk.do(store.entries, job_id, following.after, PAGE)
    return following.take(entries, record, most=PAGE)


async def _follow(about: Served, follower: Follower, following: Following, events: list[Event]) -> AsyncIterator[bytes]:
    said_at = time.monotonic()
    away_since = 0.0
    with follower:
        follower.wake()  # for what has happened since the first look
        while True:
            for each in events:
                yield event(each.kind, each.value, each.id)
                said_at = time.monotonic()
            now = time.monotonic()
            if following.ended or about.stopping.is_set() or (away_since and now - away_since > OUTAGE_SECONDS):
                return
            events = []
            if not following.more:
                quiet = said_at + KEEPALIVE_SECONDS - now
                await follower.wait(max(0.0, min(quiet, 1.0 if away_since else LOOK_SECONDS)))
                if time.monotonic() - said_at >= KEEPALIVE_SECONDS:
                    yield KEEPALIVE
                    said_at = time.monotonic()
                if about.stopping.is_set():
                    return
            try:
                events = await _take(about, following)
                away_since = 0.0
            except JobNotFound:  # it was thrown away
                return
            except MlqError as error:
                if error.http_status != 503:
                    raise
                away_since = away_since or time.monotonic()
                await follower.wait(0.5)


def _same(record: Record) -> Record:
    return record


@router.get(
    "/events",
    operation_id="follow_all",
    tags=["operations"],
    summary="What happens in the namespace, as it happens",
    dependencies=[needs(Role.READ)],
    response_model=None,
    responses=responses(s200=_STREAM),
)
async def follow_all(request: Request) -> Response:
    """Follow the namespace, as the dashboard does.

    Events: `overview` (what /stats and /workers give, at most once a second and only when it has changed) and `jobs`
    (a list of `{"id", "word"}`, gathered for a quarter of a second, 200 at most).
    """
    viewers = served(request).viewers
    return EventStream(viewers.follow(viewers.viewer()))
