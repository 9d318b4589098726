"""`@mlq.worker` and `MLQ.poll`: functions run for messages in one's own process."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, Misuse
from tests_support import wait_until

IMPORTABLE = Path(__file__).parent / "importable"


def state(mlq: MLQ, job_id: str) -> str:
    return str(mlq.get_job(job_id)["state"])


def boom(msg: Any) -> None:
    raise ValueError(f"no {msg}")


def nothing_left(tries: int) -> bool:
    return tries > 0


# --- @mlq.worker ---------------------------------------------------------------------------------------------------
def test_a_worker_runs_for_each_message_and_what_it_returns_is_the_result(mlq: MLQ) -> None:
    @mlq.worker(timeout=0)
    def square(number: int) -> int:
        """Square it."""
        return number * number

    ids = mlq.post_many([2, 3, 4])
    assert square() == 3 and [mlq.get_result(job_id) for job_id in ids] == [4, 9, 16]
    assert square.__name__ == "square" and square.__doc__ == "Square it."


def test_a_method_is_a_worker_too_and_gets_the_message_last(mlq: MLQ) -> None:
    class Adder:
        total = 0

        @mlq.worker(queue="numbers", timeout=0)
        def add(self, factor: int, number: int) -> int:
            self.total += factor * number
            return self.total

    ids = mlq.post_many([1, 2], queue="numbers")
    adder = Adder()
    assert adder.add(10) == 2 and adder.total == 30
    assert mlq.get_result(ids[1]) == 30


def test_a_worker_without_arguments_blocks_until_it_is_interrupted(mlq: MLQ) -> None:
    seen = []

    @mlq.worker
    def note(msg: Any) -> None:
        seen.append(msg)

    mlq.post("a")
    threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert note() == 1 and seen == ["a"]


def test_what_a_worker_raises_is_the_failure_of_the_attempt_and_ends_the_loop(mlq: MLQ) -> None:
    first, second, third = mlq.post("a"), mlq.post("b", retries=1), mlq.post("c")
    work = mlq.worker(timeout=0)(boom)
    for _ in range(2):
        with pytest.raises(ValueError, match="no "):
            work()
    record = mlq.get_job(first)
    assert (record["state"], record["error"], record["attempt"]) == ("dead", "ValueError: no a", 1)
    assert "boom" in str(record["traceback"])
    assert state(mlq, second) == "scheduled" and state(mlq, third) == "queued"


def test_a_worker_that_is_interrupted_gives_the_message_back(mlq: MLQ) -> None:
    job_id = mlq.post("a")

    @mlq.worker
    def interrupted(msg: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert state(mlq, job_id) == "queued" and mlq.get_job(job_id)["attempt"] == 0


def test_a_worker_may_want_the_context_be_async_or_a_generator(mlq: MLQ) -> None:
    def progress(msg: Any, ctx: Any) -> Any:
        ctx.update_progress(50)
        ctx.emit("part")
        return "short", ctx.id

    async def later(msg: Any) -> Any:
        return msg * 2

    def parts(msg: Any) -> Any:
        yield from msg

    results = []
    for function, msg in ((progress, 1), (later, 2), (parts, [3, 4])):
        job_id = mlq.post(msg)
        assert mlq.worker(timeout=0)(function)() == 1
        results.append(mlq.get_result(job_id))
    assert results == ["1", 4, [3, 4]]
    assert (
        mlq.get_job(1)["short_result"] == "short" and list(mlq.stream(1)) == ["part"] and list(mlq.stream(3)) == [3, 4]
    )


# --- poll ----------------------------------------------------------------------------------------------------------
def test_a_poll_runs_all_its_functions_and_returns_how_many_jobs_succeeded(mlq: MLQ) -> None:
    seen = []
    job_id = mlq.post(5)
    assert mlq.poll(seen.append, lambda msg: msg + 1, timeout=0) == 1
    assert seen == [5] and mlq.get_result(job_id) == 6


def test_a_poll_ends_exactly_when_its_stop_function_says_so(mlq: MLQ) -> None:
    mlq.post_many(range(100))
    seen = []
    assert mlq.poll(seen.append, stop_fn=lambda executed: executed >= 5) == 5
    assert seen == [0, 1, 2, 3, 4] and len(mlq) == 95


def test_a_stop_function_gets_what_it_asks_for_by_name(mlq: MLQ) -> None:
    told: list[dict[str, Any]] = []

    def stop(previous_execution_time: float, executed: int, tries: int, elapsed_time: float = 0.0) -> bool:
        told.append({"seconds": previous_execution_time, "executed": executed, "tries": tries, "elapsed": elapsed_time})
        return tries >= 2

    mlq.post("a")
    assert mlq.poll(lambda msg: time.sleep(0.05), stop_fn=stop) == 1
    assert [each["tries"] for each in told] == [0, 1, 2] and {each["executed"] for each in told} == {1}
    assert 0.04 < told[0]["seconds"] < 1.0 and 1.5 < told[2]["elapsed"] < 10.0

    with pytest.raises(Misuse, match="'something'"):
        mlq.poll(print, stop_fn=lambda something: True)
    with pytest.raises(Misuse, match="no function"):
        mlq.poll(print, stop_fn=True)  # type: ignore[arg-type]
    with pytest.raises(Misuse):
        mlq.poll()


def test_hooks_are_called_around_each_attempt(mlq: MLQ) -> None:
    said: list[Any] = []
    good, bad = mlq.post("good"), mlq.post("bad")

    def work(msg: Any) -> None:
        said.append(msg)
        if msg == "bad":
            raise ValueError(msg)

    def before(job: Any) -> None:
        said.append(f"before {job.full_message['msg']}")

    def after(job: Any, ended: Any) -> None:
        said.append((job.id, ended.ok, type(ended.error).__name__))

    with pytest.raises(ValueError, match="bad"):
        mlq.poll(work, before_fn=before, after_fn=after, timeout=0)
    assert said == ["before good", "good", (good, True, "NoneType"), "before bad", "bad", (bad, False, "ValueError")]
    said.clear()
    mlq.retry(bad)
    with pytest.raises(ValueError, match="bad"):
        mlq.poll(work, after_fn=lambda job: said.append("only after a success"), timeout=0)
    assert said == ["bad"]


def test_a_hook_before_that_raises_is_the_failure_and_one_after_changes_nothing(mlq: MLQ) -> None:
    first, second = mlq.post("a"), mlq.post("b")
    with pytest.raises(ValueError, match="no "):
        mlq.poll(print, before_fn=boom, timeout=0)
    with pytest.raises(ValueError, match="no "):
        mlq.poll(lambda msg: msg, after_fn=boom, timeout=0)
    assert state(mlq, first) == "dead" and mlq.get_result(second) == "b"


def test_errors_to_back_off_from_put_the_job_off_and_the_poll_goes_on(mlq: MLQ) -> None:
    job_id = mlq.post("a")
    tried: list[float] = []

    def at_third(msg: Any) -> str:
        tried.append(time.monotonic())
        if len(tried) < 3:
            raise ConnectionError("not yet")
        return "there"

    assert mlq.poll(at_third, backoff_exceptions=[ConnectionError], max_backoff_window=0.3, timeout=1.0) == 1
    record = mlq.get_job(job_id)
    assert len(tried) == 3 and (record["result"], record["attempt"], record["failures"]) == ("there", 1, 0)


def test_a_poll_that_has_looked_in_vain_for_long_still_puts_a_job_off(
    mlq: MLQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlq_cli.worker.polling.LOOK", 0.0)
    ids: list[str] = []
    raised: list[str] = []

    def stop(tries: int) -> bool:
        if tries > 1100 and not ids:
            ids.append(mlq.post("msg"))
        return bool(raised) and tries == 0

    def once(msg: str) -> str:
        if not raised:
            raised.append(msg)
            raise ConnectionError("not yet")
        return msg

    assert mlq.poll(once, stop_fn=stop, backoff_exceptions=[ConnectionError], max_backoff_window=0.01, timeout=30) == 1
    assert mlq.get_result(ids[0]) == "msg"


def test_ctrl_c_lets_a_poll_finish_its_job_and_twice_ends_it_now(mlq: MLQ) -> None:
    once, twice = mlq.post(1), mlq.post(2)

    def interrupted(times: int) -> None:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    assert mlq.poll(interrupted) == 1
    with pytest.raises(KeyboardInterrupt):
        mlq.poll(interrupted)
    assert state(mlq, once) == "succeeded" and state(mlq, twice) == "queued"
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_ends_a_poll_that_waits(mlq: MLQ) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert mlq.poll(print) == 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_poll_in_another_thread_leaves_signals_alone(mlq: MLQ) -> None:
    mlq.post("a")
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: mlq.poll(seen.append, stop_fn=nothing_left))
    thread.start()
    wait_until(lambda: seen == ["a"])
    thread.join()


def test_a_job_for_another_function_is_not_run_by_this_one(mlq: MLQ) -> None:
    job_id = mlq.post("a", functions=["another"])
    assert mlq.poll(boom, timeout=0) == 0
    assert state(mlq, job_id) in ("scheduled", "queued")


# --- calls ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(IMPORTABLE))
    return importlib.import_module("consuming")


def test_a_poll_calls_what_was_posted_as_a_call(mlq: MLQ, module: Any) -> None:
    ids = mlq.post_many(partial(module.add, number, right=2, more=10) for number in range(3))
    named = mlq.post(partial(module.named, word="job"))
    assert mlq.poll(module.add, module.named, timeout=0) == 4
    assert [mlq.get_result(job_id) for job_id in ids] == [12, 13, 14] and mlq.get_result(named) == f"job {named}"


def test_a_poll_calls_functions_of_the_modules_that_it_is_told(mlq: MLQ, module: Any) -> None:
    job_id = mlq.post(partial(module.add, 1, 2))
    assert mlq.poll(calls=["consuming"], timeout=0) == 1 and mlq.get_result(job_id) == 3


def test_a_loop_gets_a_call_as_it_is(mlq: MLQ, module: Any) -> None:
    mlq.post(partial(module.add, 1, right=2))
    (call,) = mlq.consume(timeout=0)
    assert (call.path, list(call.args), call.kwargs) == ("consuming:add", [1], {"right": 2})


def test_a_poll_leaves_to_others_what_only_they_can_run(mlq: MLQ, module: Any) -> None:
    with_listener = mlq.poll
    other = threading.Thread(target=lambda: with_listener(module.add, stop_fn=lambda executed: executed > 0))
    other.start()
    wait_until(mlq.workers)
    mlq.pause()
    call, plain = mlq.post(partial(module.add, 1, 2)), mlq.post("plain", functions=["note"])

    def note(msg: Any) -> str:
        return f"noted {msg}"

    mlq.resume()
    assert mlq.poll(note, stop_fn=lambda executed: executed > 0) == 1
    other.join()
    assert (mlq.get_result(call), mlq.get_result(plain)) == (3, "noted plain")
    assert mlq.get_job(call)["attempt"] == mlq.get_job(plain)["attempt"] == 1


def test_jobs_of_a_poll_reach_their_namespace(mlq: MLQ) -> None:
    def work(msg: Any, ctx: Any) -> Any:
        if msg == "child":
            return "of the child"
        return {"child": ctx.post("child"), "kept": ctx.fetch_data(ctx.store_data("kept"))}

    job_id = mlq.post("parent")
    assert mlq.poll(work, stop_fn=lambda executed: executed == 2) == 2
    result = mlq.get_result(job_id)
    assert result["kept"] == "kept" and mlq.get_result(result["child"]) == "of the child"
