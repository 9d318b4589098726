"""Listening and reaping in the caller's own process, as the original's examples do it."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest

from mlq_cli import MLQ, JobFailed, State
from mlq_cli.model.rules import Rules
from tests_support import wait_until


def test_a_listener_in_this_process_runs_what_is_posted(mlq: MLQ) -> None:
    factor = 3

    def multiply(params: dict[str, Any], *args: Any) -> int:
        args[0]["update_progress"](50)
        assert args[0]["full_message"]["msg"] == params
        return params["arg1"] * factor  # a closure

    assert mlq.create_listener(multiply) is multiply
    assert mlq.wait(mlq.post({"arg1": 6}), 10) == 18
    assert [worker["executors"] for worker in mlq.workers()] == ["1"]
    mlq.shutdown()
    assert mlq.workers() == []


def test_every_listener_runs_in_order_and_the_last_ones_output_counts(mlq: MLQ) -> None:
    ran: list[str] = []

    def first(msg: Any) -> str:
        ran.append("first")
        return "first"

    def second(msg: Any) -> str:
        ran.append("second")
        return "second"

    mlq.create_listener(first)
    mlq.create_listener(second)
    assert mlq.wait(mlq.post(None), 10) == "second" and ran == ["first", "second"]
    assert mlq.remove_listener(second) and not mlq.remove_listener(second)
    assert mlq.wait(mlq.post(None), 10) == "first"


def test_an_async_listener_may_come_after_a_plain_one(mlq: MLQ) -> None:
    async def later(msg: Any) -> str:
        return f"later {msg}"

    mlq.create_listener(lambda msg: "plain")
    assert mlq.wait(mlq.post(1), 10) == "plain"
    mlq.create_listener(later)
    assert mlq.wait(mlq.post(1), 10) == "later 1"


def test_without_a_listener_left_jobs_are_left_alone(mlq: MLQ) -> None:
    def only(msg: Any) -> str:
        return "done"

    mlq.create_listener(only)
    assert mlq.wait(mlq.post(1), 10) == "done"
    assert mlq.remove_listener(only)
    waiting = mlq.post(2)
    assert mlq.workers() == [] and mlq.get_job(waiting)["state"] is State.QUEUED


def test_an_exception_in_a_listener_is_the_jobs_and_listening_goes_on(mlq: MLQ) -> None:
    def invert(msg: int) -> float:
        return 1 / msg

    mlq.create_listener(invert)
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        mlq.wait(mlq.post(0), 10)
    assert mlq.wait(mlq.post(2), 10) == 0.5


def test_shutdown_finishes_what_runs_and_leaves_the_rest(mlq: MLQ) -> None:
    began, go = threading.Event(), threading.Event()

    def slow(msg: Any) -> str:
        began.set()
        go.wait(10)
        return "finished"

    mlq.create_listener(slow)
    running = mlq.post(1)
    assert began.wait(10)
    waiting = mlq.post(2)
    stopping = threading.Thread(target=mlq.shutdown)
    stopping.start()
    go.set()
    stopping.join(10)
    assert not stopping.is_alive()
    assert mlq.get_result(running) == "finished" and mlq.get_job(waiting)["state"] is State.QUEUED


def test_listening_can_begin_again_after_a_shutdown(mlq: MLQ) -> None:
    for answer in ("one", "two"):
        mlq.create_listener(lambda msg, answer=answer: answer)
        assert mlq.wait(mlq.post(None), 10) == answer
        mlq.shutdown()


def test_a_reaper_in_this_process_gives_back_what_runs_too_long(mlq: MLQ) -> None:
    rules = Rules(lease=3600)
    job_id = mlq.post("x")
    mlq.store.ask(mlq.store.claim(["default"], 1, worker="gone", lane="gone", token=uuid4().hex, rules=rules))
    mlq.create_reaper(call_how_often=0.1, job_timeout=0.3, max_retries=5)
    wait_until(lambda: mlq.get_job(job_id)["state"] is State.QUEUED)
    assert mlq.get_job(job_id)["retries"] == 1
    mlq.shutdown()


def test_a_reaper_ends_a_job_that_was_given_back_too_often(mlq: MLQ) -> None:
    job_id = mlq.post("x")
    mlq.create_reaper(call_how_often=0.05, job_timeout=0.1, max_retries=1)
    for _ in range(2):
        wait_until(lambda: mlq.get_job(job_id)["state"] is State.QUEUED)
        call = mlq.store.claim(["default"], 1, worker="w", lane="w", token=uuid4().hex, rules=Rules())
        mlq.store.ask(call)
    wait_until(lambda: mlq.get_job(job_id)["state"] is State.DEAD)
    assert mlq.get_job(job_id)["error_type"] == "JobTimeout"
    mlq.shutdown()


@pytest.mark.parametrize("how", ["remove", "shutdown"])
def test_a_listener_that_ends_its_own_listening_does_not_wait_for_itself(mlq: MLQ, how: str) -> None:
    def once(msg: Any) -> str:
        if how == "remove":
            mlq.remove_listener(once)
        else:
            mlq.shutdown()
        return "once"

    mlq.create_listener(once)
    assert mlq.wait(mlq.post("x"), 10) == "once"
