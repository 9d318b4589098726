"""Targets of callbacks that do all wrong cost the jobs next to nothing, and each callback has three tries at most."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, State
from tests_support import wait_until

JOBS = 800
SECONDS = 0.005  # that a job takes, on each of two executors
ROUNDS = 3  # at least
LAST_ROUND = 75.0  # seconds after which no other begins; whatever else the machine does only takes away from the best
PATIENCE = 15.0  # seconds after which a round counts as it stands

TARGETS = ["hangs", "redirects", "answers 500", "resets", "sends a gigabyte"]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Callable[[str], tuple[str, Callable[[], Counter[str]]]]]:
    """Return a function that starts such a target; it returns a URL, and what counts who was told there."""
    started = []

    def start(what: str) -> tuple[str, Callable[[], Counter[str]]]:
        notes = tmp_path / "told"
        command = [sys.executable, str(Path(__file__).parent / "importable" / "wrong_target.py"), what, str(notes)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline())}/", lambda: Counter(
            notes.read_text().split() if notes.exists() else ()
        )

    yield start
    for process in started:
        process.kill()
        process.communicate()


def throughput(mlq: MLQ, start_worker: Any, callback: str | None, told: Callable[[], Counter[str]]) -> float:
    """Return how many jobs a second a worker gets done, once it delivers callbacks as well, if any."""
    worker = start_worker("jobs:sleep", executors=2, namespace=mlq.namespace)
    before = told().total() if callback else -1
    ready = mlq.post(0.0, callback=callback)
    mlq.wait(ready, 15)
    wait_until(lambda: not callback or told().total() > before)

    def done() -> int:
        return sum(counts.states[State.SUCCEEDED] for counts in mlq.counts() if counts.queue == "default") - 1

    mlq.post_many([SECONDS] * JOBS, callback=callback)
    first, began = done(), time.monotonic()
    while (now := done()) < JOBS and time.monotonic() - began < PATIENCE:
        threading.Event().wait(0.05)
    rate = (now - first) / (time.monotonic() - began)
    worker.kill()
    worker.wait()
    return rate


@pytest.mark.minutes
@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", TARGETS)
def test_jobs_are_done_as_fast_as_without_callbacks(
    what: str, redis_url: str, namespace: str, start_worker: Any, target: Any
) -> None:
    best: dict[bool, float] = {False: 0.0, True: 0.0}
    url, told = target(what)
    began, number = time.monotonic(), 0
    while number < ROUNDS or (best[True] < 0.95 * best[False] and time.monotonic() - began < LAST_ROUND):
        for telling in (False, True) if number % 2 else (True, False):
            with MLQ.from_profile(redis_url=redis_url, namespace=f"{namespace}{number}{telling}") as mlq:
                rate = throughput(mlq, start_worker, url if telling else None, told)
            best[telling] = max(best[telling], rate)
        number += 1
    print(f"{what}: {best[False]:.0f} jobs/s without, {best[True]:.0f} with callbacks, best of {number} rounds")
    assert best[True] >= 0.95 * best[False] and told()


@pytest.mark.minutes
@pytest.mark.parametrize("what", [what for what in TARGETS if what != "hangs"])
def test_each_callback_is_tried_three_times_at_most(what: str, mlq: MLQ, start_worker: Any, target: Any) -> None:
    url, told = target(what)
    start_worker("jobs:echo")
    ids = mlq.post_many([1] * 30, callback=url)

    def dead() -> int:
        return sum(counts.states[State.DEAD] for counts in mlq.counts() if counts.queue == "_callbacks")

    wait_until(lambda: dead() == len(ids), seconds=60)
    assert told() == dict.fromkeys(ids, 3)
