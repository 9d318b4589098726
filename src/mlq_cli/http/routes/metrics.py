"""`GET /metrics`: what Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from mlq_cli.http.answers import responses
from mlq_cli.http.metrics import exposition
from mlq_cli.http.roles import Role, needs
from mlq_cli.http.served import served

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    dependencies=[needs(Role.READ)],
    summary="Metrics for Prometheus",
    response_class=Response,
    operation_id="get_metrics",
    responses=responses(
        s200={
            "description": "Always, also while Redis is away: then `mlq_redis_up` is 0 and its numbers are missing.",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            },
        }
    ),
)
def metrics(request: Request) -> Response:
    """Return the numbers of all queues and workers. Not async on purpose: it waits for Redis, in a thread."""
    body, content_type = exposition(served(request).mlq.store, request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})
