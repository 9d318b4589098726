"""Following a job: no event is missed, no connection is opened that is not needed, none is spoiled for the next."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

import pytest

from mlq_cli import MLQ, JobNotFound, State
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.connect import UrlEndpoint, Wire


def test_a_watch_tells_the_state_first_and_every_word_from_then_on(mlq: MLQ) -> None:
    job_id, other = mlq.post("x"), mlq.post("y")
    state, watch = mlq.store.watch(job_id)
    assert state is State.QUEUED
    with watch:
        mlq.cancel(other, job_id)
        words: list[str] = []
        while not words:
            words = watch.next(5.0)
        assert words == ["canceled"]
        assert watch.next(0.0) == []


def test_waiting_uses_the_connection_that_posting_uses(mlq: MLQ, redis_url: str) -> None:
    for number in range(5):
        job_id = mlq.post(number)
        threading.Timer(0.05, MLQ.cancel, (mlq, job_id)).start()
        mlq.wait_ended(job_id, 10)
        mlq.wait_ended(job_id, 10)
    assert len(mlq.store._wire._idle) <= 2  # type: ignore[attr-defined]
    wire = Wire(UrlEndpoint(redis_url))
    (subscribed,) = wire.exchange([("PUBSUB", "NUMSUB", layout.EVENTS(mlq.namespace))])
    assert subscribed[1] == 0
    wire.close()


def test_what_is_said_after_a_watch_is_no_answer_to_the_next_question(mlq: MLQ) -> None:
    ids = mlq.post_many(range(300))
    for job_id in ids[:3]:
        _, watch = mlq.store.watch(job_id)
        with watch:
            mlq.cancel(*ids[3:])
            mlq.retry(*ids[3:])
        assert mlq.get_job(job_id)["msg"] == int(job_id) - 1


def test_a_wait_for_no_job_leaves_nothing_behind(mlq: MLQ) -> None:
    with pytest.raises(JobNotFound):
        mlq.wait_ended("404", 1)
    assert mlq.states(["404"]) == [None]


def test_a_user_who_may_not_begin_a_transaction_can_wait(mlq: MLQ, redis_url: str, namespace: str) -> None:
    wire = Wire(UrlEndpoint(redis_url))
    assert wire.exchange([("ACL", "SETUSER", namespace, "on", ">x", "~*", "&*", "+@all", "-multi")]) == [b"OK"]
    try:
        parts = urlsplit(redis_url)
        url = f"{parts.scheme}://{namespace}:x@{parts.netloc}{parts.path}"
        with MLQ.from_profile(redis_url=url, namespace=namespace) as other:
            job_id = other.post("x")
            threading.Timer(0.1, mlq.cancel, (job_id,)).start()
            other.wait_ended(job_id, 10)
            assert other.states([job_id]) == [State.CANCELED]
    finally:
        wire.exchange([("ACL", "DELUSER", namespace)])
        wire.close()
