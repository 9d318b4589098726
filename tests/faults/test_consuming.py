"""Loops in processes of their own that are killed, frozen, or cut off: no message is lost, none is recorded twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.proxy import FaultProxy
from harness.server import ALWAYS, FaultServer
from mlq_cli import MLQ, State, StoreFull, StoreUnavailable
from tests_support import wait_until

PROGRAM = Path(__file__).parent / "importable" / "consumer.py"
Start = Callable[..., Any]


@pytest.fixture
def start(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a program that consumes."""
    started: list[subprocess.Popen[str]] = []

    def begin(url: str = redis_url, lease: float = 1.0, timeout: float | None = None) -> Any:
        file = str(tmp_path / "seen")
        given = {"url": url, "namespace": namespace, "lease": lease, "timeout": timeout, "file": file}
        log = (tmp_path / f"log{len(started)}").open("w+")
        process = subprocess.Popen([sys.executable, str(PROGRAM), json.dumps(given)], stderr=log, text=True)
        process.log = lambda: Path(log.name).read_text()  # type: ignore[attr-defined]
        started.append(process)
        return process

    yield begin
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.fixture
def seen(tmp_path: Path) -> Callable[[], list[tuple[int, int]]]:
    """Return a function that returns message and process of all that was handed out."""

    def read() -> list[tuple[int, int]]:
        file = tmp_path / "seen"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(number), int(pid)) for number, pid in (line.split() for line in lines)]

    return read


def assert_all_succeeded(mlq: MLQ, ids: Any) -> dict[str, float]:
    wait_until(lambda: set(mlq.states(ids)) == {State.SUCCEEDED}, seconds=30)
    (counts,) = [each for each in mlq.counts() if each.queue == "default"]
    assert counts.states[State.SUCCEEDED] == counts.stats["succeeded"] == len(ids)
    return counts.stats


def test_a_loop_that_is_killed_gives_its_message_to_another_after_the_lease(mlq: MLQ, start: Start, seen: Any) -> None:
    job_id = mlq.post({"n": 1, "seconds": 60})
    process = start(lease=1.0)
    wait_until(seen)
    process.kill()
    killed = time.monotonic()
    messages = mlq.consume(timeout=10, lease=1.0)
    assert next(messages)["n"] == 1
    assert time.monotonic() - killed < 6
    record = mlq.get_job(job_id)
    assert (record["attempt"], record["retries"], record["error_type"]) == (2, 1, "WorkerLost")


@pytest.mark.minutes
def test_a_loop_that_was_frozen_for_longer_than_its_lease_changes_nothing_any_more(
    mlq: MLQ, start: Start, seen: Any
) -> None:
    ids = [mlq.post({"n": 1, "seconds": 0.5})]
    process = start(lease=1.0, timeout=1.0)
    wait_until(seen)
    process.send_signal(signal.SIGSTOP)
    ids.append(mlq.post({"n": 2}))
    assert sorted(msg["n"] for msg in mlq.consume(timeout=2.5, lease=1.0)) == [1, 2]
    process.send_signal(signal.SIGCONT)
    assert process.wait(20) == 0
    stats = assert_all_succeeded(mlq, ids)
    assert stats["refused"] == 1 and f"job {ids[0]} is" in process.log()
    assert mlq.get_job(ids[0])["attempt"] == 2


def test_a_loop_waits_for_redis_and_goes_on_where_it_was(redis_url: str, namespace: str, mlq: MLQ) -> None:
    ids = mlq.post_many(range(300))
    seen = []
    with FaultProxy(redis_url) as proxy, MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as cut_off:
        for msg in cut_off.consume(timeout=1.0):
            seen.append(msg)
            if msg in (50, 200):
                proxy.refuse()
                threading.Timer(1.0, proxy.heal).start()
            if msg == 299 and len(ids) == 300:
                ids = [*ids, mlq.post(300)]
    assert seen == list(range(301))
    assert assert_all_succeeded(mlq, ids).get("refused", 0) == 0


def test_a_loop_that_waits_gets_what_comes_after_redis_was_away(redis_url: str, namespace: str, mlq: MLQ) -> None:
    with FaultProxy(redis_url) as proxy, MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as cut_off:
        messages = cut_off.consume()
        mlq.post("before")
        assert next(messages) == "before"

        def away() -> None:
            proxy.refuse()
            mlq.post("meanwhile")
            proxy.heal()

        threading.Timer(0.3, away).start()
        assert next(messages) == "meanwhile"
        messages.close()
    assert mlq.counts()[0].states[State.QUEUED] == 1


@pytest.mark.minutes
def test_a_loop_with_a_timeout_gives_up_when_redis_stays_away(redis_url: str, namespace: str, mlq: MLQ) -> None:
    job_id = mlq.post("a")
    with FaultProxy(redis_url) as proxy, MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as cut_off:
        messages = cut_off.consume(timeout=0.5, lease=1.0)
        assert next(messages) == "a"
        proxy.refuse()
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            next(messages)
        assert 0.9 < time.monotonic() - began < 15
        assert list(messages) == []
    again = mlq.consume(timeout=10, lease=1.0)
    assert next(again) == "a"  # at least once
    assert mlq.get_job(job_id)["attempt"] == 2


@pytest.mark.parametrize("verb", ["claim", "finish"])
def test_an_answer_that_is_lost_loses_and_doubles_nothing(redis_url: str, namespace: str, mlq: MLQ, verb: str) -> None:
    ids = mlq.post_many(range(400))
    seen = []
    with FaultProxy(redis_url) as proxy, MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as cut_off:
        for msg in cut_off.consume(timeout=0.5, ahead=20):  # or two claims may be all that there are
            seen.append(msg)
            if msg % 100 == 30:
                proxy.drop_reply(verb)
        assert len(proxy.dropped) >= 3
    assert seen == list(range(400))
    assert assert_all_succeeded(mlq, ids).get("refused", 0) == 0


def test_pop_loses_nothing_when_the_answer_to_its_claim_is_lost(redis_url: str, namespace: str, mlq: MLQ) -> None:
    mlq.post_many(range(5))
    with FaultProxy(redis_url) as proxy, MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as cut_off:
        popped = [cut_off.pop()]
        for _ in range(4):
            proxy.drop_reply("claim")
            popped.append(cut_off.pop())
        assert popped == [0, 1, 2, 3, 4] and proxy.dropped == ["claim"] * 4


def test_a_loop_survives_a_redis_that_is_killed_and_started_again(short_folder: Path, namespace: str) -> None:
    seen = []
    with (
        FaultServer(short_folder, *ALWAYS) as server,
        MLQ.from_profile(redis_url=server.url, namespace=namespace) as mlq,
    ):
        ids = mlq.post_many(range(500))
        for msg in mlq.consume(timeout=1.0):
            seen.append(msg)
            if msg == 250 and seen.count(250) == 1:
                server.restart()
        assert seen == list(range(500))
        assert assert_all_succeeded(mlq, ids).get("refused", 0) == 0


def test_a_full_redis_does_not_keep_a_loop_from_finishing_what_there_is(short_folder: Path, namespace: str) -> None:
    with (
        FaultServer(short_folder) as server,
        MLQ.from_profile(redis_url=server.url, namespace=namespace) as mlq,
    ):
        ids = mlq.post_many("x" * 100 for _ in range(300))
        seen = 0
        for _ in mlq.consume(timeout=1.0):
            seen += 1
            if seen == 100:
                server.command("CONFIG", "SET", "maxmemory", "1")
                with pytest.raises(StoreFull):
                    mlq.post("one more")
                threading.Timer(0.8, server.command, ("CONFIG", "SET", "maxmemory", "0")).start()
        assert seen == 300 and assert_all_succeeded(mlq, ids).get("refused", 0) == 0


@pytest.mark.minutes
def test_loops_that_are_killed_again_and_again_lose_nothing(mlq: MLQ, start: Start, seen: Any) -> None:
    """Three programs, each killed as soon as it has worked for a while, until all messages are handled."""
    ids = mlq.post_many({"n": number, "seconds": 0.002} for number in range(1500))
    chance, crew = random.Random(7), [start(lease=1.0) for _ in range(3)]
    for _ in range(8):
        handled, most = len(seen()), chance.randrange(20, 120)
        wait_until(lambda since=handled + most: len(seen()) > since, seconds=30)  # type: ignore[misc]
        place = chance.randrange(3)
        crew[place].kill()
        crew[place] = start(lease=1.0)
    stats = assert_all_succeeded(mlq, ids)
    assert {number for number, _ in seen()} == set(range(1500))
    assert stats["lost"] > 0, "nobody was killed in time to prove anything"
