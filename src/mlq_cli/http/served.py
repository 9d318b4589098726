"""What a request finds behind the routes: the queue, the desk, the hub, the viewers. One for each process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request

from mlq_cli.http.desk import Desk
from mlq_cli.http.hub import Hub
from mlq_cli.http.overview import Overview
from mlq_cli.http.viewers import Viewers
from mlq_cli.mlq import MLQ


@dataclass(frozen=True, slots=True)
class Served:
    """One namespace, served."""

    mlq: MLQ
    desk: Desk
    hub: Hub
    overview: Overview
    viewers: Viewers
    public_callbacks: bool  # whoever posts here may be a stranger, and has no say about hosts that only we can reach
    stopping: asyncio.Event  # set when the server is told to stop: whoever waits is answered at once


def served(request: Request) -> Served:
    """Return what a request is about."""
    found: Served = request.scope["app"].state.served
    return found
