"""What becomes of the jobs of a slice when one of them takes long, fails or takes its executor with it."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, State
from tests_support import wait_until


class Book:
    """Messages for `jobs:act`, and the file in which each run of theirs is a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def job(self, name: str, do: str = "", seconds: float = 0.0, **more: Any) -> dict[str, Any]:
        return {"file": str(self._path), "name": name, "do": do, "seconds": seconds, **more}

    def lines(self) -> list[tuple[str, int]]:
        """Return the name and the process of each run, in the order in which they began."""
        text = self._path.read_text() if self._path.exists() else ""
        return [(name, int(pid)) for name, _, pid in (line.partition(" ") for line in text.splitlines())]

    def runs(self) -> Counter[str]:
        return Counter(name for name, _ in self.lines())

    def pid(self, name: str) -> int:
        return next(pid for each, pid in self.lines() if each == name)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "runs")


def settled(mlq: MLQ, ids: list[str], seconds: float = 20.0) -> None:
    wait_until(lambda: all(job and job["processing_finished"] for job in mlq.get_jobs(ids)), seconds=seconds)


# --- executors that leave -------------------------------------------------------------------------------------------
def both_ready(mlq: MLQ, book: Book) -> None:
    """Wait until jobs run in two executors."""

    def two() -> bool:
        settled(mlq, mlq.post_many(book.job("warm", "sleep", 0.2) for _ in range(2)))
        return len({pid for _, pid in book.lines()}) == 2

    wait_until(two)


def test_a_warm_stop_lets_a_job_finish_while_other_executors_end_before_it(
    mlq: MLQ, start_worker: Any, book: Book, tmp_path: Path
) -> None:
    worker = start_worker("jobs:act", executors=2, grace=20.0)
    both_ready(mlq, book)
    goodbye = tmp_path / "goodbye"
    long = mlq.post(book.job("long", "sleep", 1.5, goodbye=str(goodbye)))
    wait_until(lambda: book.runs()["long"])
    worker.send_signal(signal.SIGTERM)
    assert mlq.wait(long, 20) == "long"
    began = time.monotonic()
    assert worker.wait(20) == 0
    assert time.monotonic() - began < 1.5, "each executor is told to stop"
    assert goodbye.exists(), "and has time for its exit handlers"
    assert book.runs()["long"] == 1 and mlq.get_job(long)["attempt"] == 1


def test_what_waits_behind_an_executor_that_ends_slowly_is_given_to_another_worker(
    mlq: MLQ, start_worker: Any, book: Book
) -> None:
    first, second = start_worker("jobs:act", max_jobs=20), None
    settled(mlq, mlq.post_many(book.job("warm") for _ in range(18)))
    slow = mlq.post_many([book.job("slow", "leave slowly", 3.0), *(book.job(f"{n}") for n in range(300))])
    wait_until(lambda: book.runs()["slow"])
    began = time.monotonic()
    second = start_worker("jobs:act")
    settled(mlq, slow)
    assert time.monotonic() - began < 2.0 and first.poll() is second.poll() is None
    assert max(book.runs()[f"{n}"] for n in range(300)) == 1


def test_each_async_job_has_a_place_of_its_own_on_the_board(mlq: MLQ, start_worker: Any) -> None:
    """Or one of them is noted over another, which has no timeout then, and no crash."""
    start_worker("jobs:nap")
    assert mlq.wait(mlq.post(0.1), 20) == 0.1
    timed = mlq.post(30, timeout=0.5)
    wait_until(lambda: mlq.get_job(timed)["state"] is State.RUNNING)
    mlq.post(20)
    began = time.monotonic()
    mlq.wait_ended(timed, 10)
    assert mlq.get_job(timed)["error_type"] == "JobTimeout" and time.monotonic() - began < 3


def test_jobs_of_one_executor_run_once_while_another_dies_again_and_again(
    mlq: MLQ, start_worker: Any, book: Book
) -> None:
    """Their outcomes are on the way, or they have been received a moment ago: neither is to be taken for lost."""
    start_worker("jobs:act", executors=2)
    both_ready(mlq, book)
    ids = mlq.post_many(book.job(f"{n}", "crash" if n % 50 == 25 else "") for n in range(400))
    settled(mlq, ids, 60)
    runs = book.runs()
    assert {runs[f"{n}"] for n in range(400) if n % 50 != 25} == {1}
    assert {runs[f"{n}"] for n in range(25, 400, 50)} == {3}, "tried, and twice again"
