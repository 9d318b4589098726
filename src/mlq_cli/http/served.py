"""What a request finds behind the routes: the queue, the desk, the hub, the viewers. One for each process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from mlq_cli.http.desk import Desk
from mlq_cli.http.door.visit import ROOM
from mlq_cli.http.hub import Hub
from mlq_cli.http.overview import Overview
from mlq_cli.http.problems import Problem
from mlq_cli.http.registered import RegisteredFunctions
from mlq_cli.http.viewers import Viewers
from mlq_cli.mlq import MLQ
from mlq_cli.model.job import Record
from mlq_cli.model.jsonable import to_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """One namespace, served."""

    mlq: MLQ
    desk: Desk
    hub: Hub
    overview: Overview
    viewers: Viewers
    functions: RegisteredFunctions
    stopping: asyncio.Event  # set when the server is told to stop: whoever waits is answered at once
    unsigned: bool = False  # whether functions are taken that nobody has signed


async def look_whole(request: Request, job_id: str, make: Callable[[Record], T]) -> T:
    """Read a record with its message and result for an answer. Raises JobNotFound, Problem when there is no room."""
    return await served(request).desk.look(job_id, make, room=request.scope.get(ROOM))


async def look_after(request: Request, job_id: str) -> bytes:
    """Return a record in JSON for whoever has just changed it: in brief when there is no room for all of it."""
    try:
        return await look_whole(request, job_id, to_json)
    except Problem as error:
        if error.code != "busy":
            raise
        return await served(request).desk.look(job_id, to_json, brief=True)


def served(request: Request) -> Served:
    """Return what a request is about."""
    found: Served = request.scope["app"].state.served
    return found
