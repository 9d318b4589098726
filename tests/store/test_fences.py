"""What keeps one attempt from another, each guard by itself; `tests/faults/mutants.py` takes them away one by one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mlq_cli.model.job import State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Kind
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.store.base import Held
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.connect import UrlEndpoint
from mlq_cli.store.redis.store import RedisStore

Bench = Any


def two_attempts(bench: Bench) -> tuple[Held, Held]:
    """A job that was lost and is run by another: the late attempt and the right one."""
    bench.post()
    late = bench.take()
    bench.pass_to(31)
    return late, bench.take(worker="w2")


@pytest.mark.parametrize("kind", [Kind.ERROR, Kind.CRASH, Kind.UNKNOWN])
def test_a_late_error_is_refused_and_changes_nothing(bench: Bench, kind: Kind) -> None:
    late, right = two_attempts(bench)
    before = bench.record(right.id)
    assert bench.fail(late, kind) == {right.id: "running"}
    assert bench.record(right.id) == before
    assert bench.finish(right, "right") == {}


def test_a_late_heartbeat_renews_nothing_and_is_told_so(bench: Bench) -> None:
    late, right = two_attempts(bench)
    lease_until = bench.record(right.id)["lease_until"]
    bench.at(40)
    assert bench.beat([late]) == {late: "lost"}
    assert bench.record(right.id)["lease_until"] == lease_until


def test_a_late_release_gives_nothing_back(bench: Bench) -> None:
    late, right = two_attempts(bench)
    assert bench.store.ask(bench.store.release([late])) == 0
    assert bench.state(right.id) is State.RUNNING and bench.beat([right]) == {}


def test_a_sweep_looks_at_the_record_before_it_gives_a_job_back(bench: Bench) -> None:
    """An entry of a lease that outlived its job: what ended stays ended, and what is gone stays gone."""
    bench.post("ended", "gone")
    bench.finish(bench.take(), "done")
    ended, gone = "1", "2"
    running = layout.STATE(bench.store.namespace, "default", State.RUNNING)
    bench.store._read([("ZADD", running, 1, ended, 1, gone), ("DEL", layout.JOB(bench.store.namespace, gone))])
    bench.pass_to(31)
    bench.sweep()
    assert bench.state(ended) is State.SUCCEEDED and bench.record(ended)["result"] == "done"
    assert bench.state(gone) is None
    bench.claim(2)  # takes the entry of the job that is gone out of its set
    assert bench.sets_of(ended) == [("default", State.SUCCEEDED)] and bench.sets_of(gone) == []


def test_an_attempt_is_counted_when_it_begins(bench: Bench) -> None:
    """So a job that takes its worker down with it does not run for ever without anybody counting."""
    late, right = two_attempts(bench)
    assert bench.record(late.id)["attempt"] == 2
    bench.finish(right)
    assert bench.record(late.id)["attempt"] == 2


def test_a_claim_that_is_answered_again_lasts_a_whole_lease_from_then(bench: Bench) -> None:
    """Its jobs begin only now: with the rest of the old lease, somebody else might be running them in a moment."""
    bench.post()
    bench.claim(1, token="same")
    bench.pass_to(28)
    (job,) = bench.claim(1, token="same").jobs
    assert bench.record(job.id)["lease_until"] == bench.store.now + bench.rules.lease


def test_a_workers_clock_that_is_wrong_makes_no_lease_longer_or_shorter(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisStore(UrlEndpoint(redis_url), namespace)
    (answer,) = store._read([("TIME",)])
    redis_time = float(answer[0])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    (job_id,) = store.ask(store.post([pack(None)], PostOptions())).ids
    store.ask(store.claim(["default"], 1, worker="w", lane="w", token="t", rules=Rules(lease=30.0)))
    (record,) = store.records([job_id])
    assert record is not None and abs((record["lease_until"] or 0) - redis_time - 30) < 20
    assert store.ask(store.heartbeat("w", [Held(job_id, "t")], rules=Rules(lease=60.0), life=30, about={"a": 1})) == {}
    (record,) = store.records([job_id])
    assert record is not None and abs((record["lease_until"] or 0) - redis_time - 60) < 20
    store.close()
