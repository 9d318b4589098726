"""What all tests share: a private server for the session, a namespace of its own for each test, workers to start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mlq_cli import MLQ
from mlq_cli.store.redis import endpoint_at
from mlq_cli.store.redis.connect import Endpoint, UrlEndpoint, Wire
from mlq_cli.store.redis.layout import LAYOUT
from tests_support import Server

IMPORTABLE = Path(__file__).parent / "worker" / "importable"

StartWorker = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session", autouse=True)
def _quiet_environment() -> None:
    """Settings of whoever runs the tests must not reach them."""
    for name in [name for name in os.environ if name.startswith("MLQ_")]:
        if name not in ("MLQ_TEST_SERVER", "MLQ_TEST_URL"):
            del os.environ[name]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a private server: the embedded one's binary, or MLQ_TEST_SERVER's. Or MLQ_TEST_URL, as it is."""
    if url := os.environ.get("MLQ_TEST_URL"):
        yield url
        assert not (strange := strange_keys(url)), f"keys that layout.py does not name: {strange}"
        return
    folder = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    with Server(folder) as server:
        yield server.url
        strange = strange_keys(server.url)
    shutil.rmtree(folder)
    assert not strange, f"keys that layout.py does not name: {strange}"


@pytest.fixture
def namespace() -> str:
    """A namespace that nobody else uses."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def mlq(redis_url: str, namespace: str) -> Iterator[MLQ]:
    """An MLQ on the session's server, in the test's namespace."""
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace) as opened:
        yield opened


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket; pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


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
        namespace: str = namespace,
        secret: str | None = None,
        every: float | None = None,
        **options: Any,
    ) -> Any:
        given = {
            "url": url,
            "namespace": namespace,
            "every": every,
            "options": {"functions": functions, "paths": [str(IMPORTABLE)], "grace": 5.0, **options},
            "rules": {"lease": lease, "backoff": backoff, "retries": retries},
        }
        log = (tmp_path / f"worker{len(started)}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, str(IMPORTABLE / "run_worker.py"), json.dumps(given)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **({} if secret is None else {"MLQ_SECRET": secret})},
        )
        process.log = lambda: Path(log.name).read_text()  # type: ignore[attr-defined]
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def strange_keys(url: str) -> list[str]:
    """Return the keys on the server, or on any node of the cluster, that match no pattern of the layout."""
    strange = []
    for endpoint in each_node(url):
        (keys,) = Wire(endpoint).exchange([("KEYS", "*")])
        for key in (key.decode() for key in keys):
            namespace = key.partition("{")[2].partition("}")[0]
            if not any(kind.matches(namespace, key) for kind in LAYOUT):
                strange.append(key)
    return strange


def each_node(url: str) -> list[Endpoint]:
    """Return where a URL leads: the tests' cluster is named with all its nodes."""
    if "+cluster" not in url:
        return [endpoint_at(url, "any")]
    return [UrlEndpoint(f"redis://{host}") for host in url.partition("://")[2].split(",")]
