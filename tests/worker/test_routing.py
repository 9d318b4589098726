"""Several workers, each with functions of its own, on one queue: who wakes, who rests, and who gets what."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import pytest
import redis

from mlq_cli import MLQ, JobFailed
from mlq_cli.store.redis import layout
from tests_support import wait_until


@pytest.fixture
def raw(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def scripts_run(raw: Any) -> int:
    return int(raw.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


def scripts_in_a_second(raw: Any) -> int:
    before, until = scripts_run(raw), time.monotonic() + 1.0
    wait_until(lambda: time.monotonic() > until)
    return scripts_run(raw) - before


def are_able(mlq: MLQ, raw: Any, *names: str) -> None:
    """Wait until workers with these functions have said so."""
    wait_until(
        lambda: (
            {layout.able_in(name, "default").encode() for name in names}
            <= set(raw.zrange(layout.ABLE(mlq.namespace), 0, -1))
        ),
        seconds=20,
    )


def test_each_job_goes_to_a_worker_that_has_its_function(mlq: MLQ, start_worker: Any, raw: Any) -> None:
    start_worker("called:plain")
    start_worker("called:other", calls=["called:add"])
    are_able(mlq, raw, "plain", "called:other", "called:add")
    ids = [mlq.post(n, functions=[("plain", "other")[n % 2]]) for n in range(60)]
    results = [mlq.wait(job_id, 20) for job_id in ids]
    assert [result[0] for result in results] == ["plain", "other"] * 30
    assert all(mlq.get_job(job_id)["retries"] == 0 for job_id in ids)


def test_a_job_in_a_queue_whose_workers_lack_its_function_is_dead_in_the_end(
    mlq: MLQ, start_worker: Any, raw: Any
) -> None:
    start_worker("called:plain", queues=["gpu"])
    start_worker("called:other")
    are_able(mlq, raw, "other")
    wait_until(lambda: raw.zscore(layout.ABLE(mlq.namespace), layout.able_in("plain", "gpu")) is not None, seconds=20)
    with pytest.raises(JobFailed, match="no worker has the function plain"):
        mlq.wait(mlq.post(1, functions=["plain"]), 30)


def test_the_right_worker_wakes_at_once_beside_wrong_ones_and_these_rest(mlq: MLQ, start_worker: Any, raw: Any) -> None:
    for _ in range(5):
        start_worker("called:other", executors=1)
    start_worker("called:plain")
    are_able(mlq, raw, "plain", "other")
    wait_until(lambda: len(mlq.workers()) == 6, seconds=20)
    took = []
    for n in range(20):
        began = time.monotonic()
        assert mlq.wait(mlq.post(n, functions=["plain"]), 20) == ["plain", n]
        took.append(time.monotonic() - began)
    assert median(took) < 0.05 and max(took) < 1.0, took


def test_idle_workers_among_jobs_of_others_ask_about_once_a_second(mlq: MLQ, start_worker: Any, raw: Any) -> None:
    for _ in range(3):
        start_worker("called:other")
    are_able(mlq, raw, "other")
    raw.zadd(layout.ABLE(mlq.namespace), {"elsewhere": (time.time() + 100) * 1e6})
    mlq.post_many(range(300), functions=["elsewhere"])
    wait_until(lambda: scripts_in_a_second(raw) <= 3 * 3, seconds=20)  # of three: claims, rounds from the head, beats
    assert scripts_in_a_second(raw) <= 3 * 5
    began = time.monotonic()
    assert mlq.wait(mlq.post("own", functions=["other"]), 20)[1] == "own"
    assert time.monotonic() - began < 3.0


def test_own_jobs_behind_thousands_of_others_run_at_full_speed(mlq: MLQ, start_worker: Any, raw: Any) -> None:
    raw.zadd(layout.ABLE(mlq.namespace), {"elsewhere": (time.time() + 100) * 1e6})
    mlq.post_many(range(5000), functions=["elsewhere"])
    ids = mlq.post_many(range(2000), functions=["plain"])
    worker = start_worker("called:plain", burst=True)
    assert worker.wait(30) == 0  # and a burst ends although the others wait still
    assert mlq.get_result(ids[-1]) == ["plain", 1999]
    assert mlq.job_count() == 5000


def test_a_job_that_comes_back_into_the_middle_of_the_line_is_found(mlq: MLQ, start_worker: Any, raw: Any) -> None:
    raw.zadd(layout.ABLE(mlq.namespace), {"elsewhere": (time.time() + 100) * 1e6})
    mlq.post_many(range(300), functions=["elsewhere"], priority=1)
    mlq.post_many(range(300), functions=["elsewhere"], priority=-1)
    start_worker("called:plain")
    are_able(mlq, raw, "plain")
    wait_until(lambda: scripts_in_a_second(raw) <= 10, seconds=20)  # it has looked through all of them
    began = time.monotonic()
    assert mlq.wait(mlq.post("middle", functions=["plain"]), 20) == ["plain", "middle"]
    assert time.monotonic() - began < 6.0


def test_a_function_that_nobody_has_is_told_in_the_end(mlq: MLQ, start_worker: Any) -> None:
    start_worker("called:plain")
    with pytest.raises(JobFailed, match="no worker has the function nobody; the last one asked has plain"):
        mlq.wait(mlq.post(1, functions=["nobody"]), 30)


def test_listeners_of_this_process_say_what_they_are(mlq: MLQ, start_worker: Any, raw: Any) -> None:
    def first(msg: Any) -> Any:
        return ["first", msg]

    def second(msg: Any) -> Any:
        return ["second", msg]

    start_worker("called:other")
    mlq.create_listener(first)
    are_able(mlq, raw, "other", "first")
    mlq.create_listener(second)
    are_able(mlq, raw, "second")
    ids = [mlq.post(n, functions=[("first", "second", "other")[n % 3]]) for n in range(12)]
    assert [mlq.wait(job_id, 20)[0] for job_id in ids] == ["first", "second", "other"] * 4
    mlq.remove_listener(second)
    mlq.shutdown()
