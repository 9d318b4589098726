"""The snippets of the original mlq's README, with only their import changed, do what that README says.

They name `localhost` and port 6379. Here that port may be taken, so the number of another one stands in its place.
"""

from __future__ import annotations

import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.server_binary import find_binary

SNIPPETS = Path(__file__).parents[2] / "docs" / "examples" / "original"


@pytest.fixture
def snippets() -> Iterator[Path]:
    """A copy of the snippets, for a Redis that listens on a port of localhost."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    for snippet in SNIPPETS.glob("*.py"):
        (folder / snippet.name).write_text(snippet.read_text().replace("6379", str(port)))
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([str(find_binary(None)), *options], stdout=subprocess.DEVNULL)
    until_it_answers(f"redis://127.0.0.1:{port}")
    yield folder
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


def until_it_answers(url: str) -> None:
    import time

    for _ in range(200):
        try:
            Wire(UrlEndpoint(url)).exchange([("PING",)])
            return
        except Exception:
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")


@pytest.fixture
def running(snippets: Path) -> Iterator[Callable[[str], None]]:
    """Runs a snippet in a process of its own until the test ends."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(name: str) -> None:
        processes.append(subprocess.Popen([sys.executable, name], cwd=snippets))

    yield run
    for process in processes:
        process.terminate()
        process.wait()


def test_posting_and_polling_for_the_result_of_a_listener(snippets: Path, running: Callable[[str], None]) -> None:
    running("worker.py")
    assert runpy.run_path(str(snippets / "post_and_poll.py"))["result"] == 2468


def test_a_listener_gets_the_record_sets_progress_and_returns_two_results(
    snippets: Path, running: Callable[[str], None]
) -> None:
    running("listener.py")
    names: dict[str, Any] = runpy.run_path(str(snippets / "post_options.py"))
    mlq = names["mlq"]
    for job_id in (names["with_callback"], names["by_name"]):
        assert mlq.wait(job_id, timeout=10) == {"id": job_id, "msg": "message"}
        assert mlq.get_job(job_id)["short_result"] == "widget"
        assert mlq.get_progress(job_id) == "[completed]"
    mlq.close()
