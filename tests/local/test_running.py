"""Jobs without a server: what listeners get, may do, and what becomes of them is the same as in a queue."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy
import pytest

from mlq_cli import MLQ, JobCanceled, JobFailed, JobNotFound, Misuse, WaitTimeout
from mlq_cli.local.local import Local
from mlq_cli.model.errors import DataNotFound, NotCarried, TooLarge, WrongCall, WrongState
from mlq_cli.model.job import State
from mlq_cli.worker.asking import error_of, told

Start = Callable[..., Local]


def double(msg: Any) -> Any:
    return msg * 2


def fail(msg: Any) -> Any:
    raise ValueError(f"no such image: {msg}")


def with_everything(msg: Any, ctx: Any) -> Any:
    ctx.update_progress(50)
    ctx["update_progress"]({"done": 60})
    ctx.emit("part")
    return "short", {"msg": msg, "attempt": ctx.attempt, "record": sorted(ctx["full_message"])}


def add(a: Any, b: Any = 1) -> Any:
    return a + b


# --- what comes out ------------------------------------------------------------------------------------------------
def test_a_message_goes_in_and_its_result_comes_out(local: Start) -> None:
    run = local(double)
    job_id = run.post(21)
    assert run.get_progress(job_id) == "[queued; not started]" and run.get_result(job_id) is None
    assert run.wait(job_id) == 42 and run.get_progress(job_id) == "[completed]"


def test_what_was_posted_has_run_at_the_end_of_the_block(local: Start) -> None:
    with local(double) as run:
        ids = [run.post(number) for number in range(5)]
        assert run.job_count() == 5
    assert [run.get_result(job_id) for job_id in ids] == [0, 2, 4, 6, 8] and run.job_count() == 0


def test_a_path_names_a_listener_too(local: Start) -> None:
    run = local("jobs:multiply")
    assert run.wait(run.post({"arg1": 6, "arg2": 7})) == 42


def test_the_record_is_the_one_of_a_queue(local: Start, mlq: MLQ) -> None:
    options: dict[str, Any] = {"priority": 3, "retries": 2, "timeout": 30.0, "functions": ["with_everything"]}
    mlq.create_listener(with_everything)
    job_id = mlq.post({"n": 1}, **options)
    mlq.wait(job_id, timeout=20)
    there = dict(mlq.get_job(job_id))
    run = local(with_everything)
    here_id = run.post({"n": 1}, **options)
    run.wait(here_id)
    here = dict(run.get_job(here_id))
    assert list(here) == list(there)
    theirs = {"id", "timestamp", "worker", "processing_started", "processing_finished"}
    assert {k: v for k, v in here.items() if k not in theirs} == {k: v for k, v in there.items() if k not in theirs}
    assert 0 < here["timestamp"] <= here["processing_started"] <= here["processing_finished"] <= time.time()


def test_a_failure_is_told_in_the_words_of_a_queue(local: Start, mlq: MLQ) -> None:
    mlq.create_listener(fail)
    told: list[tuple[str, str, str | None]] = []
    run = local(fail)
    for each in (mlq, run):
        with pytest.raises(JobFailed) as failed:
            each.wait(each.post("cat.png"), timeout=20)
        told.append((str(failed.value), failed.value.error, failed.value.traceback))
    assert told[0] == told[1] == ("job 1 failed: ValueError: no such image: cat.png", *told[1][1:])
    assert told[1][2] is not None and "raise ValueError" in told[1][2] and "mlq_cli" not in told[1][2]
    ((record,),) = [run.failed]
    assert record["state"] is State.DEAD and record["progress"] == -1 and record["failures"] == 1
    assert record["result"] == "no such image: cat.png" and run.get_progress(record["id"]) == "[failed]"


def test_what_no_message_can_hold_is_refused_at_once_and_what_no_result_can_fails_the_job(local: Start) -> None:
    run = local(lambda msg: object())
    with pytest.raises(NotCarried):
        run.post(object())
    with pytest.raises(JobFailed, match="a value of type object cannot be carried"):
        run.wait(run.post(1))


def test_messages_and_results_go_through_unchanged(local: Start) -> None:
    run = local(lambda msg: msg)
    array = numpy.arange(6.0).reshape(2, 3)
    values = [None, b"\0\xff", 2**200, dt.datetime(2024, 2, 29, tzinfo=dt.UTC), {"a": [1, {"b": "ü"}]}, "x" * 100_000]
    assert list(run.results(values)) == values
    assert (run.wait(run.post(array)) == array).all()


def test_a_message_over_the_limit_is_refused(local: Start) -> None:
    profile = MLQ.from_profile(limits_message=1000).profile
    with pytest.raises(TooLarge):
        local(double, profile=profile).post("x" * 1001)


# --- listeners -----------------------------------------------------------------------------------------------------
def test_progress_parts_and_short_results_are_kept(local: Start) -> None:
    run = local(with_everything)
    job_id = run.post(1)
    assert list(run.stream(job_id)) == ["part"]
    assert run.get_job(job_id)["short_result"] == "short" and run.get_result(job_id)["attempt"] == 1


def test_a_generator_gives_parts_out_and_their_list_is_its_result(local: Start) -> None:
    def count(msg: int) -> Iterator[int]:
        yield from range(msg)

    run = local(count)
    job_id = run.post(3)
    assert list(run.stream(job_id)) == [0, 1, 2] and run.get_result(job_id) == [0, 1, 2]


def test_async_listeners_run(local: Start) -> None:
    run = local("jobs:nap")
    assert list(run.results([0.01, 0.02, 0.0])) == [0.01, 0.02, 0.0]


def test_all_listeners_run_in_order_and_functions_picks_by_name(local: Start) -> None:
    run = local("jobs:first", "jobs:second")
    assert run.wait(run.post(1)) == "second"
    assert run.wait(run.post(1, functions=["first"])) == "first"
    with pytest.raises(JobFailed, match=r"UnknownFunction.*third"):
        run.wait(run.post(1, functions=["third"]))


def test_listeners_may_be_added_and_removed_between_jobs(local: Start) -> None:
    run = local(double)
    assert run.wait(run.post(1)) == 2
    run.create_listener(add)
    assert run.wait(run.post(1)) == 2 and run.wait(run.post(5)) == 6
    assert run.remove_listener(add) and not run.remove_listener(fail)
    assert run.wait(run.post(5)) == 10


def test_lambdas_and_closures_run_too(local: Start) -> None:
    factor = 7
    run = local(lambda msg: msg * factor)
    assert run.wait(run.post(6)) == 42


def test_setup_is_called_before_the_first_job(local: Start) -> None:
    run = local("jobs:loads", setup="jobs:load")
    assert len(run.wait(run.post(1))) == 1 and len(run.wait(run.post(1))) == 1


def test_a_function_that_can_be_no_listener_is_refused_at_once(local: Start) -> None:
    with pytest.raises(Misuse, match="takes no message"):
        local(lambda: 1)
    with pytest.raises(Misuse, match="runs calls only"):
        local().post(1)


def test_a_path_that_leads_nowhere_is_told(local: Start) -> None:
    with pytest.raises(Misuse, match="no module 'nowhere'"):
        run = local("nowhere:function")
        run.wait(run.post(1))


# --- calls ---------------------------------------------------------------------------------------------------------
def test_a_partial_is_a_call(local: Start) -> None:
    run = local()
    ids = run.post_many(partial(add, number, b=2) for number in range(4))
    assert [run.get_result(job_id) for job_id in ids] == [2, 3, 4, 5]
    assert list(run.results([partial(add, numpy.arange(2)), partial(divmod, 7, 2)]))[1] == [3, 1]
    with pytest.raises(WrongCall, match="does not fit"):
        run.post_call(partial(add, 1, 2, 3))


def test_a_call_of_what_nobody_could_import_runs_here(local: Start) -> None:
    offset = 5
    run = local(double)
    assert run.wait(run.post_call(partial(lambda value, ctx: [value + offset, ctx.attempt], 1))) == [6, 1]
    assert run.wait(run.post(4)) == 8


# --- ways to go wrong ----------------------------------------------------------------------------------------------
def test_a_listener_that_raises_is_run_again_as_often_as_was_said(local: Start, tmp_path: Any) -> None:
    counted = tmp_path / "counted"

    def flaky(msg: Any, ctx: Any) -> Any:
        with counted.open("a") as file:
            file.write(f"{ctx.attempt}\n")
        if ctx.attempt < 3:
            raise OSError("not yet")
        return ctx.attempt

    run = local(flaky, profile=MLQ.from_profile(worker_backoff=0.01).profile)
    job_id = run.post(1, retries=2)
    assert run.wait(job_id) == 3 and counted.read_text() == "1\n2\n3\n"
    record = run.get_job(job_id)
    assert (record["attempt"], record["failures"], record["error"]) == (3, 2, None)
    with pytest.raises(JobFailed):
        run.wait(run.post(1, retries=1))


def test_an_attempt_that_takes_too_long_is_ended(local: Start) -> None:
    run = local("jobs:sleep")
    job_id = run.post(60, timeout=0.3)
    began = time.monotonic()
    with pytest.raises(JobFailed, match=r"JobTimeout: it ran longer than its timeout of 0.3 s"):
        run.wait(job_id)
    assert time.monotonic() - began < 30 and run.wait(run.post(0)) == 0


def test_a_wait_may_be_shorter_than_what_it_waits_for(local: Start) -> None:
    run = local(double)
    job_id = run.post(1, delay=60)
    with pytest.raises(WaitTimeout):
        run.wait(job_id, timeout=0.05)
    assert run.get_job(job_id)["state"] is State.SCHEDULED
    run.cancel(job_id)
    with pytest.raises(JobCanceled):
        run.wait(job_id)
    with pytest.raises(WrongState):
        run.cancel(job_id)
    with pytest.raises(JobNotFound):
        run.get_job("77")


def test_a_delay_is_waited_for_and_a_priority_comes_first(local: Start, tmp_path: Any) -> None:
    order = tmp_path / "order"

    def note(msg: str) -> None:
        with order.open("a") as file:
            file.write(msg)

    run = local(note)
    run.wait(run.post(" "))  # so that the executors are there
    began = time.monotonic()
    run.post("z", delay=0.3)
    if "inline" in os.environ["PYTEST_CURRENT_TEST"]:  # two processes begin two at once
        run.post("b")
        run.post("a", priority=1)
    run.run()
    assert time.monotonic() - began >= 0.3
    assert order.read_text() in (" abz", " z")


def test_a_local_run_calls_no_url(local: Start) -> None:
    with pytest.raises(Misuse, match="calls no URL"):
        local(double).post(1, callback="http://localhost/done")
    with pytest.raises(Misuse, match="knows no 'tag'"):
        local(double).post(1, tag="x")


# --- jobs that talk to each other ----------------------------------------------------------------------------------
def test_a_job_that_waits_for_others_ten_deep_finishes(local: Start) -> None:
    def descend(msg: int, ctx: Any) -> int:
        return 0 if msg == 0 else 1 + ctx.block_until_result(ctx.post(msg - 1))

    run = local(descend)
    assert run.wait(run.post(10)) == 10


def test_a_job_that_waits_for_itself_is_refused(local: Start) -> None:
    def wait_for(msg: Any, ctx: Any) -> Any:
        if msg == "itself":
            return ctx.block_until_result(ctx.id)
        if isinstance(msg, dict):
            return ctx.block_until_result(msg["other"])
        return ctx.block_until_result(ctx.post({"other": ctx.id}))

    run = local(wait_for)
    with pytest.raises(JobFailed, match="Refused: job 1 may not wait for job 1: a job cannot wait for itself"):
        run.wait(run.post("itself"))
    with pytest.raises(JobFailed, match=r"it would wait for itself: (3 → 2 → 3|2 → 3 → 2)"):
        run.wait(run.post("the other"))


def test_a_job_hears_of_the_failure_of_the_one_it_waits_for(local: Start) -> None:
    def parent(msg: Any, ctx: Any) -> Any:
        try:
            ctx.block_until_result(ctx.post(1, functions=["fail"]))
        except JobFailed as error:
            return [error.job_id, error.error, "raise ValueError" in (error.traceback or "")]

    run = local(parent, fail)
    job_id = run.post(0, functions=["parent"])
    assert run.wait(job_id) == ["2", "ValueError: no such image: 1", True]


def test_jobs_leave_values_for_each_other(local: Start) -> None:
    def keep(msg: Any, ctx: Any) -> Any:
        if isinstance(msg, str):
            return ctx.fetch_data(msg)
        return ctx.store_data({"n": msg}, key="n", expiry=60)

    run = local(keep)
    assert run.wait(run.post(1)) == "n" and run.wait(run.post("n")) == {"n": 1} and run.fetch_data("n") == {"n": 1}
    with pytest.raises(JobFailed, match="DataNotFound"):
        run.wait(run.post("nothing"))
    run.store_data(5, key="brief", expiry=0.01)
    time.sleep(0.02)
    with pytest.raises(DataNotFound):
        run.fetch_data("brief")


def test_what_a_job_posts_has_run_at_the_end(local: Start) -> None:
    def grow(msg: int, ctx: Any) -> int:
        if msg < 3:
            ctx.post(msg + 1)
        return msg

    with local(grow) as run:
        run.post(0)
    assert sorted(record["result"] for record in run.list_jobs()) == [0, 1, 2, 3]


def test_a_job_that_posts_itself_without_end_is_stopped(local: Start) -> None:
    def again(msg: int, ctx: Any) -> None:
        ctx.post(msg + 1)

    run = local(again, profile=MLQ.from_profile(limits_chain=5).profile)
    run.post(0)
    assert run.run() == 6
    assert [record["error_type"] for record in run.failed] == ["Refused"]


# --- many ----------------------------------------------------------------------------------------------------------
def test_results_come_in_order(local: Start) -> None:
    run = local(lambda msg: time.sleep(0.02 if msg % 7 == 0 else 0) or msg)
    assert list(run.results(range(60))) == list(range(60))


def test_a_generator_is_drawn_only_as_far_as_results_are_taken(local: Start) -> None:
    drawn = []

    def numbers() -> Iterator[int]:
        for number in range(1_000_000):
            drawn.append(number)
            yield number

    run = local(double)
    results = run.results(numbers())
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(drawn) < 2000
    results.close()  # type: ignore[attr-defined]
    assert run.run() == 0  # nothing of it is left


def test_the_first_failure_of_many_is_raised_in_its_place(local: Start) -> None:
    run = local(lambda msg: 1 / (msg - 3))
    taken = []
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        for result in run.results(range(10)):
            taken.append(result)
    assert len(taken) == 3
    states = [record["state"] for record in local(lambda msg: 1 / (msg - 3)).records(range(5))]
    assert states.count(State.DEAD) == 1 and states[3] is State.DEAD


def test_what_a_generator_raises_comes_up_when_those_before_it_have_run(local: Start) -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)
        raise RuntimeError("no more numbers")

    results = []
    with pytest.raises(RuntimeError, match="no more numbers"):
        for result in local(double).results(numbers()):
            results.append(result)
    assert results == [0, 2, 4]


def test_of_a_bulk_post_progress_is_told_and_ids_are_returned(local: Start) -> None:
    run, told = local(double), []
    ids = run.post_many((number for number in range(50)), total=50, progress=told.append)
    assert told == list(range(1, 51)) and list(ids) == [str(number) for number in range(1, 51)]
    assert run.get_result(ids[49]) == 98 and [record["id"] for record in run.failed] == []


def test_every_error_of_ours_arrives_as_itself_from_the_process_that_answers() -> None:
    made = [
        JobFailed("7", "ValueError: no", "Traceback: there"), JobCanceled("7"), JobNotFound("7"), DataNotFound("k"),
        WaitTimeout("too late"), Misuse("odd", hint="this way"), WrongState("7", "dead", wanted="waiting"),
    ]  # fmt: skip
    for error in made:
        arrived = error_of(*told(error))
        assert (arrived.message, arrived.hint) == (error.message, error.hint)
        assert type(arrived) is type(error) or isinstance(error, WrongState)
    failed = error_of(*told(made[0]))
    assert isinstance(failed, JobFailed) and (failed.job_id, failed.traceback) == ("7", "Traceback: there")
