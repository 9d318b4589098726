"""Trees of jobs that wait for each other, while executors and workers are killed under them: all of them end."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, JobNotFound, State
from mlq_cli.model.errors import WrongState
from tests_support import wait_until

ENDED = (State.SUCCEEDED, State.DEAD, State.CANCELED)


def executors_of(worker: int) -> list[int]:
    """Return the processes that a worker has started to run jobs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, parent = int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
            if parent == worker and b"mlq_cli.worker.child" in (path.parent / "cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def pending(mlq: MLQ) -> int:
    """Return how many jobs have not ended."""
    return sum(counts.states[state] for counts in mlq.counts() for state in State if state not in ENDED)


@pytest.mark.minutes
@pytest.mark.parametrize("seed", [1, 2])
def test_all_jobs_of_trees_end_although_executors_and_workers_are_killed(
    mlq: MLQ, start_worker: Any, seed: int
) -> None:
    dice = random.Random(seed)
    roots = list(mlq.post_many([[3, 2]] * 20))
    options = {"lease": 3.0, "backoff": 0.05, "executors": 2}
    workers = [start_worker("nesting:tree", **options) for _ in range(2)]

    def replace_the_dead() -> None:
        # one of which no executor was ever ready, since they were killed before, ends by itself
        workers[:] = [w if w.poll() is None else start_worker("nesting:tree", **options) for w in workers]

    stop_at = time.monotonic() + 20
    while time.monotonic() < stop_at and pending(mlq):
        time.sleep(dice.uniform(0.1, 0.5))  # the pace of the killing
        what = dice.random()
        victims = [pid for worker in workers for pid in executors_of(worker.pid)]
        if what < 0.6 and victims:
            with suppress(ProcessLookupError):
                os.kill(dice.choice(victims), signal.SIGKILL)
        elif what < 0.75 and (running := mlq.store.ids(None, [State.RUNNING], 50)):
            with suppress(WrongState, JobNotFound):  # it has ended in this moment
                mlq.cancel(dice.choice(running))
        elif what < 0.85:
            dice.choice(workers).send_signal(dice.choice([signal.SIGKILL, signal.SIGTERM]))
        replace_the_dead()
    wait_until(lambda: replace_the_dead() or not pending(mlq), seconds=120)
    records = mlq.get_jobs(roots)
    assert all(record is not None and record["state"] in ENDED for record in records)
    replace_the_dead()  # and the workers are as good as new
    again = mlq.post_many([[3, 2]] * 5)
    for job_id in again:
        assert mlq.wait(job_id, 60) == 2**4 - 1
    for worker in workers:
        wait_until(lambda worker=worker: worker.poll() is not None or len(executors_of(worker.pid)) == 2, seconds=90)
