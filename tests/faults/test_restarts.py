"""The server is killed, robbed of what it wrote last, put back to an older state, while producers and workers go on."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.chaos import Plan, run
from harness.checker import Excuses
from harness.ledger import boot_time
from harness.producer import Load
from harness.server import ALWAYS, EVERYSEC, FaultServer
from harness.stage import Stage, opened
from mlq_cli import State
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from tests_support import wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def server(short_folder: Path, request: Any) -> Iterator[FaultServer]:
    with FaultServer(short_folder, *getattr(request, "param", EVERYSEC)) as started:
        yield started


@pytest.fixture
def stage(server: FaultServer, namespace: str, short_folder: Path) -> Iterator[Stage]:
    with opened(server.url, namespace, short_folder) as made:
        yield made


@pytest.mark.minutes
@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(short_folder: Path, fsync: str) -> None:
    """Under `everysec` too: what was written stays in the kernel, unless the disk was too busy to take it."""
    verdict = run(Plan(12_000, seed=21, restart_every=1.0, fsync=fsync, seconds=120), short_folder)
    assert verdict["valid"] and verdict["lost"] == 0, verdict
    assert verdict["faults"]["restart"] >= 4
    assert verdict["attempts"] == 12_000 and verdict["ok"] + verdict["forgotten"] == verdict["acknowledged"]
    assert verdict["forgotten"] == 0 or fsync == "everysec"


@pytest.mark.parametrize("server", [ALWAYS], indirect=True)
def test_a_claim_that_the_server_forgot_is_worth_nothing(server: FaultServer, stage: Stage, short_folder: Path) -> None:
    """What its worker says is refused, before and after the job is claimed again."""
    store, rules = stage.mlq.store, Rules(lease=30.0)
    job_id = stage.mlq.post("x")

    def claim(token: str) -> list[str]:
        jobs = store.ask(store.claim(["default"], 1, worker="w", lane="w", token=token, rules=rules)).jobs
        return [job.id for job in jobs]

    def finish(token: str) -> dict[str, str]:
        outcome = Outcome(job_id, token, Kind.DONE.value, 0.1, b"", pack(token))
        return store.ask(store.finish([outcome], rules=rules))

    def written() -> int:
        return max(short_folder.rglob("*.incr.aof"), key=lambda path: path.stat().st_mtime).stat().st_size

    posted = written()
    assert claim("old") == [job_id] and written() > posted
    server.kill()
    server.cut_aof(written() - posted - 1)  # not even at the border of two entries
    server.start()
    assert stage.mlq.get_job(job_id)["state"] is State.QUEUED
    assert finish("old") == {job_id: "queued"}
    assert claim("new") == [job_id]
    assert finish("old") == {job_id: "running"}
    assert finish("new") == {} and stage.mlq.get_result(job_id) == "new"
    assert finish("old") == {job_id: "succeeded"} and stage.mlq.get_result(job_id) == "new"
    assert stage.stats()["refused"] == 1 and stage.stats()["succeeded"] == 1


@pytest.mark.minutes
def test_a_power_failure_costs_only_what_was_written_last(server: FaultServer, stage: Stage) -> None:
    """Killed and robbed of up to 60 kB of its last writes, at any byte: only jobs of that moment may be gone."""
    chance, excuses = random.Random(3), Excuses()
    fleet = stage.fleet(2, executors=2)
    load = Load(stage.producer, 8000, 3, seconds=120)
    load.start()
    began = 0
    for _ in range(4):
        began = load.posted
        wait_until(lambda began=began: load.posted > began + 800 or not load.is_alive(), seconds=60)
        server.kill()
        killed_at = boot_time()
        assert server.cut_aof(chance.randint(1, 60_000)) > 0
        server.start()
        excuses.forgotten.append((killed_at, boot_time()))
    load.join(120)
    assert load.error is None
    verdict = stage.verdict(excuses)
    assert verdict["valid"], verdict
    assert verdict["ok"] + verdict["forgotten"] == verdict["acknowledged"] and verdict["ok"] > 6000
    assert [worker.process.poll() for worker in fleet.alive] == [None, None]


@pytest.mark.minutes
def test_an_older_state_is_put_back_under_living_workers(server: FaultServer, stage: Stage, short_folder: Path) -> None:
    """Outcomes of the lost future count for nothing; numbers are handed out again, and nothing is mixed up by that."""
    data, copy = short_folder / "appendonlydir", short_folder / "copy"
    fleet = stage.fleet(2, executors=2)
    (late,) = stage.post({"key": "late", "seconds": 5.0}, queue="late")
    load = Load(stage.producer, 8000, 16, seconds=120)
    load.start()
    wait_until(lambda: load.posted > 1500, seconds=60)
    copied_at = boot_time()
    shutil.copytree(data, copy)
    # Claimed in the future that is about to be lost, and still running when it is.
    stage.fleet(1, queues=["late"])
    (first,) = wait_until(lambda: stage.runs("start", late))
    seen = load.posted
    wait_until(lambda: load.posted > seen + 1500 or not load.is_alive(), seconds=60)
    server.kill()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    server.start()
    excuses = Excuses(forgotten=[(copied_at, boot_time())])
    load.join(120)
    assert load.error is None
    assert not stage.runs("end", late), "it really was running"
    stage.mlq.wait_ended(late, 60)
    verdict = stage.verdict(excuses)
    assert verdict["valid"], verdict
    assert verdict["forgotten"] > 0 and verdict["ok"] + verdict["forgotten"] == verdict["acknowledged"]
    assert stage.mlq.get_result(late)["token"] != first.token and len(stage.runs("start", late)) == 2
    posted = {post.id for post in stage.producer.told() if post.word == "ok"}
    acknowledged = [post for post in stage.producer.told() if post.word == "ok"]
    assert len(posted) < len(acknowledged), "numbers were handed out twice"
    assert [worker.process.poll() for worker in fleet.alive] == [None, None]
