"""What is told of a job's wait, beside how long it does wait."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mlq_cli import MLQ, State
from mlq_cli.cli.output import Output
from mlq_cli.cli.result import show_outcome
from tests_support import wait_until


def told_and_true(mlq: MLQ, job_id: str) -> tuple[float, float]:
    """Return the wait that the record of a queued job tells now, and how long it is in truth."""
    record, now = mlq.get_job(job_id), time.monotonic()
    assert record["state"] is State.QUEUED and record["estimated_wait"] is not None
    wait_until(lambda: mlq.states([job_id]) != [State.QUEUED], seconds=60)
    return record["estimated_wait"], time.monotonic() - now


@pytest.mark.parametrize("executors", [1, pytest.param(3, marks=pytest.mark.minutes)])
def test_the_wait_of_jobs_of_a_known_length_is_right_within_a_factor_of_two(
    mlq: MLQ, start_worker: Any, executors: int
) -> None:
    start_worker("jobs:sleep", executors=executors)
    ids = mlq.post_many([0.25] * 14 * executors)
    wait_until(lambda: mlq.states([ids[2 * executors]]) == [State.RUNNING], seconds=30)
    told, true = told_and_true(mlq, ids[-1])
    assert true > 1.5 and true / 2 <= told <= true * 2, (told, true)


@pytest.mark.minutes
def test_an_async_worker_runs_many_at_a_time_and_says_so(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:nap", lease=3.0)
    mlq.wait(mlq.post(0.1), timeout=30)
    wait_until(lambda: [worker.get("slots") for worker in mlq.workers()] == ["100"])
    ids = mlq.post_many([1.0] * 400)
    wait_until(lambda: mlq.states([ids[150]]) == [State.RUNNING], seconds=30)
    told, true = told_and_true(mlq, ids[-1])
    assert true > 1.0 and true / 2 <= told <= true * 2, (told, true)


def test_a_person_is_told_the_place_and_the_wait(
    mlq: MLQ, start_worker: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = mlq.post_many([0.0] * 3)

    def said(job_id: str) -> str:
        assert show_outcome(mlq, mlq.get_job(job_id), Output(), None) == 4
        return capfd.readouterr().err

    assert said(ids[0]) == f"job {ids[0]} is queued: next in line\n"
    assert said(ids[2]) == f"job {ids[2]} is queued: position 2\n"
    start_worker("jobs:sleep")
    mlq.wait(ids[2], timeout=30)
    long = mlq.post_many([20.0] * 4)
    wait_until(lambda: mlq.states([long[0]]) == [State.RUNNING], seconds=30)
    wait_until(lambda: ", about 1 s" in said(long[-1]))  # what ran until now was brief
    mlq.cancel(*long)
