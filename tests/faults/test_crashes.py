"""Workers, executors, reapers and producers are killed and frozen: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.chaos import Plan, run
from harness.ledger import read_ledger
from harness.nemesis import schedule
from harness.stage import Stage, environment, opened
from harness.sweeper import PAGE
from mlq_cli import State
from mlq_cli.model.rules import Rules
from tests_support import alive, wait_until


@pytest.fixture
def stage(redis_url: str, namespace: str, short_folder: Path) -> Iterator[Stage]:
    with opened(redis_url, namespace, short_folder) as made:
        yield made


# --- all at once ----------------------------------------------------------------------------------------------------
@pytest.mark.minutes
@pytest.mark.timeout(300)
def test_nothing_is_lost_when_a_worker_is_killed_every_300_ms(short_folder: Path) -> None:
    verdict = run(Plan(jobs=5000, seed=1, kill_every=0.3, seconds=120), short_folder)
    assert verdict["valid"], verdict
    assert verdict["acknowledged"] == verdict["ok"] == 5000 and verdict["faults"]["kill"] >= 8
    assert verdict["drain_seconds"] < 60


@pytest.mark.minutes
@pytest.mark.timeout(300)
def test_nothing_is_lost_when_workers_and_the_server_are_killed_and_frozen(short_folder: Path) -> None:
    plan = Plan(5000, 2, kill_every=1.5, restart_every=2.5, freeze_every=1.5, fsync="always", seconds=120)
    verdict = run(plan, short_folder)
    assert verdict["valid"], verdict
    assert verdict["acknowledged"] <= verdict["ok"] + verdict["unknown"] and verdict["lost"] == 0
    assert all(verdict["faults"].values())


def test_a_seed_makes_the_same_faults_again() -> None:
    def some(seed: int) -> list[Any]:
        faults = schedule(seed, {"kill": 1.0, "restart": 10.0, "freeze": 3.0}, workers=4, lease=3.0)
        return [next(faults) for _ in range(200)]

    assert some(7) == some(7) != some(8)
    assert [fault.at for fault in some(7)] == sorted(fault.at for fault in some(7))
    kinds = Counter(fault.what for fault in some(7))
    assert kinds["kill"] > kinds["freeze"] > kinds["restart"] > 0


# --- executors ------------------------------------------------------------------------------------------------------
@pytest.mark.minutes
@pytest.mark.timeout(300)
def test_each_executor_that_is_killed_in_a_job_counts_as_one_crash_of_that_job(stage: Stage) -> None:
    """Stopped first, killed only when the ledger says that it is inside a run: so the number of crashes is known."""
    chance, fleet = random.Random(2), stage.fleet(2, executors=2, rules={"max_crashes": 1000})
    for first in range(0, 3000, 200):
        stage.producer.post([{"key": f"k{n}", "seconds": chance.uniform(0, 0.02)} for n in range(first, first + 200)])
    killed: list[str] = []
    deadline = time.monotonic() + 120
    slowest = 0.0
    while len(killed) < 40 and time.monotonic() < deadline:
        pids = [pid for worker in fleet.alive for pid in worker.executors()]
        if not pids:
            continue
        victim = chance.choice(pids)
        os.kill(victim, signal.SIGSTOP)
        lines = [each for each in read_ledger(fleet.ledger) if each.pid == victim]
        if lines and lines[-1].word == "start":
            os.kill(victim, signal.SIGKILL)
            killed.append(lines[-1].id)
            began = time.monotonic()
            wait_until(lambda: stage.stats().get("crashed", 0) == len(killed), seconds=20)
            slowest = max(slowest, time.monotonic() - began)
        else:
            os.kill(victim, signal.SIGCONT)
    assert len(killed) == 40
    verdict = stage.verdict()
    assert verdict["valid"] and verdict["ok"] == 3000, verdict
    assert stage.stats()["crashed"] == 40 and verdict["duplicated"] == 40
    crashes = Counter(killed)
    assert {job_id: stage.mlq.get_job(job_id)["crashes"] for job_id in crashes} == crashes
    assert slowest < 1.5, "a crash is noticed and told within half a second"


def test_a_job_that_always_crashes_is_tried_three_times_while_others_run(stage: Stage) -> None:
    stage.fleet(1, executors=2, rules={"max_crashes": 2})
    (crashing,) = stage.post({"key": "crashing", "do": "crash"})
    stage.post(*({"key": f"k{n}"} for n in range(50)))
    verdict = stage.verdict()
    assert verdict["valid"] and verdict["duplicated"] == 2, verdict
    record = stage.mlq.get_job(crashing)
    assert (record["state"], record["error_type"], record["crashes"]) == (State.DEAD, "ExecutorCrash", 3)
    assert len(stage.runs("start", crashing)) == 3 and not stage.runs("end", crashing)


# --- workers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("deed", ["sleep", "hold", "leave"])
def test_nothing_of_a_killed_worker_lives_on(stage: Stage, deed: str) -> None:
    """Not its executors, not one whose job holds the interpreter's lock in C, not what a job has started."""
    (worker,) = stage.fleet(1, executors=2).alive
    started = stage.folder / "started"
    stage.post({"key": "k", "do": deed, "seconds": 60, "file": str(started)})
    wait_until(stage.runs)
    pids = worker.executors()
    if deed == "leave":
        pids.append(int(wait_until(started.read_text)))
    assert len(pids) == 2 + (deed == "leave") and all(map(alive, pids))
    worker.kill()
    wait_until(lambda: not any(map(alive, pids)), seconds=3)


@pytest.mark.minutes
@pytest.mark.timeout(300)
def test_rolling_restarts_run_no_job_twice(stage: Stage) -> None:
    chance, fleet = random.Random(6), stage.fleet(2, executors=2, grace=10.0)
    messages = [{"key": f"k{n}", "seconds": chance.uniform(0, 0.3)} for n in range(300)]
    stage.producer.post(messages)
    rolled = 0
    while sum(stage.mlq.counts()[0].states[state] for state in State if not state.terminal):
        oldest = fleet.alive.pop(0)
        fleet.start()
        began = time.monotonic()
        oldest.signal(signal.SIGTERM)
        assert oldest.process.wait(36) == 0 and time.monotonic() - began < 12
        stage.all_heard_of(fleet)
        rolled += 1
    assert rolled >= 5
    verdict = stage.verdict()
    assert verdict["valid"] and (verdict["duplicated"], verdict["ok"]) == (0, 300), verdict


@pytest.mark.minutes
def test_a_worker_frozen_past_its_lease_has_the_outcome_of_its_executor_refused(stage: Stage) -> None:
    """Only the worker stops; its executor ends the job meanwhile, and so does another worker, which counts."""
    fleet = stage.fleet(1, lease=1.0)
    (frozen,) = fleet.alive
    (job_id,) = stage.post({"key": "k", "seconds": 0.5})
    wait_until(stage.runs)
    frozen.freeze()
    wait_until(lambda: stage.runs("end"))
    stage.all_heard_of(fleet)
    fleet.start()
    stage.mlq.wait_ended(job_id, 30)
    first, second = stage.runs("start")
    assert (first.worker, second.worker) == ("w0", "w1")
    result = stage.mlq.get_result(job_id)
    assert result == {"key": "k", "token": second.token}
    frozen.thaw()
    wait_until(lambda: stage.stats().get("refused") == 1)
    wait_until(lambda: re.search(rf"came too late and was refused.*\b{job_id}\b", frozen.log()))
    assert stage.mlq.get_result(job_id) == result and stage.stats()["succeeded"] == 1
    verdict = stage.verdict()
    assert verdict["valid"] and (verdict["fenced"], verdict["duplicated"], verdict["overlap"]) == (1, 1, 0), verdict


@pytest.mark.minutes
def test_jobs_that_run_twenty_leases_long_run_once(stage: Stage) -> None:
    """Also one that lets nothing else of its executor run; another worker has nothing to do all the while."""
    stage.fleet(1, lease=1.0, executors=2)
    ids = stage.post({"key": "k1", "seconds": 20}, {"key": "k2", "do": "hold", "seconds": 20})
    wait_until(lambda: len(stage.runs()) == 2)
    stage.fleet(1, lease=1.0, executors=2)
    for job_id in ids:
        stage.mlq.wait_ended(job_id, 60)
    verdict = stage.verdict()
    assert verdict["valid"] and (verdict["duplicated"], verdict["ok"]) == (0, 2), verdict
    ran = [end.at - start.at for start, end in zip(stage.runs("start"), sorted(stage.runs("end")), strict=True)]
    assert min(ran) >= 19
    assert [(record["attempt"], record["retries"]) for record in stage.mlq.get_jobs(ids) if record] == [(1, 0)] * 2


# --- reapers and producers ------------------------------------------------------------------------------------------
def test_five_reapers_at_once_give_each_job_back_once_though_one_is_killed(stage: Stage) -> None:
    jobs, rules = 3000, Rules(lease=0.5)
    store = stage.mlq.store
    stage.mlq.post_many({"key": f"k{n}"} for n in range(jobs))
    for n in range(jobs // 500):
        claim = store.claim(["default"], 500, worker="w", lane=f"w{n}", token=f"t{n}", rules=rules)
        assert len(store.ask(claim).jobs) == 500
    claimed_at = time.monotonic()
    command = [sys.executable, "-m", "harness.sweeper", stage.url, stage.namespace, "0.5"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment()}
    reapers = [subprocess.Popen([*command, *pages], **pipes) for pages in (["3"], [], [], [], [])]
    try:
        for reaper in reapers:
            assert reaper.stdout.readline() == "ready\n"
        wait_until(lambda: time.monotonic() > claimed_at + rules.lease)  # or they are quick, and find nothing lost yet
        for reaper in reapers:
            reaper.stdin.write("go\n")
            reaper.stdin.flush()
        given = []
        for reaper in reapers:
            said = reaper.communicate(timeout=30)[0].splitlines()
            assert (said[-1:] == ["end"]) is (reaper is not reapers[0])
            given.append(sum(int(word) for word in said if word != "end"))
    finally:
        for reaper in reapers:
            reaper.kill()
            reaper.communicate()
    assert reapers[0].returncode == -signal.SIGKILL and given[0] == 3 * PAGE, "it was killed in the middle of its pass"
    assert sum(amount > 0 for amount in given) >= 3, "they really were at it together"
    assert jobs - PAGE <= sum(given) <= jobs, "the last page of the one that was killed nobody has heard"
    assert stage.stats()["lost"] == jobs
    records = stage.mlq.list_jobs(states=[State.QUEUED], limit=jobs + 1)
    assert len(records) == jobs and all(record["retries"] == 1 for record in records)
    assert all(record["state"] is State.QUEUED for record in records)


@pytest.mark.minutes
@pytest.mark.parametrize("own_ids", [True, False], ids=["own ids, posted again", "no ids"])
def test_producers_killed_in_the_middle_of_posting_lose_nothing_and_double_nothing(stage: Stage, own_ids: bool) -> None:
    chance, jobs, kills = random.Random(5), 6000, 5  # so many that none is through before it is killed

    def start(name: str) -> subprocess.Popen[bytes]:
        more = ["--own-ids", "--resume"] if own_ids else []
        given = [stage.url, stage.namespace, str(stage.folder), name, str(jobs), *more]
        return subprocess.Popen([sys.executable, "-m", "harness.producer", *given], env=environment())

    def acknowledged() -> int:
        return sum(post.word == "ok" for post in stage.producer.told())

    for round_ in range(kills):
        # With ids of its own a producer posts again what it does not know; without, that would make a second job.
        names = [f"p{n}" if own_ids else f"p{n}r{round_}" for n in range(2)]
        producers = [start(name) for name in names]
        enough = acknowledged() + chance.randint(100, 400)
        wait_until(lambda enough=enough: acknowledged() >= enough, seconds=30)
        for producer in producers:
            producer.kill()
            assert producer.wait() == -signal.SIGKILL
    if own_ids:
        assert [start(f"p{n}").wait(60) for n in range(2)] == [0, 0]
    stage.fleet(1, executors=2)
    verdict = stage.verdict()
    assert verdict["valid"] and verdict["posted_twice"] == verdict["duplicated"] == 0, verdict
    if own_ids:
        assert verdict["attempts"] == verdict["acknowledged"] == verdict["ok"] == 2 * jobs
    else:
        assert verdict["recovered"] <= verdict["unknown"] <= 2 * kills
