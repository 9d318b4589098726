"""What a worker does with jobs that misbehave, and when it is stopped or killed itself."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, JobFailed, State
from mlq_cli.worker.child import ALONE_SECONDS
from tests_support import Server, alive, wait_until


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("segfault", "SIGSEGV"),
        ("exit 0", "exited with code 0 and without an outcome"),
        ("exit 3", "exited with code 3"),
        ("abort", "SIGABRT"),
        ("kill", "SIGKILL"),
    ],
)
def test_a_crash_is_told_from_an_exception_and_the_next_job_runs_within_a_second(
    mlq: MLQ, start_worker: Any, how: str, what: str
) -> None:
    worker = start_worker("jobs:misbehave")
    assert mlq.wait(mlq.post("fine"), 20) == "fine"
    crashing, fine = mlq.post(how), mlq.post("fine")
    mlq.wait_ended(crashing, 20)
    began = time.monotonic()
    assert mlq.wait(fine, 20) == "fine" and mlq.wait(mlq.post("fine"), 20) == "fine"
    assert time.monotonic() - began < 1
    record = mlq.get_job(crashing)
    assert (record["state"], record["error_type"], record["crashes"], record["attempt"]) == (
        State.DEAD,
        "ExecutorCrash",
        3,
        3,
    )
    assert what in str(record["error"])
    assert worker.poll() is None


def test_a_job_that_closes_all_descriptors_has_ended_all_the_same(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:misbehave")
    assert mlq.wait(mlq.post("close all"), 20) == "fine", (
        "its outcome is on the board, whatever becomes of the executor"
    )
    assert mlq.wait(mlq.post("fine"), 20) == "fine"
    assert worker.poll() is None


@pytest.mark.parametrize(
    ("how", "kind", "what"),
    [
        ("raise", "ValueError", "a bad image"),
        ("sys.exit", "SystemExit", "1"),
        ("interrupt", "KeyboardInterrupt", ""),
        ("unspeakable", "Unspeakable", "cannot be shown"),
        ("lambda", "NotCarried", "type function"),
        ("endless", "NotCarried", "nested too deeply"),
        ("surrogate", "NotCarried", "not valid Unicode"),
        ("large", "TooLarge", "over the limit"),
    ],
)
def test_an_exception_ends_the_attempt_and_not_the_executor(
    mlq: MLQ, start_worker: Any, how: str, kind: str, what: str
) -> None:
    start_worker("jobs:misbehave")
    job_id = mlq.post(how)
    with pytest.raises(JobFailed):
        mlq.wait(job_id, 20)
    record = mlq.get_job(job_id)
    assert (record["error_type"], record["crashes"], record["attempt"]) == (kind, 0, 1)
    assert what in str(record["error"])
    assert mlq.wait(mlq.post("fine"), 20) == "fine"


def test_the_traceback_begins_with_the_users_code(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:misbehave")
    job_id = mlq.post("raise")
    mlq.wait_ended(job_id, 20)
    trace = str(mlq.get_job(job_id)["traceback"])
    assert 'raise ValueError("a bad image' in trace and "child.py" not in trace


@pytest.mark.parametrize("how", [{"seconds": 60}, "hold the lock"])
def test_a_job_over_its_timeout_is_killed_even_if_it_holds_the_interpreter(
    mlq: MLQ, start_worker: Any, tmp_path: Path, how: Any
) -> None:
    function = "jobs:misbehave" if isinstance(how, str) else "jobs:touch_then_sleep"
    start_worker(function)
    message = how if isinstance(how, str) else {"file": str(tmp_path / "ran"), **how}
    job_id = mlq.post(message, timeout=0.5)
    mlq.wait_ended(job_id, 20)
    record = mlq.get_job(job_id)
    assert (record["state"], record["error_type"], record["crashes"]) == (State.DEAD, "JobTimeout", 0)
    ran = (record["processing_finished"] or 0) - (record["processing_started"] or 0)
    assert 0.5 <= ran < 1.5


def test_the_workers_timeout_holds_for_jobs_that_say_none(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:sleep", timeout=0.3)
    slow, own = mlq.post(30), mlq.post(0.6, timeout=5)
    mlq.wait_ended(slow, 20)
    assert mlq.get_job(slow)["error_type"] == "JobTimeout"
    assert mlq.wait(own, 20) == 0.6


def test_retries_run_a_job_again_until_it_succeeds(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    start_worker("jobs:flaky")
    job_id = mlq.post({"file": str(tmp_path / "runs"), "failures": 2}, retries=5)
    assert mlq.wait(job_id, 20) == 2
    record = mlq.get_job(job_id)
    assert (record["attempt"], record["failures"], record["error"]) == (3, 2, None)


def test_a_running_job_that_is_canceled_is_stopped(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    start_worker("jobs:touch_then_sleep", lease=3.0)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 60})
    pid = int(wait_until(lambda: (tmp_path / "ran").read_text()))
    mlq.cancel(job_id)
    wait_until(lambda: not alive(pid))
    assert mlq.get_job(job_id)["state"] is State.CANCELED


@pytest.mark.parametrize("executors", [1, 2])
def test_no_claimed_job_waits_behind_a_long_one_that_holds_the_interpreter(
    mlq: MLQ, start_worker: Any, executors: int
) -> None:
    """One in a hundred takes 200 ms; those claimed with it go to another executor, or back to Redis."""
    start_worker("jobs:begun_at", executors=executors)
    mlq.wait(mlq.post({"long": False}), 20)
    ids = mlq.post_many({"long": i % 100 == 50} for i in range(1000))
    mlq.wait(ids[-1], 60)
    for job_id in ids:
        mlq.wait(job_id, 60)
    waits = [record["result"] - record["processing_started"] for record in mlq.get_jobs(ids) if record]
    assert len(waits) == 1000 and max(waits) < 0.1, f"a job began {max(waits):.3f} s after it was claimed"
    assert mlq.get_job(ids[60])["attempt"] == 1, "giving back spends no attempt"


# --- the worker itself ----------------------------------------------------------------------------------------------
def test_one_signal_lets_the_running_job_finish_and_gives_the_others_back(
    mlq: MLQ, start_worker: Any, tmp_path: Path
) -> None:
    worker = start_worker("jobs:touch_then_sleep")
    running = mlq.post({"file": str(tmp_path / "ran"), "seconds": 1})
    wait_until((tmp_path / "ran").exists)
    waiting = mlq.post({"file": str(tmp_path / "other"), "seconds": 1})
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert mlq.get_result(running) == "slept"
    assert mlq.get_job(waiting)["state"] is State.QUEUED and mlq.get_job(waiting)["attempt"] == 0
    assert mlq.workers() == []


def test_a_second_signal_stops_at_once_and_gives_the_job_back_unspent(
    mlq: MLQ, start_worker: Any, tmp_path: Path
) -> None:
    worker = start_worker("jobs:touch_then_sleep", grace=60.0)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 60})
    pid = int(wait_until(lambda: (tmp_path / "ran").read_text()))
    worker.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in worker.log())
    began = time.monotonic()
    worker.send_signal(signal.SIGINT)
    assert worker.wait(10) == 0 and time.monotonic() - began < 1
    assert not alive(pid)
    assert (mlq.get_job(job_id)["state"], mlq.get_job(job_id)["attempt"]) == (State.QUEUED, 0)


def test_signals_that_come_until_the_very_end_make_no_failure_of_a_clean_stop(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:echo")
    assert mlq.wait(mlq.post(1), 20) == 1
    while worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
        time.sleep(0.001)  # not to wait for something, but to send no more than a thousand a second
    assert worker.returncode == 0


def test_a_job_that_outlasts_the_grace_is_given_back(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    worker = start_worker("jobs:touch_then_sleep", grace=0.3)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 60})
    wait_until((tmp_path / "ran").exists)
    worker.terminate()
    assert worker.wait(10) == 0
    assert (mlq.get_job(job_id)["state"], mlq.get_job(job_id)["attempt"]) == (State.QUEUED, 0)


def test_the_job_of_a_killed_worker_runs_again_and_its_executor_dies_with_it(
    mlq: MLQ, start_worker: Any, tmp_path: Path
) -> None:
    first = start_worker("jobs:touch_then_sleep", lease=1.5)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 1})
    pid = int(wait_until(lambda: (tmp_path / "ran").read_text()))
    start_worker("jobs:touch_then_sleep", lease=1.5)
    first.kill()
    wait_until(lambda: not alive(pid), seconds=1)
    assert mlq.wait(job_id, 20) == "slept"
    record = mlq.get_job(job_id)
    assert (record["retries"], record["attempt"]) == (1, 2)
    assert len((tmp_path / "ran").read_text().splitlines()) == 2


@pytest.mark.minutes
def test_a_worker_that_was_stopped_past_its_lease_has_its_outcome_refused(
    mlq: MLQ, start_worker: Any, tmp_path: Path
) -> None:
    zombie = start_worker("jobs:touch_then_sleep", lease=1.0)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 2.5})
    wait_until((tmp_path / "ran").exists)
    zombie.send_signal(signal.SIGSTOP)
    start_worker("jobs:touch_then_sleep", lease=1.0)
    wait_until(lambda: len((tmp_path / "ran").read_text().splitlines()) == 2)
    zombie.send_signal(signal.SIGCONT)
    assert mlq.wait(job_id, 20) == "slept"
    record = mlq.get_job(job_id)
    assert record["worker"] != "" and record["attempt"] == 2
    assert mlq.counts()[0].stats["succeeded"] == 1


def test_a_burst_ends_only_when_the_queues_are_empty(mlq: MLQ, start_worker: Any) -> None:
    ids = [mlq.post(0), mlq.post(0), mlq.post(0), mlq.post(60, timeout=0.5), mlq.post(0)]
    assert start_worker("jobs:sleep", burst=True).wait(20) == 0
    assert mlq.states(ids) == [State.SUCCEEDED] * 3 + [State.DEAD, State.SUCCEEDED]


def test_a_burst_delivers_the_callbacks_of_its_jobs(mlq: MLQ, start_worker: Any) -> None:
    mlq.post("x", callback="http://127.0.0.1:1/")
    assert start_worker("jobs:echo", burst=True).wait(20) == 0
    assert mlq.list_jobs(queue="_callbacks")[0]["attempt"] == 1


def test_a_burst_waits_for_a_long_job_without_asking_redis_all_the_time(mlq: MLQ, start_worker: Any) -> None:
    mlq.post(1.5)
    before = int(mlq.store.server().details["total_commands_processed"])
    assert start_worker("jobs:sleep", burst=True, executors=2).wait(20) == 0
    commands = int(mlq.store.server().details["total_commands_processed"]) - before
    assert commands < 500, "a busy loop makes tens of thousands"


@pytest.mark.minutes
def test_a_burst_takes_up_what_a_killed_worker_left(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    first = start_worker("jobs:touch_then_sleep", lease=1.0)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 0.2})
    other = mlq.post({"file": str(tmp_path / "first"), "seconds": 60})
    wait_until((tmp_path / "first").exists)
    first.kill()
    first.wait()
    mlq.cancel(other)
    again = mlq.post({"file": str(tmp_path / "again"), "seconds": 60})
    second = start_worker("jobs:touch_then_sleep", lease=1.0)
    wait_until((tmp_path / "again").exists)
    second.kill()
    second.wait()
    wait_until(lambda: (mlq.get_job(again)["lease_until"] or 0) < time.time() - 1)
    burst = start_worker("jobs:touch_then_sleep", lease=1.0, burst=True, timeout=0.5)
    assert burst.wait(20) == 0
    assert mlq.get_job(again)["error_type"] == "JobTimeout", "it ran once more"
    assert mlq.get_result(job_id) == "slept"


def test_a_job_released_by_an_operator_may_be_run_again_by_the_same_worker(
    mlq: MLQ, start_worker: Any, tmp_path: Path
) -> None:
    start_worker("jobs:touch_then_sleep", executors=2, lease=3.0)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 1.5})
    first = int(wait_until(lambda: (tmp_path / "ran").read_text()))
    assert mlq.release() == 1
    assert mlq.wait(job_id, 20) == "slept"
    record = mlq.get_job(job_id)
    assert (record["retries"], record["attempt"]) == (0, 1), "it did not have to wait for a lease to end"
    assert not alive(first) or len((tmp_path / "ran").read_text().splitlines()) == 2


@pytest.mark.minutes
def test_an_executor_that_does_not_end_is_ended(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:leave_a_thread", max_jobs=1)
    first, second = mlq.post(None), mlq.post(None)
    assert mlq.wait(first, 20) != mlq.wait(second, 20)


@pytest.mark.parametrize("crash", [True, False], ids=["the executor crashes", "the worker is killed"])
def test_what_a_job_has_started_ends_with_its_executor(
    mlq: MLQ, start_worker: Any, tmp_path: Path, crash: bool
) -> None:
    worker = start_worker("jobs:leave_a_process")
    mlq.post({"file": str(tmp_path / "pid"), "crash": crash})
    pid = int(wait_until(lambda: (tmp_path / "pid").read_text()))
    if not crash:
        worker.kill()
    wait_until(lambda: not alive(pid), seconds=2)


def test_an_executor_whose_guard_was_killed_is_replaced(mlq: MLQ, start_worker: Any) -> None:
    """Without it the executor would outlive a worker that is killed."""
    worker = start_worker("jobs:pid")
    first = mlq.wait(mlq.post(None), 20)
    os.kill(guard_of(first), signal.SIGKILL)
    wait_until(lambda: "guard of an executor was killed" in worker.log(), seconds=15)
    wait_until(lambda: not alive(first))
    assert mlq.wait(mlq.post(None), 20) != first and worker.poll() is None


@pytest.mark.parametrize("function", ["jobs:pid", pytest.param("jobs:pid_async", marks=pytest.mark.minutes)])
def test_an_executor_ends_also_when_its_worker_and_its_guard_are_killed_at_once(
    mlq: MLQ, start_worker: Any, function: str
) -> None:
    worker = start_worker(function)
    executor = mlq.wait(mlq.post(None), 20)
    os.kill(guard_of(executor), signal.SIGKILL)
    worker.kill()
    wait_until(lambda: not alive(executor), seconds=4 * ALONE_SECONDS)


def test_a_job_may_wait_for_all_its_children(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:wait_for_children")
    assert str(mlq.wait(mlq.post(None), 10)).startswith("none is left")


@pytest.mark.minutes
def test_replaced_executors_leave_neither_descriptors_nor_processes(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:pid", max_jobs=1)
    mlq.wait(mlq.post(None), 20)

    def held() -> int:
        return len(os.listdir(f"/proc/{worker.pid}/fd"))

    before = held()
    for job_id in mlq.post_many(range(20)):
        mlq.wait(job_id, 20)
    wait_until(lambda: held() <= before + 2)


@pytest.mark.minutes
def test_an_async_executor_that_is_to_be_replaced_gets_no_more_jobs(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:nap", max_jobs=2)
    ids = [mlq.post(2.0), *mlq.post_many([0.01] * 10)]
    began = time.monotonic()
    for job_id in ids[1:]:
        mlq.wait(job_id, 20)
    assert mlq.wait(ids[0], 20) == 2.0 and mlq.get_job(ids[0])["attempt"] == 1
    assert time.monotonic() - began < 10


def test_one_async_executor_takes_a_second_job_while_it_runs_a_first(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:nap")
    assert mlq.wait(mlq.post(0), 20) == 0
    long = mlq.post(1.5)
    wait_until(lambda: mlq.get_job(long)["state"] is State.RUNNING)
    began = time.monotonic()
    assert mlq.wait(mlq.post(0.01), 20) == 0.01
    assert time.monotonic() - began < 1
    stats = mlq.counts()[0].stats
    assert stats["claimed"] == 3 and "released" not in stats


def test_all_async_jobs_over_their_timeout_end_together(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:hang", timeout=0.5)
    ids = mlq.post_many(range(20))
    began = time.monotonic()
    for job_id in ids:
        mlq.wait_ended(job_id, 20)
    assert time.monotonic() - began < 5
    assert {record["error_type"] for record in mlq.get_jobs(ids) if record} == {"JobTimeout"}


def test_an_idle_worker_outlives_its_redis(short_folder: Path, start_worker: Any, namespace: str) -> None:
    with Server(short_folder, "--appendonly", "yes") as server:
        mlq = MLQ.from_profile(redis_url=server.url, namespace=namespace)
        worker = start_worker("jobs:echo", url=server.url)
        assert mlq.wait(mlq.post(1), 20) == 1
        for _ in range(3):
            server.kill()
            wait_until(lambda: worker.log().count("out of reach") > worker.log().count("is back"))
            server.start()
            assert mlq.wait(mlq.post(2), 20) == 2
        assert worker.poll() is None
        mlq.close()


@pytest.mark.minutes
def test_a_worker_that_redis_refuses_can_be_stopped(short_folder: Path, start_worker: Any, namespace: str) -> None:
    with Server(short_folder) as server:
        mlq = MLQ.from_profile(redis_url=server.url, namespace=namespace)
        worker = start_worker("jobs:touch_then_sleep", url=server.url)
        mlq.post({"file": str(short_folder / "ran"), "seconds": 60})
        wait_until((short_folder / "ran").exists)
        mlq.store._read([("CONFIG", "SET", "min-replicas-to-write", "3")])  # type: ignore[attr-defined]
        wait_until(lambda: "NOREPLICAS" in worker.log())
        worker.terminate()
        wait_until(lambda: "stopping" in worker.log())
        worker.terminate()
        assert worker.wait(6) == 0
        mlq.close()


def test_what_cannot_be_imported_stops_the_worker_with_one_clear_error(mlq: MLQ, start_worker: Any) -> None:
    for function, words in [
        ("nowhere:f", "there is no module 'nowhere'"),
        ("jobs:nothing", "has no 'nothing'"),
        ("jobs.echo", "names no function"),
        ("jobs:LOADED", "is no function"),
    ]:
        worker = start_worker(function)
        assert worker.wait(20) == 2
        assert words in worker.log() and "Traceback" not in worker.log()


def test_a_setup_that_fails_stops_the_worker_and_shows_why(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:echo", setup="jobs:fail_to_load")
    assert worker.wait(20) == 2
    assert "no model here" in worker.log()


def test_a_worker_keeps_outcomes_while_redis_is_away_and_says_so_once(
    short_folder: Path, start_worker: Any, namespace: str
) -> None:
    with Server(short_folder, "--appendonly", "yes", "--appendfsync", "always") as server:
        mlq = MLQ.from_profile(redis_url=server.url, namespace=namespace)
        worker = start_worker("jobs:touch_then_sleep", url=server.url)
        job_id = mlq.post({"file": str(short_folder / "ran"), "seconds": 0.5})
        wait_until((short_folder / "ran").exists)
        server.kill()
        wait_until(lambda: "out of reach" in worker.log())
        server.start()
        assert mlq.wait(job_id, 30) == "slept"
        assert len((short_folder / "ran").read_text().splitlines()) == 1, "it ran once"
        assert worker.log().count("out of reach") == 1 and "Redis is back" in worker.log()
        mlq.close()


def guard_of(executor: int) -> int:
    """Return the other process of an executor's group."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != executor:
            try:
                if os.getpgid(int(entry.name)) == executor:
                    return int(entry.name)
            except ProcessLookupError:
                continue
    raise AssertionError("it has no guard")
