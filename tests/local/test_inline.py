"""What only a run in this process can do: a debugger, coverage, objects that are the caller's own."""

from __future__ import annotations

import asyncio
import bdb
import sys
import time
from functools import partial
from typing import Any

import pytest

from mlq_cli import MLQ, JobFailed, Misuse


def test_a_listener_runs_in_the_thread_that_waits_and_sees_what_the_caller_sees() -> None:
    seen: list[Any] = []
    with MLQ.local(seen.append) as run:
        run.post({"n": 1})
        run.post_call(partial(lambda value: seen.append(value), 2))
    assert seen == [{"n": 1}, 2]


def test_what_the_listener_raised_is_the_cause() -> None:
    raised = ValueError("no")

    def fail(msg: Any) -> Any:
        raise raised

    run = MLQ.local(fail)
    with pytest.raises(JobFailed) as failed:
        run.wait(run.post(1))
    assert failed.value.__cause__ is raised and failed.value.hint is None


@pytest.mark.parametrize("meant", [KeyboardInterrupt, bdb.BdbQuit])
def test_what_is_meant_for_the_caller_comes_through_and_the_job_waits_on(meant: type[BaseException]) -> None:
    ways = [meant(), None]

    def listener(msg: Any) -> str:
        if way := ways.pop(0):
            raise way
        return "done"

    run = MLQ.local(listener)
    job_id = run.post(1)
    with pytest.raises(meant):
        run.wait(job_id)
    assert run.get_progress(job_id) == "[queued; not started]" and run.wait(job_id) == "done"


def test_system_exit_is_a_failure_as_in_a_queue() -> None:
    run = MLQ.local(lambda msg: sys.exit(3))
    with pytest.raises(JobFailed, match="SystemExit: 3"):
        run.wait(run.post(1))


def test_async_functions_run_beside_the_event_loop_of_a_notebook() -> None:
    async def nap(msg: float) -> float:
        await asyncio.sleep(msg)
        return msg

    async def cell() -> list[float]:
        return list(MLQ.local(nap).results([0.01, 0.0]))

    assert asyncio.run(cell()) == [0.01, 0.0]


def test_a_job_that_takes_too_long_in_another_ones_wait_is_the_one_that_fails() -> None:
    def outer(msg: Any, ctx: Any) -> Any:
        return ctx.block_until_result(ctx.post(60, functions=["sleep"]))

    run = MLQ.local(outer, time.sleep)
    began = time.monotonic()
    with pytest.raises(JobFailed, match="JobTimeout"):
        run.wait(run.post(1, functions=["outer"], timeout=0.2))
    assert time.monotonic() - began < 10
    inner = run.get_job("2")
    assert (inner["state"], inner["failures"]) == ("queued", 0)
    run.cancel("2")


@pytest.mark.parametrize("parallel", [0, -1, 10_000, "two"])
def test_a_number_of_processes_that_makes_no_sense_is_refused(parallel: Any) -> None:
    with pytest.raises(Misuse, match="out of range"):
        MLQ.local(len, parallel=parallel)


def test_memory_stays_constant_however_many_messages_there_are() -> None:
    import tracemalloc

    run = MLQ.local(lambda msg: msg)
    run.post_many(b"x" * 1000 for _ in range(100))
    tracemalloc.start()
    try:
        for _ in run.results(b"x" * 10_000 for _ in range(3000)):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


def test_of_bulk_posts_only_the_newest_records_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlq_cli.local.book.KEPT", 10)
    run = MLQ.local(lambda msg: msg)
    alone = run.post("mine")
    ids = run.post_many(range(30))
    assert [record is None for record in run.get_jobs(ids)] == [True] * 20 + [False] * 10
    assert run.get_result(alone) == "mine"
