"""Both ways to run locally: in this process, and in executors of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ
from mlq_cli.local.local import Local

JOBS = Path(__file__).parents[1] / "worker" / "importable"

Start = Callable[..., Local]


@pytest.fixture(params=[1, 2], ids=["inline", "processes"])
def parallel(request: pytest.FixtureRequest) -> int:
    """How many processes."""
    size: int = request.param
    return size


@pytest.fixture
def local(parallel: int) -> Iterator[Start]:
    """Make a local run of functions; it is closed at the end."""
    made: list[Local] = []

    def start(*functions: Any, **options: Any) -> Local:
        made.append(MLQ.local(*functions, parallel=parallel, paths=[str(JOBS)], **options))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing local may look for Redis: whoever does finds none, and no profile."""
    if "mlq" not in request.fixturenames:
        monkeypatch.setenv("MLQ_REDIS_URL", "redis://127.0.0.1:1/0")
        monkeypatch.chdir(tmp_path)
        assert not os.listdir(tmp_path)
