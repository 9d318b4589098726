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

JOBS = 1200
SECONDS = 0.005  # that a job takes, on each of two executors
ROUNDS = 8  # at most; whatever else the machine does only takes away from the best of them

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
        return f"http://127.0.0.1:{int(process.stdout.readline())}/", lambda: Counter(notes.read_text().split())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def throughput(redis_url: str, namespace: str, start_worker: Any, callback: str | None) -> float:
    """Return how many jobs a second a worker gets done."""
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace) as mlq:
        worker = start_worker("jobs:sleep", executors=2, namespace=namespace)
        ready = mlq.post(0.0, callback=callback)
        mlq.wait(ready, 30)
        mlq.post_many([SECONDS] * JOBS, callback=callback)
        began = time.monotonic()

        def done() -> int:
            return sum(counts.states[State.SUCCEEDED] for counts in mlq.counts() if counts.queue == "default")

        before = done()
        while (now := done()) <= JOBS:
            assert time.monotonic() - began < 60
            threading.Event().wait(0.1)
        took = time.monotonic() - began
        worker.kill()
        worker.wait()
        return (now - before) / took


@pytest.mark.minutes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", TARGETS)
def test_jobs_are_done_as_fast_as_without_callbacks(
    what: str, redis_url: str, namespace: str, start_worker: Any, target: Any
) -> None:
    best: dict[bool, float] = {False: 0.0, True: 0.0}
    url, told = target(what)
    for number in range(ROUNDS):
        for telling in (False, True) if number % 2 else (True, False):
            rate = throughput(redis_url, f"{namespace}{number}{telling}", start_worker, url if telling else None)
            best[telling] = max(best[telling], rate)
        if number >= 2 and best[True] >= 0.95 * best[False]:
            break
    print(f"{what}: {best[False]:.0f} jobs/s without, {best[True]:.0f} with callbacks")
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
