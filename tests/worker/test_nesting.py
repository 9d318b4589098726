"""Jobs that post others and block on them: whatever they wait for, one worker with one executor is enough."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, JobFailed, State
from tests_support import Server, alive, wait_until


def blocks(mlq: MLQ, job_id: str) -> bool:
    """Whether a job is known to wait for another one."""
    store: Any = mlq.store
    return next(store._field([job_id], "awaits")) is not None


def test_a_job_that_posts_another_and_blocks_on_it_finishes(mlq: MLQ, start_worker: Any) -> None:
    start_worker("nesting:nest")
    job_id = mlq.post(1)
    assert mlq.wait(job_id, 20) == ["0", "1"]
    assert not blocks(mlq, job_id)


@pytest.mark.minutes
def test_ten_deep_takes_ten_stand_ins(mlq: MLQ, start_worker: Any) -> None:
    start_worker("nesting:nest")
    assert sorted(map(int, mlq.wait(mlq.post(10), 60))) == list(range(11))


def test_ten_jobs_of_ten_deep_each_run_depth_first(mlq: MLQ, start_worker: Any) -> None:
    roots = mlq.post_many([10] * 10)
    start_worker("nesting:nest")
    numbers = {int(number) for root in roots for number in mlq.wait(root, 90)}
    assert max(numbers) < 30, "a hundred jobs blocked, and those that were waited for came first"


@pytest.mark.minutes
def test_with_two_executors_it_is_the_same(mlq: MLQ, start_worker: Any) -> None:
    roots = mlq.post_many([5] * 6)
    start_worker("nesting:nest", executors=2)
    numbers = {int(number) for root in roots for number in mlq.wait(root, 60)}
    assert max(numbers) < 30


def test_a_job_may_block_on_one_of_another_queue_and_function(mlq: MLQ, start_worker: Any) -> None:
    start_worker("nesting:parent", "nesting:child", queues=["parents", "children"])
    job_id = mlq.post(7, queue="parents", functions=["parent"])
    assert mlq.wait(job_id, 20) == ["parent", ["child", 7]]


@pytest.mark.minutes
def test_a_job_may_block_on_one_that_was_claimed_together_with_it(mlq: MLQ, start_worker: Any) -> None:
    """The one that is waited for is in the same slice, or in the line, behind the one that waits."""
    mlq.post_many([0] * 300, functions=["executor"])
    waiting = []
    for number in range(5):
        waiting.append(mlq.post(f"late{number}", functions=["await_other"]))
        mlq.post(0, functions=["executor"], id=f"late{number}")
    mlq.post_many([0] * 50, functions=["executor"])
    start_worker("nesting:executor", "nesting:await_other")
    for job_id in waiting:
        assert int(mlq.wait(job_id, 30)) >= 0


@pytest.mark.parametrize("length", [2, 3])
def test_jobs_that_wait_in_a_circle_all_end_and_one_is_told_why(mlq: MLQ, start_worker: Any, length: int) -> None:
    names = [f"job-{number}" for number in range(length)]
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        mlq.post(other, id=name)
    start_worker("nesting:await_other")
    told = []
    for name in names:
        with pytest.raises(JobFailed) as failed:
            mlq.wait(name, 30)
        told.append(failed.value.error)
    refused = [error for error in told if error.startswith("Refused")]
    assert len(refused) == 1 and "it would wait for itself: " in refused[0] and refused[0].count(" → ") == length
    assert sum(error.startswith("JobFailed") for error in told) == length - 1


def test_a_job_that_waits_for_itself_is_told_so(mlq: MLQ, start_worker: Any) -> None:
    mlq.post("me", id="me")
    start_worker("nesting:await_other")
    with pytest.raises(JobFailed, match="a job cannot wait for itself"):
        mlq.wait("me", 20)


def test_a_job_hears_how_the_other_one_ended(mlq: MLQ, start_worker: Any) -> None:
    done, failed, canceled = mlq.post(0, functions=["executor"]), mlq.post("no-such-job"), mlq.post("x", delay=3600)
    mlq.cancel(canceled)
    start_worker("nesting:await_other", "nesting:executor", "nesting:await_or_tell", "nesting:await_briefly")
    with pytest.raises(JobFailed):
        mlq.wait(failed, 20)

    def tell(other: str, function: str = "await_or_tell") -> Any:
        return mlq.wait(mlq.post(other, functions=[function]), 20)

    assert tell(done) == "0", "it had ended before"
    assert tell(failed)[:2] == ["JobFailed", f"job {failed} failed: JobNotFound: there is no job no-such-job"]
    assert tell(canceled)[0] == "JobCanceled" and tell("nobody")[0] == "JobNotFound"
    assert tell(mlq.post("x", delay=3600), "await_briefly") == "WaitTimeout"


def test_a_job_may_wait_for_several_at_a_time(mlq: MLQ, start_worker: Any) -> None:
    others = [mlq.post(0, functions=["executor"], queue="others") for _ in range(2)]
    job_id = mlq.post(others, functions=["await_both"])
    start_worker("nesting:await_both", "nesting:executor", queues=["default", "others"])
    assert mlq.wait(job_id, 20) == ["1", "1"]


@pytest.mark.minutes
def test_async_jobs_wait_in_threads_however_many(mlq: MLQ, start_worker: Any) -> None:
    """More of them than an executor has places, and than asyncio has threads by default."""
    roots = mlq.post_many([10] * 12)
    start_worker("nesting:nest_async")
    assert [mlq.wait(root, 90) for root in roots] == [10] * 12


def test_an_event_loop_cannot_be_blocked(mlq: MLQ, start_worker: Any) -> None:
    start_worker("nesting:block_on_the_loop")
    job_id = mlq.post(1)
    with pytest.raises(JobFailed, match="Misuse: block_until_result would hold up everything on this event loop"):
        mlq.wait(job_id, 20)


# --- what comes in between --------------------------------------------------------------------------------------------
@pytest.fixture
def blocked(mlq: MLQ, tmp_path: Path) -> Any:
    """Return a function that posts a job which blocks on one that is not due, and returns its id, and its executors."""

    def post(**options: Any) -> tuple[str, Any]:
        log = tmp_path / f"ran-{len(list(tmp_path.iterdir()))}"
        job_id = mlq.post([mlq.post(0, delay=3600), str(log)], functions=["await_and_say_so"], **options)
        return job_id, lambda: [tuple(map(int, line.split())) for line in log.read_text().splitlines()]

    return post


def test_an_executor_that_dies_while_its_job_blocks_is_replaced(mlq: MLQ, start_worker: Any, blocked: Any) -> None:
    start_worker("nesting:await_and_say_so", "nesting:executor", backoff=0.05)
    job_id, ran = blocked()
    for times in (1, 2, 3):
        wait_until(lambda times=times: len(ran()) == times and blocks(mlq, job_id), seconds=20)
        assert mlq.wait(mlq.post(0, functions=["executor"]), 20) == "1" if times == 1 else True
        os.kill(ran()[-1][0], signal.SIGKILL)
    with pytest.raises(JobFailed, match="ExecutorCrash"):
        mlq.wait(job_id, 20)
    assert mlq.get_job(job_id)["crashes"] == 3
    assert mlq.wait(mlq.post(0, functions=["executor"]), 20) in ("0", "1")


def test_a_job_times_out_while_it_blocks(mlq: MLQ, start_worker: Any, blocked: Any) -> None:
    start_worker("nesting:await_and_say_so", "nesting:executor")
    job_id, ran = blocked(timeout=1.0)
    with pytest.raises(JobFailed, match="JobTimeout: it ran longer than its timeout of 1 s"):
        mlq.wait(job_id, 20)
    wait_until(lambda: not alive(ran()[0][0]))
    again, ran = blocked()
    wait_until(lambda: len(ran()) == 1 and blocks(mlq, again))
    assert mlq.wait(mlq.post(0, functions=["executor"]), 20) in ("0", "1"), "one of both is free"
    mlq.cancel(again)


def test_a_job_that_is_canceled_while_it_blocks_is_stopped(mlq: MLQ, start_worker: Any, blocked: Any) -> None:
    start_worker("nesting:await_and_say_so", "nesting:executor", lease=3.0)
    job_id, ran = blocked()
    wait_until(lambda: len(ran()) == 1 and blocks(mlq, job_id), seconds=20)
    mlq.cancel(job_id)
    assert mlq.get_job(job_id)["state"] is State.CANCELED
    wait_until(lambda: not alive(ran()[0][0]), seconds=20)
    assert mlq.wait(mlq.post(0, functions=["executor"]), 20) in ("0", "1")


def test_a_warm_stop_gives_a_job_that_blocks_back_unspent(mlq: MLQ, start_worker: Any, blocked: Any) -> None:
    worker = start_worker("nesting:await_and_say_so", "nesting:executor", grace=1.0)
    job_id, ran = blocked()
    wait_until(lambda: len(ran()) == 1 and blocks(mlq, job_id), seconds=20)
    assert mlq.wait(mlq.post(0, functions=["executor"]), 20) == "1"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    record = mlq.get_job(job_id)
    assert (record["state"], record["attempt"], record["retries"]) == (State.QUEUED, 0, 0)
    assert not blocks(mlq, job_id) and not alive(ran()[0][0])


def test_a_job_that_blocks_on_one_that_runs_ends_in_a_warm_stop(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("nesting:await_other", "nesting:say_and_sleep", grace=10.0)
    above = mlq.post("below", functions=["await_other"])
    mlq.post(1.5, functions=["say_and_sleep"], id="below")
    wait_until(lambda: blocks(mlq, above) and mlq.get_progress("below") == "begun", seconds=20)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert mlq.get_job(above)["state"] is State.SUCCEEDED


def test_a_wait_goes_on_when_redis_comes_back(namespace: str, start_worker: Any, short_folder: Path) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with Server(short_folder, *options) as server, MLQ.from_profile(redis_url=server.url, namespace=namespace) as mlq:
        start_worker("nesting:await_other", "nesting:executor", url=server.url)
        below = mlq.post(0, functions=["executor"], queue="paused")
        above = mlq.post(below, functions=["await_other"])
        wait_until(lambda: blocks(mlq, above), seconds=20)
        server.kill()
        server.start()
        start_worker("nesting:executor", url=server.url, queues=["paused"])
        assert mlq.wait(above, 60) == "0"


# --- what else a context can do ---------------------------------------------------------------------------------------
def test_jobs_leave_each_other_values(mlq: MLQ, start_worker: Any) -> None:
    start_worker("nesting:leave_word", "nesting:take_word")
    key = mlq.wait(mlq.post({"any": [1, b"x", 2**80]}, functions=["leave_word"]), 20)
    assert mlq.wait(mlq.post(key, functions=["take_word"]), 20) == {"any": [1, b"x", 2**80]} == mlq.fetch_data(key)
    with pytest.raises(JobFailed, match="DataNotFound: nothing is stored under 'another'"):
        mlq.wait(mlq.post("another", functions=["take_word"]), 20)


def test_a_chain_of_jobs_that_post_from_threads_has_its_limit_too(
    mlq: MLQ, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLQ_LIMITS_CHAIN", "5")
    start_worker("nesting:post_again_from_a_thread")
    told = mlq.wait(mlq.post(0), 20)
    depth = 0
    while told[0].isdigit():
        told, depth = mlq.wait(told[0], 20), depth + 1
    assert told == ["Refused at 5"] and depth == 5


def test_a_process_that_a_listener_forks_has_connections_of_its_own_and_cannot_block(
    mlq: MLQ, start_worker: Any
) -> None:
    start_worker("nesting:fork_and_reach")
    assert mlq.wait(mlq.post(None), 20) == ["before and after", "Misuse"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="nobody can look into a process")
def test_no_signing_key_is_anywhere_in_an_executor(
    mlq: MLQ, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in its environment, nor in what it was told, nor in any other place of its memory."""
    secret = "a-signing-secret-" + os.urandom(8).hex()
    monkeypatch.setenv("MLQ_SECRET", secret)
    start_worker("nesting:find_in_memory", "nesting:leave_word")
    marker = "a-value-to-be-found-" + os.urandom(8).hex()
    key = mlq.wait(mlq.post(marker, functions=["leave_word"]), 20)  # the executor's own MLQ is open

    def found(text: str) -> list[str]:
        masked = bytes(letter ^ 0x55 for letter in text.encode())
        return list(mlq.wait(mlq.post(masked, functions=["find_in_memory"]), 60))

    assert found(mlq.namespace) and key, "what it was told is found that way"
    assert found(secret) == []


@pytest.mark.minutes
def test_stand_ins_leave_when_they_were_idle_for_a_while(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("nesting:nest", "nesting:executor")
    mlq.wait(mlq.post(4, functions=["nest"]), 30)
    assert len(executors_of(worker.pid)) == 5
    wait_until(lambda: len(executors_of(worker.pid)) == 1, seconds=60)
    assert mlq.wait(mlq.post(0, functions=["executor"]), 20) == "0", "the worker's own has stayed"
    assert "is replaced" not in worker.log() and "killed" not in worker.log()


def executors_of(worker: int) -> list[int]:
    """Return the processes that a worker has started to run jobs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, parent = int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
            if parent == worker and b"mlq_cli.worker.child" in (path.parent / "cmdline").read_bytes() and alive(pid):
                found.append(pid)
        except OSError:
            continue
    return found
