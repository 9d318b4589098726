"""What all tests share: one private server for the session, a namespace of its own for each test, a way to wait."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mlq_cli import MLQ
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.layout import LAYOUT
from tests_support import Server


@pytest.fixture(scope="session", autouse=True)
def _quiet_environment() -> None:
    """Settings of whoever runs the tests must not reach them."""
    for name in [name for name in os.environ if name.startswith("MLQ_")]:
        if name != "MLQ_TEST_SERVER":
            del os.environ[name]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a private server: the embedded one's binary, or MLQ_TEST_SERVER's."""
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


def strange_keys(url: str) -> list[str]:
    """Return the keys on the server that match no pattern of the layout."""
    (keys,) = Wire(UrlEndpoint(url)).exchange([("KEYS", "*")])
    strange = []
    for key in (key.decode() for key in keys):
        namespace = key.partition("{")[2].partition("}")[0]
        if not any(kind.matches(namespace, key) for kind in LAYOUT):
            strange.append(key)
    return strange
