"""Servers for tests of the routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest
from tests_http import Served

from mlq_cli import MLQ
from mlq_cli.http.roles import Role


@pytest.fixture(autouse=True)
def _swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops within a moment."""
    monkeypatch.setattr("mlq_cli.http.hub.HEAR_SECONDS", 0.03)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Return a function that serves an MLQ until the test ends."""
    running: list[Served] = []

    def start(mlq: MLQ, role: Role | None = Role.ADMIN, **more: bool) -> Served:
        running.append(Served(mlq, role, **more))
        running[-1].start()
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def server(serve: Callable[..., Served], mlq: MLQ) -> Served:
    """The test's namespace, served to an administrator."""
    return serve(mlq)


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=server.url, timeout=20) as opened:
        yield opened


@pytest.fixture(scope="module")
def one_mlq(redis_url: str) -> Iterator[MLQ]:
    """An MLQ for all tests of a file that do not mind each other's jobs."""
    with MLQ.from_profile(redis_url=redis_url, namespace=f"t{uuid4().hex[:12]}") as opened:
        yield opened


@pytest.fixture(scope="module")
def one_client(one_mlq: MLQ) -> Iterator[httpx.Client]:
    """A client of one server for them."""
    served = Served(one_mlq)
    served.start()
    with httpx.Client(base_url=served.url, timeout=20) as opened:
        yield opened
    served.stop()
