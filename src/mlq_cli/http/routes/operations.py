"""Routes for whoever looks after the queue: queues, dead letters, workers, numbers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.http.answers import document, in_json, responses, takes
from mlq_cli.http.bodies import read_json, read_model, validated
from mlq_cli.http.problems import Problem
from mlq_cli.http.roles import Role, needs
from mlq_cli.http.schemas import (
    ANY_QUEUE,
    Moved,
    PurgeBody,
    Purged,
    Queues,
    Retried,
    RetryAll,
    RetryThese,
    Schedules,
    Stats,
    Workers,
)
from mlq_cli.http.served import served
from mlq_cli.mlq import MLQ
from mlq_cli.model.job import State

router = APIRouter(tags=["operations"])

QueueInPath = Annotated[str, InPath(pattern=ANY_QUEUE, description="Name of a queue.", examples=["default"])]
_NO_QUEUE = {404: "There is no such queue."}
_READ: dict[str, Any] = {"dependencies": [needs(Role.READ)], "response_model": None}
_ADMIN: dict[str, Any] = {"dependencies": [needs(Role.ADMIN)], "response_model": None}


@router.get("/queues", operation_id="list_queues", summary="All queues",
            responses=responses(s200=in_json("The queues.", Queues)), **_READ)  # fmt: skip
async def list_queues(request: Request) -> Response:
    """List all queues with their jobs by state, their counters, and how fast they go."""
    about = served(request)
    return document({"queues": await about.desk.do(about.overview.queues)})


def _on_queue(verb: str, said: str, act: Any) -> None:
    """Make the route that does something to a queue."""

    async def on_queue(request: Request, queue: QueueInPath) -> Response:
        about = served(request)
        return document({"jobs": await about.desk.do(_do, about.mlq, queue, act)})

    on_queue.__doc__ = said
    router.add_api_route(
        f"/queues/{{queue}}/{verb}",
        on_queue,
        methods=["POST"],
        operation_id=f"{verb}_queue",
        summary=f"{verb.capitalize()} a queue",
        responses=responses(_NO_QUEUE, s200=in_json("How many jobs that concerns.", Moved)),
        **_ADMIN,
    )


def _do(mlq: MLQ, queue: str, act: Any) -> int:
    if queue not in mlq.store.queues():
        raise Problem(404, "no-such-queue", f"there is no queue {queue}", hint="GET /queues lists them")
    moved: int = act(mlq, queue)
    return moved


_on_queue("pause", "Stop handing out the jobs of a queue; running ones go on. Says how many wait.", MLQ.pause)
_on_queue("resume", "Hand out the jobs of a queue again. Says how many wait.", MLQ.resume)
_on_queue("release", "Give every running job of a queue back to it. Says how many.", MLQ.release)
_on_queue("purge", "Throw away the jobs of a queue that wait, with their records. Says how many.", MLQ.purge)


@router.post("/dlq/retry", operation_id="retry_dead_jobs", summary="Run dead jobs again",
             responses=responses({404: "There is no such job.", 409: "One of them is neither dead nor canceled."},
                                 body=True, s200=in_json("How many will run again.", Retried)),
             openapi_extra=takes(RetryThese, RetryAll), **_ADMIN)  # fmt: skip
async def retry_dead_jobs(request: Request) -> Response:
    """Put dead jobs back into their queues: those with these `ids`, or `all` of a queue or with a type of error."""
    about = served(request)
    value = await read_json(request)
    if isinstance(value, dict) and "ids" in value:
        ids = list(dict.fromkeys(validated(RetryThese, value).ids))
        await about.desk.do(about.mlq.retry, *ids)
        return document({"retried": len(ids)})
    body = validated(RetryAll, value)
    return document({"retried": await about.desk.do(about.mlq.retry_all, body.queue, body.error_type)})


@router.post("/dlq/purge", operation_id="purge_dead_jobs", summary="Throw dead jobs away",
             responses=responses(body=True, s200=in_json("How many were thrown away.", Purged)),
             openapi_extra=takes(PurgeBody), **_ADMIN)  # fmt: skip
async def purge_dead_jobs(request: Request) -> Response:
    """Throw dead jobs away with their records, of one queue or of all."""
    about = served(request)
    body = await read_model(request, PurgeBody)

    def purge() -> int:
        queues = about.mlq.store.queues() if body.queue is None else [body.queue]
        return sum(about.mlq.purge(queue, [State.DEAD]) for queue in queues)

    return document({"purged": await about.desk.do(purge)})


@router.get("/workers", operation_id="list_workers", summary="The workers that are alive",
            responses=responses(s200=in_json("The workers.", Workers)), **_READ)  # fmt: skip
async def list_workers(request: Request) -> Response:
    """List the workers that are alive, with what they say of themselves."""
    about = served(request)
    return document({"workers": await about.desk.do(about.overview.workers)})


@router.get("/schedules", operation_id="list_schedules", summary="Recurring jobs",
            responses=responses(s200=in_json("The schedules.", Schedules)), **_READ)  # fmt: skip
async def list_schedules(request: Request) -> Response:
    """List what posts jobs by itself. There is no way to make such a schedule yet, so there are none."""
    return document({"schedules": []})


@router.get("/stats", operation_id="get_stats", summary="The namespace at a glance",
            responses=responses(s200=in_json("Queues, rates, the server.", Stats)), **_READ)  # fmt: skip
async def get_stats(request: Request) -> Response:
    """Tell how the namespace is."""
    about = served(request)
    return document(await about.desk.do(about.overview.stats))
