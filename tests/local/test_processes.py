"""Executors of a local run: what would end or fill a process does so in one of theirs."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, JobFailed, Misuse
from mlq_cli.model.job import State
from tests_support import alive, wait_until


def test_a_crash_is_the_end_of_its_job_alone() -> None:
    profile = MLQ.from_profile(worker_backoff=0.01).profile
    with MLQ.local(lambda msg: os._exit(3) if msg == 2 else msg, parallel=2, profile=profile) as run:
        records = list(run.records(range(5)))
    assert [record["state"] for record in records].count(State.SUCCEEDED) == 4
    assert records[2]["state"] is State.DEAD and records[2]["crashes"] == 3
    assert records[2]["error"] == "ExecutorCrash: its executor exited with code 3 and without an outcome"


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells what another process uses")
def test_a_job_that_takes_too_much_memory_is_killed() -> None:
    def grow(msg: int) -> int:
        held = bytearray(msg)
        time.sleep(60 if msg else 0)
        return len(held)

    with MLQ.local(
        grow, parallel=2, memory_limit=150 << 20, profile=MLQ.from_profile(worker_max_crashes=0).profile
    ) as run:
        with pytest.raises(JobFailed, match="MemoryLimit"):
            run.wait(run.post(300 << 20))
        assert run.wait(run.post(0)) == 0


def test_jobs_run_side_by_side_in_processes_of_their_own() -> None:
    def who(msg: float) -> int:
        time.sleep(msg)
        return os.getpid()

    with MLQ.local(who, parallel=2) as run:
        run.wait(run.post(0.0))
        began = time.monotonic()
        pids = set(run.results([0.5] * 4))
        assert time.monotonic() - began < 1.9
    assert len(pids) == 2 and os.getpid() not in pids


@pytest.mark.parametrize("how", ["closed", "collected", "raised"])
def test_no_process_is_left_behind(how: str) -> None:
    run = MLQ.local(lambda msg: os.getpid(), parallel=2)
    pids = set(run.results(range(20)))
    assert pids and all(map(alive, pids))
    if how == "closed":
        run.close()
    elif how == "raised":
        with pytest.raises(KeyboardInterrupt), run:
            run.post(1)
            raise KeyboardInterrupt
    del run
    gc.collect()
    wait_until(lambda: not any(map(alive, pids)))


def test_canceling_ends_what_runs(tmp_path: Path) -> None:
    def begin(msg: str) -> None:
        Path(msg).write_text(str(os.getpid()))
        time.sleep(60)

    begun = tmp_path / "begun"
    with MLQ.local(begin, parallel=2) as run:
        job_id = run.post(str(begun))
        with pytest.raises(TimeoutError):
            run.wait(job_id, timeout=0.01)
        pid = int(wait_until(lambda: begun.read_text()))
        run.cancel(job_id)
        wait_until(lambda: not alive(pid))
        assert run.get_job(job_id)["state"] is State.CANCELED


def test_executors_run_while_the_caller_draws_the_next_message() -> None:
    """A generator that takes its time holds up no timeout."""

    def numbers() -> Any:
        yield 60
        wait_until(lambda: run.get_job("1")["state"] is State.DEAD)
        seen.append(run.get_job("1")["state"])
        yield 0

    seen: list[State] = []
    with MLQ.local(time.sleep, parallel=2) as run:
        states = [record["state"] for record in run.records(numbers(), timeout=0.2)]
    assert seen == [State.DEAD] and states == [State.DEAD, State.SUCCEEDED]


def test_a_function_that_cannot_travel_is_refused() -> None:
    lock = threading.Lock()
    with pytest.raises(Misuse, match="cannot travel"):
        MLQ.local(lambda msg: lock.locked(), parallel=2).post_many([1])


def test_an_executor_that_cannot_start_is_told() -> None:
    with pytest.raises(Misuse, match="RuntimeError: no model here"):
        run = MLQ.local("jobs:echo", setup="jobs:fail_to_load", parallel=2, paths=[str(JOBS)])
        run.wait(run.post(1))


JOBS = Path(__file__).parents[1] / "worker" / "importable"


@pytest.mark.minutes
@pytest.mark.parametrize("seed", range(3))
def test_results_are_all_there_and_in_order_when_executors_are_killed(seed: int) -> None:
    def job(msg: int, ctx: Any) -> Any:
        if msg % 10 == 0:
            time.sleep(0.01)
        return ctx.block_until_result(ctx.post(msg + 1_000_000)) if msg % 37 == 0 else msg

    chance, over = random.Random(seed), threading.Event()
    kills: list[int] = []
    profile = MLQ.from_profile(worker_backoff=0.001, worker_max_crashes=100).profile

    def kill() -> None:
        while not over.wait(0.3 + chance.random()):
            ready = [each.pid for each in list(run.runner._lane.executors.values()) if each.ready and each.pid]
            if ready:
                kills.append(chance.choice(ready))
                os.kill(kills[-1], signal.SIGKILL)

    with MLQ.local(job, parallel=2, profile=profile) as run:
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            results = list(run.results(range(1, 8001)))
        finally:
            over.set()
            killer.join()
        assert not run.failed
    assert results == [number + 1_000_000 if number % 37 == 0 else number for number in range(1, 8001)]
    assert len(kills) >= 3
