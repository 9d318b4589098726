"""`MLQ.events` and `MLQ.stream`: a job is followed to its end, through other attempts and restarts of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from mlq_cli import MLQ, JobCanceled, JobFailed, JobNotFound, Misuse, StoreUnavailable, WaitTimeout
from mlq_cli import events as events_module
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.store.base import Held, Part, Progress
from mlq_cli.store.redis.waiting import RedisWatch
from tests_support import Server, wait_until

RULES = Rules(retries=1, backoff=0.0)


class Hand:
    """Does by hand what a worker does."""

    def __init__(self, mlq: MLQ) -> None:
        self.store = mlq.store
        self.serial = 0

    def take(self) -> Held:
        token, self.serial = uuid4().hex, 0
        claims = self.store.ask(self.store.claim(["default"], 1, worker="w", lane="w", token=token, rules=RULES))
        (job,) = claims.jobs
        return Held(job.id, token)

    def emit(self, held: Held, *values: Any) -> None:
        for value in values:
            self.serial += 1
            assert self.store.ask(self.store.emit([Part(*held, self.serial, pack(value))])) == 0

    def progress(self, held: Held, value: Any) -> None:
        assert self.store.ask(self.store.progress([Progress(*held, pack(value))])) == 0

    def finish(self, held: Held, kind: Kind = Kind.DONE) -> None:
        third = (b"", pack("result"), b"") if kind is Kind.DONE else (b"ValueError", b"no", b"")
        outcome = Outcome(*held, kind.value, 0.1, *third)
        assert self.store.ask(self.store.finish([outcome], rules=RULES)) == {}


@pytest.fixture
def hand(mlq: MLQ) -> Hand:
    return Hand(mlq)


class Beside:
    """Follows in a thread, beside the test."""

    def __init__(self, following: Iterator[Any]) -> None:
        self.told: list[Any] = []
        self.raised: Exception | None = None
        self._thread = Thread(target=self._run, args=(following,), daemon=True)
        self._thread.start()

    def _run(self, following: Iterator[Any]) -> None:
        try:
            for one in following:
                self.told.append(one)
        except Exception as error:
            self.raised = error

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.raised is not None:
            raise self.raised


def brief(events: list[Any]) -> list[Any]:
    return [event.value["state"] if event.kind == "state" else (event.kind, event.value) for event in events]


def test_everything_that_happens_to_a_job_is_told_as_it_happens(mlq: MLQ, hand: Hand) -> None:
    job_id = mlq.post("x")
    beside = Beside(mlq.events(job_id, timeout=20))
    wait_until(lambda: brief(beside.told)[:1] == ["queued"])
    held = hand.take()
    hand.emit(held, "a")
    wait_until(lambda: ("part", "a") in brief(beside.told), seconds=events_module.PLACE_SECONDS + 3)
    hand.progress(held, 50)
    hand.emit(held, {"b": 1})
    wait_until(lambda: ("part", {"b": 1}) in brief(beside.told))
    hand.finish(held)
    beside.join()
    told = [event for event in beside.told if event.kind != "position"]
    assert brief(told) == ["queued", "running", ("part", "a"), ("progress", 50), ("part", {"b": 1}), "succeeded"]
    assert told[-1].value["progress"] == 100


def test_a_plain_job_is_followed_too(mlq: MLQ, hand: Hand) -> None:
    job_id = mlq.post("x")
    beside = Beside(mlq.events(job_id, timeout=20))
    wait_until(lambda: beside.told)
    held = hand.take()
    wait_until(lambda: brief(beside.told)[-1] == "running", seconds=5)
    hand.finish(held)
    beside.join()
    assert brief(beside.told)[-1] == "succeeded" and beside.told[-1].id is None


def test_whoever_comes_later_is_told_all_that_is_kept_and_may_go_on_behind_it(mlq: MLQ, hand: Hand) -> None:
    job_id = mlq.post("x")
    held = hand.take()
    hand.emit(held, 1, 2, 3)
    hand.finish(held)
    events = list(mlq.events(job_id))
    assert brief(events) == ["running", ("part", 1), ("part", 2), ("part", 3), "succeeded"]
    assert brief(list(mlq.events(job_id, after=events[2].id))) == [("part", 3), "succeeded"]
    assert brief(list(mlq.events(job_id, after=events[-1].id))) == ["succeeded"], "how it stands"
    assert list(mlq.stream(job_id)) == [1, 2, 3]


def test_a_stream_gives_parts_as_they_come_and_raises_at_the_end_as_a_wait_does(mlq: MLQ, hand: Hand) -> None:
    job_id = mlq.post("x", retries=0)
    held = hand.take()
    parts = mlq.stream(job_id, timeout=20)
    hand.emit(held, "a")
    assert next(parts) == "a"
    hand.emit(held, "b")
    assert next(parts) == "b"
    hand.finish(held, Kind.ERROR)
    with pytest.raises(JobFailed, match="ValueError: no"):
        next(parts)
    mlq.retry(job_id)
    mlq.cancel(job_id)
    with pytest.raises(JobCanceled):
        list(mlq.stream(job_id))
    with pytest.raises(JobNotFound):
        list(mlq.stream("999"))
    with pytest.raises(JobNotFound):
        list(mlq.events(999))


def test_another_attempt_calls_on_reset_and_gives_its_parts_from_the_first(mlq: MLQ, hand: Hand) -> None:
    job_id, seen = mlq.post("x"), []
    held = hand.take()
    hand.emit(held, "old 1", "old 2")
    parts = mlq.stream(job_id, timeout=20, on_reset=lambda: seen.append("reset"))
    seen += [next(parts), next(parts)]
    hand.finish(held, Kind.ERROR)
    held = hand.take()
    hand.emit(held, "new 1")
    seen.append(next(parts))
    hand.finish(held)
    assert [*seen, *parts] == ["old 1", "old 2", "reset", "new 1"]
    seen.clear()
    assert list(mlq.stream(job_id, on_reset=lambda: seen.append("reset"))) == ["new 1"] and not seen, "known to be over"


def test_a_follower_that_hears_nothing_looks_by_itself(mlq: MLQ, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisWatch, "next", lambda self, seconds: wait_until(lambda: True) and [])
    monkeypatch.setattr(events_module, "LOOK_SECONDS", 0.1)
    job_id = mlq.post("x")
    held = hand.take()
    beside = Beside(mlq.events(job_id, timeout=20))
    wait_until(lambda: beside.told)
    hand.emit(held, "a")
    hand.finish(held)
    beside.join()
    assert brief(beside.told) == ["running", ("part", "a"), "succeeded"]


def test_following_ends_with_its_time_and_the_job_goes_on(mlq: MLQ, hand: Hand) -> None:
    job_id = mlq.post("x")
    with pytest.raises(WaitTimeout, match="it goes on"):
        list(mlq.events(job_id, timeout=0.1))
    hand.emit(hand.take(), 1)
    with pytest.raises(WaitTimeout):
        list(mlq.stream(job_id, timeout=0.1))
    with pytest.raises(Misuse, match="is no id of an event"):
        next(mlq.events(job_id, after="yesterday"))


def test_a_follower_goes_on_when_redis_has_restarted_and_is_told_nothing_twice(
    short_folder: Path, namespace: str
) -> None:
    with Server(short_folder, "--appendonly", "yes") as server:
        with MLQ.from_profile(redis_url=server.url, namespace=namespace) as mlq:
            hand, job_id = Hand(mlq), mlq.post("x")
            held = hand.take()
            hand.emit(held, 1, 2)
            beside = Beside(mlq.events(job_id, timeout=60))
            wait_until(lambda: len(beside.told) == 3)
            server.kill()
            server.start()
            wait_until(lambda: mlq.job_count() == 0)
            hand.emit(held, 3)
            hand.finish(held)
            beside.join()
            assert brief(beside.told) == ["running", ("part", 1), ("part", 2), ("part", 3), "succeeded"]
            server.kill()
            with pytest.raises(StoreUnavailable):
                next(mlq.events(job_id))
