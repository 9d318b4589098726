"""A call that names a job twice moves it once: its counters, its attempts and its callback are right."""

from __future__ import annotations

from typing import Any

from mlq_cli.model.job import State
from mlq_cli.model.outcome import Outcome
from mlq_cli.model.values import pack

Bench = Any


def stats(bench: Bench) -> dict[str, float]:
    return {counts.queue: counts.stats for counts in bench.store.counts()}["default"]


def callbacks(bench: Bench) -> int:
    return len(bench.store.ids(["_callbacks"], list(State), None))


def test_a_job_that_is_canceled_twice_at_once_is_told_of_once(bench: Bench) -> None:
    (job_id,) = bench.post(callback="http://localhost/x")
    assert bench.store.ask(bench.store.cancel([job_id, job_id])) == ["ok", "ok"]
    assert (stats(bench)["canceled"], callbacks(bench)) == (1, 1)


def test_a_job_that_is_requeued_twice_at_once_is_counted_once(bench: Bench) -> None:
    (job_id,) = bench.post()
    bench.fail(bench.take())
    assert bench.store.ask(bench.store.requeue([job_id, job_id])) == ["ok", "ok"]
    assert stats(bench)["requeued"] == 1


def test_a_job_that_is_released_twice_at_once_gets_one_attempt_back(bench: Bench) -> None:
    (job_id,) = bench.post(retries=1)
    bench.fail(bench.take())
    bench.at(5)
    held = bench.take()
    assert bench.store.ask(bench.store.release([held, held])) == 1
    assert (bench.record(job_id)["attempt"], stats(bench)["released"]) == (1, 1)


def test_of_two_outcomes_of_one_attempt_the_first_counts(bench: Bench) -> None:
    bench.post(callback="http://localhost/x")
    held = bench.take()
    twice = [Outcome(held.id, held.token, "done", 0.5, b"", pack(value)) for value in ("first", "second")]
    assert bench.store.ask(bench.store.finish(twice, rules=bench.rules)) == {}
    assert bench.record(held.id)["result"] == "first"
    assert (stats(bench)["succeeded"], callbacks(bench)) == (1, 1)
