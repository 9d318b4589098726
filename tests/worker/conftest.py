"""Workers as processes of their own, ended by the end of the test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "importable"

StartWorker = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start_worker(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[StartWorker]:
    """Return a function that starts a worker: `start_worker("jobs:echo", executors=2, lease=3.0)`."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *functions: str,
        url: str = redis_url,
        lease: float = 30.0,
        backoff: float = 0.05,
        retries: int = 0,
        **options: Any,
    ) -> Any:
        given = {
            "url": url,
            "namespace": namespace,
            "options": {"functions": functions, "paths": [str(HERE)], "grace": 5.0, **options},
            "rules": {"lease": lease, "backoff": backoff, "retries": retries},
        }
        log = (tmp_path / f"worker{len(started)}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, str(HERE / "run_worker.py"), json.dumps(given)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
        )
        process.log = lambda: Path(log.name).read_text()  # type: ignore[attr-defined]
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
