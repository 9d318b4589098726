"""How long jobs wait and run, where they stand, and how long they will wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.times import Times
from mlq_cli.model.values import pack
from mlq_cli.store.base import Held
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.outlook import FRESH
from timed_store import START, Bench


def times(bench: Bench, queue: str = "default") -> Times:
    return next(counts.times for counts in bench.store.counts() if counts.queue == queue)


def filled(numbers: Sequence[int]) -> dict[float | None, int]:
    """Return the buckets with something in them by their upper ends; None: longer than the last."""
    ends = (*layout.BOUNDS, None)
    return {end: number for end, number in zip(ends, numbers, strict=True) if number}


def settle(bench: Bench, *seconds: float) -> None:
    """Run so many jobs, which end in one call."""
    bench.post(*seconds)
    claims = bench.claim(len(seconds))
    outcomes = [
        Outcome(job.id, bench.token, Kind.DONE.value, ran, b"", pack(None))
        for job, ran in zip(claims.jobs, seconds, strict=True)
    ]
    assert bench.store.ask(bench.store.finish(outcomes, rules=bench.rules)) == {}


def test_every_wait_and_every_run_is_in_the_bucket_whose_end_it_does_not_pass(bench: Bench) -> None:
    settle(bench, 0.0, 0.001, 0.0011, 0.2, 0.3, 0.0002, 36000.0, 36000.1, 7.0)
    run = times(bench).run
    assert filled(run.numbers) == {0.001: 3, 0.005: 1, 0.5: 2, 10: 1, 36000: 1, None: 1}
    assert run.total == pytest.approx(72007.6023, abs=0.01)


def test_waits_are_counted_by_queue_and_together_are_the_claims(bench: Bench) -> None:
    bench.post(1, 2)
    bench.post(3, queue="other")
    bench.at(0.004)
    bench.post(4)
    bench.at(20.0)
    assert len(bench.claim(10, queues=["other", "default"]).jobs) == 4
    assert filled(times(bench).wait.numbers) == {30: 3} and filled(times(bench, "other").wait.numbers) == {30: 1}
    assert times(bench).wait.total == pytest.approx(59.996)
    assert {counts.queue: counts.stats["claimed"] for counts in bench.store.counts()} == {"default": 3, "other": 1}


def test_a_delayed_job_waits_from_when_it_was_due_though_nobody_looked(bench: Bench) -> None:
    bench.post(delay=3600.0)
    bench.at(3600.0 + 4.0)
    assert bench.take()
    assert filled(times(bench).wait.numbers) == {5: 1}


def test_each_attempt_waits_anew(bench: Bench) -> None:
    bench.rules = Rules(lease=30.0, retries=5, backoff=100.0)
    bench.post()
    bench.fail(bench.take())
    bench.pass_to(200.0)
    bench.sweep()
    record = bench.take()
    assert max(times(bench).wait.numbers) == 1 and times(bench).wait.total < 101  # it failed; the pause was no wait
    before = times(bench).wait.total
    bench.store.ask(bench.store.release([record]))
    bench.at(200.2)
    assert bench.take() == Held(record.id, bench.token)
    assert times(bench).wait.total - before == pytest.approx(0.2)


def test_a_clock_that_was_set_back_makes_no_wait_below_nothing(bench: Bench) -> None:
    bench.post()
    bench.at(-5.0)
    bench.take()
    assert times(bench).wait.total == 0 and filled(times(bench).wait.numbers) == {0.001: 1}


def test_an_error_and_a_crash_ran_too(bench: Bench) -> None:
    bench.rules = Rules(max_crashes=0)
    bench.post(1, 2, 3)
    bench.fail(bench.take())
    bench.fail(bench.take(), Kind.CRASH)
    assert filled(times(bench).fail.numbers) == {0.5: 2} and times(bench).fail.total == 1.0
    bench.finish(bench.take())
    assert filled(times(bench).run.numbers) == {0.5: 1} and times(bench).run.total == 0.5
    (counts,) = bench.store.counts()
    assert counts.stats["run_seconds"] == 1.5 and counts.stats["succeeded"] == 1


def test_the_recent_run_follows_what_jobs_take_now(bench: Bench) -> None:
    settle(bench, *[1.0] * 100)
    assert times(bench).recent_run == pytest.approx(1.0)
    for _ in range(40):
        settle(bench, 3.0)
    assert times(bench).recent_run == pytest.approx(3.0, rel=0.05)
    settle(bench, *[0.5] * 50)
    assert times(bench).recent_run == pytest.approx(0.5, rel=0.7)


@pytest.mark.parametrize("together", [1, 2, 5, 16, 100], ids=lambda number: f"{number} in a call")
def test_one_outlier_at_most_doubles_the_recent_run(bench: Bench, together: int) -> None:
    settle(bench, *[1.0] * 20)
    settle(bench, *[1.0] * (together - 1), 3600.0)
    assert 1.0 <= (times(bench).recent_run or 0) <= 2.01


def test_jobs_that_are_often_long_count_in_full(bench: Bench) -> None:
    for _ in range(30):
        settle(bench, *[0.1] * 3, 10.0)
    assert times(bench).recent_run == pytest.approx(2.6, rel=0.7)


def test_brief_jobs_have_a_recent_run_from_the_first_on(bench: Bench) -> None:
    bench.store.now = START + 0.000001  # a moment at which none of them is looked at
    settle(bench, 0.002, 0.004)
    assert times(bench).recent_run == pytest.approx(0.003)
    bench.at(0)  # and one at which they are
    settle(bench, 0.0)
    settle(bench, *[0.006] * 100)
    assert times(bench).recent_run == pytest.approx(0.006, rel=0.2)


def test_a_stats_key_that_somebody_has_broken_stops_nobody(bench: Bench) -> None:
    bench.post(1)
    bench.store._read([("DEL", layout.STATS(bench.store.namespace, "default"))])
    bench.store._read([("SET", layout.STATS(bench.store.namespace, "default"), "x")])
    assert bench.finish(bench.take()) == {}
    bench.store._read([("DEL", layout.STATS(bench.store.namespace, "default"))])


def test_the_oldest_job_is_found_whatever_its_priority_and_whatever_stands_before_it(redis_url: str) -> None:
    """By Redis' own clock: it is read by plain commands."""
    from uuid import uuid4

    from mlq_cli import MLQ

    with MLQ.from_profile(redis_url=redis_url, namespace=f"t{uuid4().hex[:12]}") as mlq:
        assert mlq.store.oldest_waiting() == {}
        ids = [mlq.post(number, priority=priority) for number, priority in enumerate([0, 5, 5, -3, 2047, -2047])]
        mlq.post("x", queue="other", delay=60)
        back = {"0": 100, "1": 7, "2": 40, "3": 200, "4": 1, "5": 12}

        def age(job_id: str, seconds: float, field: str) -> None:
            record = mlq.get_job(job_id)
            since = int((record["timestamp"] - seconds) * 1e6)
            mlq.store._read([("HSET", layout.JOB(mlq.namespace, job_id), layout.field(field), since)])  # type: ignore[attr-defined]

        for place, seconds in back.items():
            age(ids[int(place)], seconds, "timestamp")
        assert mlq.store.oldest_waiting() == {"default": pytest.approx(200, abs=5)}
        age(ids[3], -150, "queued_at")  # it was delayed: since then it waits for 50
        assert mlq.store.oldest_waiting() == {"default": pytest.approx(100, abs=5)}


# --- where a job stands, and for how long --------------------------------------------------------------------------
def serve(bench: Bench, worker: str = "w9", **about: Any) -> None:
    call = bench.store.heartbeat(worker, [], rules=bench.rules, life=1e9, about=about)
    bench.store.ask(call)


def look_anew(bench: Bench) -> None:
    bench.store._outlook._seen = None


def test_only_a_queued_job_has_a_position_and_priority_moves_it(bench: Bench) -> None:
    first, second = bench.post(1, 2)
    (later,) = bench.post(3, delay=60.0)
    (urgent,) = bench.post(4, priority=1)
    places = {job_id: bench.record(job_id)["position"] for job_id in (first, second, later, urgent)}
    assert places == {first: 1, second: 2, later: None, urgent: 0}
    held = bench.take()
    assert bench.record(urgent)["position"] is None and bench.record(first)["position"] == 0
    bench.finish(held)
    assert bench.record(urgent)["position"] is None and bench.record(urgent)["estimated_wait"] is None


def test_the_wait_is_told_once_a_worker_serves_the_queue_and_something_has_ended(bench: Bench) -> None:
    (job_id,) = bench.post(*range(9))[-1:]
    assert bench.record(job_id)["estimated_wait"] is None
    serve(bench, queues="default", executors=2, slots=2)
    look_anew(bench)
    assert bench.record(job_id)["estimated_wait"] is None
    bench.finish(bench.take())  # 0.5 s
    look_anew(bench)
    assert bench.record(job_id)["estimated_wait"] == pytest.approx((7 + 1 - 2 - 0.5) * 0.5 / 2)
    bench.store.ask(bench.store.pause("default", paused=True))
    look_anew(bench)
    assert bench.record(job_id)["estimated_wait"] is None and bench.record(job_id)["position"] == 7


def test_a_worker_of_an_earlier_version_has_a_slot_for_each_executor(bench: Bench) -> None:
    bench.post(*range(9))
    bench.finish(bench.take())
    serve(bench, queues="other default", executors=4)
    assert bench.record("9")["estimated_wait"] == pytest.approx((7 + 1 - 4 - 0.5) * 0.5 / 4)


def test_what_workers_say_is_read_once_for_many_records(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.post(*range(20))
    bench.finish(bench.take())
    serve(bench, queues="default", executors=1)
    read: list[int] = []
    now = [5.0]
    outlook, workers = bench.store._outlook, bench.store.workers
    outlook._seen, outlook._clock = None, lambda: now[0]
    monkeypatch.setattr(outlook, "_workers", lambda: (read.append(1), workers())[1])
    ids = [str(number) for number in range(2, 21)]
    for _ in range(3):
        assert all(record and record["estimated_wait"] is not None for record in bench.store.records(ids))
    assert len(read) == 1
    now[0] += FRESH + 0.1
    bench.record("5")
    assert len(read) == 2


def test_counters_that_somebody_has_broken_count_as_none_and_nobody_fails(bench: Any) -> None:
    broken = {"wait_3": "junk", "run_2": "x", "fail_us": "", "recent_run_us": "nan"}
    key = layout.STATS(bench.store.namespace, "default")
    bench.post(1)
    bench.store._read([("HSET", key, name, value) for name, value in broken.items()])
    assert times(bench).recent_run is None and times(bench).fail.total == 0
    bench.finish(bench.take())
    settle(bench, 2.0)
    assert 0 <= (times(bench).recent_run or -1) <= 2.01 and filled(times(bench).run.numbers)[5] == 1
