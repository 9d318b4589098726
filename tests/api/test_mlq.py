"""class MLQ: posting, looking and waiting, without a worker."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import uuid4

import pytest

from mlq_cli import MLQ, JobCanceled, JobFailed, JobNotFound, Misuse, State, StoreUnavailable, WaitTimeout
from mlq_cli.model.errors import TooLarge, WrongState
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.store.base import Progress
from mlq_cli.store.redis.waiting import RedisWatch
from tests_support import wait_until


def run_next(mlq: MLQ, result: Any = None, *, error: str | None = None, queue: str = "default") -> str:
    """Take the next job and end it, as a worker would."""
    rules, token = Rules(), uuid4().hex
    (job,) = mlq.store.ask(mlq.store.claim([queue], 1, worker="w", lane="w", token=token, rules=rules)).jobs
    outcome = Outcome(job.id, token, Kind.DONE.value, 0.1, b"", pack(result))
    if error is not None:
        outcome = Outcome(job.id, token, Kind.ERROR.value, 0.1, error.encode(), b"no", b"Traceback ...")
    assert mlq.store.ask(mlq.store.finish([outcome], rules=rules)) == {}
    return job.id


def test_the_original_walk_of_a_record(mlq: MLQ) -> None:
    job_id = mlq.post({"my_data": 1234})
    assert isinstance(job_id, str) and job_id.isdigit()
    job = mlq.get_job(job_id)
    assert job["msg"] == {"my_data": 1234} and job["result"] is None and job["progress"] is None
    assert mlq.get_progress(job_id) == "[queued; not started]" and mlq.get_result(job_id) is None
    assert mlq.job_count() == 1
    run_next(mlq, 2468)
    assert mlq.get_job(job_id)["result"] == mlq.get_result(job_id) == 2468
    assert mlq.get_progress(job_id) == "[completed]" and mlq.job_count() == 0


def test_a_failed_job_shows_its_error_where_the_original_does(mlq: MLQ) -> None:
    job_id = mlq.post("x")
    run_next(mlq, error="ValueError")
    assert mlq.get_progress(job_id) == "[failed]" and mlq.get_job(job_id)["result"] == "no"
    with pytest.raises(JobFailed, match="ValueError: no") as failed:
        mlq.get_result(job_id)
    assert failed.value.traceback == "Traceback ..." and failed.value.exit_code == 5


def test_a_job_that_is_not_there_is_a_key_error_too(mlq: MLQ) -> None:
    for look in (mlq.get_job, mlq.get_result, mlq.get_progress, mlq.wait, mlq.cancel, mlq.retry):
        with pytest.raises(JobNotFound, match="there is no job 99"):
            look("99")
    with pytest.raises(KeyError):
        mlq.get_job(99)


def test_namespaces_do_not_see_each_other(mlq: MLQ, redis_url: str, namespace: str) -> None:
    job_id = mlq.post("mine")
    # a prefix of the other's name must not be enough either
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace + "b") as other:
        assert other.job_count() == 0
        with pytest.raises(JobNotFound):
            other.get_job(job_id)


def test_the_result_of_a_wait_comes_as_soon_as_it_is_there(mlq: MLQ) -> None:
    job_id = mlq.post("x")
    threading.Timer(0.2, run_next, (mlq, "done")).start()
    assert mlq.wait(job_id, 5) == "done"
    assert mlq.wait(job_id, 0) == "done"


def test_a_wait_whose_timeout_is_no_number_is_refused(mlq: MLQ) -> None:
    job_id = mlq.post("nobody serves this")
    with pytest.raises(Misuse, match="would never be over"):
        mlq.wait(job_id, timeout=float("nan"))


def test_a_wait_that_hears_nothing_looks_by_itself(mlq: MLQ, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are a hint: one that falls into a gap of the connection is never said again."""
    job_id = mlq.post("x")
    deaf = RedisWatch(mlq.store._wire, "a channel where nobody speaks", job_id, ("PING",))  # type: ignore[attr-defined]
    monkeypatch.setattr(mlq.store, "watch", lambda _: (State.QUEUED, deaf))
    threading.Timer(0.2, run_next, (mlq, "done")).start()
    assert mlq.wait(job_id, 5) == "done"


def test_a_wait_that_is_over_says_that_the_job_goes_on(mlq: MLQ) -> None:
    job_id = mlq.post("x")
    with pytest.raises(WaitTimeout) as over:
        mlq.wait(job_id, 0.1)
    assert isinstance(over.value, TimeoutError) and over.value.exit_code == 4


def test_a_wait_for_a_canceled_job_says_so(mlq: MLQ) -> None:
    job_id = mlq.post("x")
    threading.Timer(0.2, mlq.cancel, (job_id,)).start()
    with pytest.raises(JobCanceled):
        mlq.wait(job_id, 5)


def test_ids_of_many_messages_take_no_memory(mlq: MLQ) -> None:
    import tracemalloc

    seen: list[int] = []
    tracemalloc.start()
    ids = mlq.post_many((i for i in range(20_000)), progress=seen.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000, f"{peak} bytes at the most"
    assert len(ids) == 20_000 and ids[0] == "1" and ids[-1] == "20000" and ids[7:9] == ["8", "9"]
    assert list(ids)[:3] == ["1", "2", "3"] and seen[-1] == 20_000


def test_ids_of_a_bulk_post_are_in_order_though_others_post_meanwhile(mlq: MLQ) -> None:
    def messages() -> Any:
        for i in range(1200):
            if i % 500 == 250:
                mlq.post("another's")
            yield i

    ids = mlq.post_many(messages())
    records = mlq.get_jobs(ids)
    assert [record["msg"] for record in records if record] == list(range(1200))
    with pytest.raises(IndexError):
        ids[1200]


def test_what_was_posted_before_an_error_stays(mlq: MLQ) -> None:
    def messages() -> Any:
        yield from range(600)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        mlq.post_many(messages())
    assert mlq.job_count() == 500


def test_an_empty_bulk_post_posts_nothing(mlq: MLQ) -> None:
    ids = mlq.post_many([])
    assert len(ids) == 0 and list(ids) == [] and mlq.job_count() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "no spaces"}, "cannot name a queue"),
        ({"queue": "_callbacks"}, "cannot name a queue"),
        ({"priority": 5000}, "out of range"),
        ({"delay": -1}, "out of range"),
        ({"delay": 1, "at": 1}, "exclude each other"),
        ({"retries": -1}, "out of range"),
        ({"timeout": 0}, "out of range"),
        ({"callback": "ftp://host/"}, "callback URL"),
        ({"callback": "http://"}, "callback URL"),
        ({"callback": "http://host:99999/"}, "callback URL"),
        ({"functions": []}, "functions is empty"),
        ({"functions": "f"}, "functions is one text"),
        ({"id": "53"}, "of your own"),
        ({"id": "no spaces"}, "of your own"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_sent(
    mlq: MLQ, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(Misuse, match=words) as refused:
        mlq.post("x", **options)
    assert refused.value.exit_code == 2 and mlq.job_count() == 0


def test_a_message_over_the_limit_is_refused_before_it_is_sent(redis_url: str, namespace: str) -> None:
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace, limits_message=1000) as mlq:
        with pytest.raises(TooLarge, match="over the limit of 1,000"):
            mlq.post("x" * 1000)
        mlq.post("x" * 900)


def test_cancel_and_retry_say_which_job_does_not_allow_it(mlq: MLQ) -> None:
    done = mlq.post("x")
    run_next(mlq)
    with pytest.raises(WrongState, match=f"job {done} is succeeded") as wrong:
        mlq.cancel(done)
    assert wrong.value.exit_code == 7
    with pytest.raises(WrongState):
        mlq.retry(done)


def test_all_dead_jobs_of_one_error_run_again(mlq: MLQ) -> None:
    for kind in ("ValueError", "OSError", "ValueError"):
        mlq.post("x")
        run_next(mlq, error=kind)
    assert mlq.retry_all(error_type="ValueError") == 2
    assert mlq.retry_all(queue="other") == 0
    assert mlq.retry_all() == 1


def test_all_dead_jobs_are_those_of_users_and_no_callbacks(mlq: MLQ) -> None:
    dead = mlq.post(1, callback="http://127.0.0.1:1/")
    run_next(mlq, error="ValueError")
    rules = Rules(max_crashes=0)
    (job,) = mlq.store.ask(mlq.store.claim(["_callbacks"], 1, worker="w", lane="w", token="only", rules=rules)).jobs
    crash = Outcome(job.id, "only", Kind.CRASH.value, 0.1, b"ExecutorCrash", b"no")
    mlq.store.ask(mlq.store.finish([crash], rules=rules))
    assert {job["queue"] for job in mlq.list_jobs(states=[State.DEAD])} == {"default", "_callbacks"}
    assert mlq.retry_all() == 1 and mlq.get_job(dead)["state"] is State.QUEUED
    assert mlq.retry_all(queue="_callbacks") == 1


def test_a_new_job_of_high_priority_is_listed_first_though_the_line_is_long(mlq: MLQ) -> None:
    mlq.post_many(range(60))
    newest = mlq.post("new", priority=5)
    assert mlq.list_jobs(limit=10)[0]["id"] == newest


def test_a_running_job_that_says_100_is_not_shown_as_completed(mlq: MLQ) -> None:
    job_id = mlq.post("x")
    rules = Rules()
    mlq.store.ask(mlq.store.claim(["default"], 1, worker="w", lane="w", token="t", rules=rules))
    mlq.store.ask(mlq.store.progress([Progress(job_id, "t", pack(100))]))
    assert mlq.get_progress(job_id) == 100


def test_a_reaper_looks_at_all_overdue_jobs_and_all_queues(mlq: MLQ) -> None:
    for queue in ("a", "b"):
        mlq.post_many(range(1100), queue=queue)
        for part in range(3):
            mlq.store.ask(
                mlq.store.claim([queue], 500, worker="w", lane=f"{queue}{part}", token=f"{queue}{part}", rules=Rules())
            )
    newest = max(record["processing_started"] or 0 for record in mlq.list_jobs(limit=2200))
    wait_until(lambda: time.time() > newest + 0.2)
    assert mlq.sweep(timeout=0.1).given_back == 2200


def test_jobs_are_listed_newest_first_and_by_state_and_queue(mlq: MLQ) -> None:
    first, second = mlq.post("a"), mlq.post("b", queue="slow")
    run_next(mlq)
    assert [job["id"] for job in mlq.list_jobs()] == [second, first]
    assert [job["id"] for job in mlq.list_jobs(states=[State.SUCCEEDED])] == [first]
    assert [job["id"] for job in mlq.list_jobs(queue="slow")] == [second]
    assert len(mlq.list_jobs(limit=1)) == 1


def test_a_queue_can_be_paused_purged_and_released(mlq: MLQ) -> None:
    mlq.post_many(range(3))
    assert mlq.pause() == 3 and mlq.counts()[0].paused
    assert mlq.resume() == 3 and not mlq.counts()[0].paused
    mlq.store.ask(mlq.store.claim(["default"], 1, worker="w", lane="w", token="t", rules=Rules()))
    assert mlq.release() == 1 and mlq.release() == 0
    assert mlq.purge() == 3
    with pytest.raises(Misuse, match="running jobs cannot be purged"):
        mlq.purge(states=[State.RUNNING])


def test_redis_out_of_reach_is_one_line_with_the_address_and_what_to_do() -> None:
    with MLQ("somewhere", "127.0.0.1", 1) as mlq, pytest.raises(StoreUnavailable) as gone:
        mlq.post("x")
    assert "redis://127.0.0.1:1/0" in str(gone.value) and "connection refused" in str(gone.value)
    assert gone.value.exit_code == 69 and gone.value.hint


def test_a_password_is_never_shown(namespace: str) -> None:
    with MLQ.from_profile(redis_url="redis://me:s3cret@127.0.0.1:1/0", namespace=namespace) as mlq:
        with pytest.raises(StoreUnavailable) as gone:
            mlq.post("x")
        assert "s3cret" not in str(gone.value) and "s3cret" not in repr(mlq)
