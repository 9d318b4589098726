"""Redis goes away and comes back, forgets its scripts, its clients or everything: no job is lost, none runs in vain."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.crew import Crew
from harness.endings import assert_each_ended_once, wait_all_ended
from harness.server import ALWAYS, FaultServer
from mlq_cli import MLQ, State
from mlq_cli.model.errors import StoreFull, StoreUnavailable
from mlq_cli.worker import outage as outage_module
from mlq_cli.worker.outage import Outage
from tests_support import wait_until


@pytest.fixture
def server(short_folder: Path) -> Iterator[FaultServer]:
    with FaultServer(short_folder, *ALWAYS) as made:
        yield made


@pytest.fixture
def own(server: FaultServer, namespace: str) -> Iterator[MLQ]:
    with MLQ.from_profile(redis_url=server.url, namespace=namespace) as opened:
        yield opened


@pytest.fixture
def crew(server: FaultServer, namespace: str, tmp_path: Path) -> Iterator[Crew]:
    with Crew(server.url, namespace, tmp_path) as made:
        yield made


@contextmanager
def again_and_again(seconds: float, action: Callable[[], object]) -> Iterator[None]:
    """Do something every so many seconds, beside the test."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(seconds):
            action()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def frozen(server: FaultServer, seconds: float) -> None:
    """Stop the server for so long: connections stay open and nothing answers."""
    over = time.monotonic() + seconds
    server.stop()
    try:
        wait_until(lambda: time.monotonic() > over, seconds=seconds + 5)
    finally:
        server.cont()


def mlq_post(server: FaultServer, namespace: str, home: Path) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run `mlq post`; returns the seconds it took, too."""
    environment = {**os.environ, "MLQ_REDIS_URL": server.url, "MLQ_NAMESPACE": namespace, "HOME": str(home)}
    began = time.monotonic()
    command = [sys.executable, "-m", "mlq_cli", "post", "x", "--queue", "nobody"]  # it may be stored all the same
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return time.monotonic() - began, done


@pytest.mark.minutes
def test_after_an_outage_of_three_leases_nobody_is_taken_for_dead(
    crew: Crew, server: FaultServer, own: MLQ, tmp_path: Path
) -> None:
    """The workers end what they could not renew, and give it back by themselves: that is no lost job."""
    lease, folder = 3.0, tmp_path / "jobs"
    folder.mkdir()
    workers = [crew.worker("steps:hold", executors=2, lease=lease) for _ in range(2)]
    wait_until(lambda: len(own.workers()) == 2, seconds=20)
    ids = list(own.post_many([{"folder": str(folder), "seconds": 2.0}] * 200))
    wait_until(lambda: own.states(ids).count(State.RUNNING) > 50, seconds=20)
    frozen(server, 3 * lease)
    wait_all_ended(own, ids, seconds=60)
    stats = assert_each_ended_once(own, ids)
    assert "lost" not in stats and all(worker.alive() for worker in workers), stats
    assert not (folder / "overlaps").exists(), "two runs of a job at once"
    assert all(record["attempt"] == 1 for record in own.get_jobs(ids) if record), "given back unspent"


@pytest.mark.minutes
def test_an_outage_that_is_shorter_than_the_lease_costs_nothing_and_commands_fail_fast(
    crew: Crew, server: FaultServer, own: MLQ, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    worker = crew.worker("steps:hold", executors=2, lease=20.0)
    ids = list(own.post_many([{"folder": str(folder), "seconds": 1.0}] * 40))
    wait_until(lambda: State.RUNNING in own.states(ids), seconds=20)
    freezing = threading.Thread(target=frozen, args=(server, 8.0))
    freezing.start()
    seconds, done = mlq_post(server, own.namespace, tmp_path)
    assert done.returncode == 69 and "out of reach" in done.stderr and seconds < 3 * 5
    freezing.join()
    wait_all_ended(own, ids, seconds=40)
    stats = assert_each_ended_once(own, ids)
    assert not {"lost", "refused"} & set(stats) and worker.alive()
    assert len((folder / "runs").read_text().splitlines()) == len(ids)
    assert len(worker.lines("ERROR")) <= 1


@pytest.mark.minutes
def test_a_restart_that_is_shorter_than_the_lease_costs_nothing_and_commands_fail_at_once(
    crew: Crew, server: FaultServer, own: MLQ, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    worker = crew.worker("steps:hold", executors=2, lease=20.0)
    ids = list(own.post_many([{"folder": str(folder), "seconds": 0.5}] * 40))
    wait_until(lambda: State.RUNNING in own.states(ids), seconds=20)
    server.kill()
    seconds, done = mlq_post(server, own.namespace, tmp_path)
    assert done.returncode == 69 and "out of reach" in done.stderr and seconds < 3 * 2
    server.start()
    wait_all_ended(own, ids, seconds=40)
    stats = assert_each_ended_once(own, ids)
    assert not {"lost", "refused"} & set(stats) and worker.alive()
    assert len((folder / "runs").read_text().splitlines()) == len(ids)
    assert len(worker.lines("out of reach")) == len(worker.lines("Redis is back")) == 1


@pytest.mark.parametrize("jobs", [500, pytest.param(20_000, marks=pytest.mark.minutes)])
def test_scripts_that_are_forgotten_all_the_time_are_noticed_by_nobody(
    crew: Crew, server: FaultServer, own: MLQ, tmp_path: Path, jobs: int
) -> None:
    worker = crew.worker(executors=2, lease=10.0)
    with again_and_again(0.2, lambda: server.command("SCRIPT", "FLUSH")):
        ids: list[str] = []
        while len(ids) < jobs:
            ids += own.post_many([{"file": str(tmp_path / "runs")}] * 50)
        wait_all_ended(own, ids, seconds=100)
    stats = assert_each_ended_once(own, ids)
    assert stats["claimed"] - stats.get("released", 0) == jobs
    assert not worker.lines("ERROR") and len(worker.lines("WARNING")) == 0


@pytest.mark.minutes
def test_clients_that_are_killed_all_the_time_go_on(crew: Crew, server: FaultServer, own: MLQ, tmp_path: Path) -> None:
    workers = [crew.worker(executors=2, lease=10.0) for _ in range(2)]
    ids: list[str] = []
    with again_and_again(0.1, lambda: server.command("CLIENT", "KILL", "TYPE", "normal")):
        while len(ids) < 500:
            name, message = f"j{len(ids)}", {"file": str(tmp_path / "runs"), "seconds": 0.05}
            ids.append(wait_until(lambda name=name, message=message: own.post(message, id=name)))
        wait_until(lambda: not {State.QUEUED, State.RUNNING} & set(own.states(ids)), seconds=60)
    stats = assert_each_ended_once(own, ids)
    assert "lost" not in stats and all(worker.alive() for worker in workers)


@pytest.mark.minutes
def test_clients_that_are_paused_wait(crew: Crew, server: FaultServer, own: MLQ, tmp_path: Path) -> None:
    worker = crew.worker(executors=2, lease=15.0)
    ids = list(own.post_many([{"file": str(tmp_path / "runs"), "seconds": 0.3}] * 30))
    wait_until(lambda: State.RUNNING in own.states(ids), seconds=20)
    server.command("CLIENT", "PAUSE", 5000, "ALL")
    wait_all_ended(own, ids, seconds=40)
    stats = assert_each_ended_once(own, ids)
    assert not {"lost", "refused"} & set(stats) and worker.alive()
    assert len((tmp_path / "runs").read_text().splitlines()) == 2 * len(ids)


@pytest.mark.minutes
def test_a_worker_survives_that_everything_is_deleted_under_it(
    crew: Crew, server: FaultServer, own: MLQ, tmp_path: Path
) -> None:
    workers = [crew.worker(executors=2, lease=3.0) for _ in range(2)]
    began = time.monotonic()
    for _ in range(3):
        ids = own.post_many([{"file": str(tmp_path / "runs"), "seconds": 0.05}] * 200)
        wait_until(lambda ids=ids: State.SUCCEEDED in own.states(ids), seconds=20)
        server.command("FLUSHALL")
    # The numbers begin anew, so ids come again while runs of the old jobs of this name may still be under way.
    after = [own.post({"file": str(tmp_path / "after"), "result": n}) for n in range(30)]
    wait_all_ended(own, after, seconds=30)
    assert [own.get_result(job_id) for job_id in after] == list(range(30)), "none has the outcome of an older one"
    (counts,) = [counts for counts in own.counts() if counts.queue == "default"]
    assert counts.stats["succeeded"] == 30 and counts.states[State.SUCCEEDED] == 30
    for worker in workers:
        assert worker.alive()
        assert len(worker.log().splitlines()) < 15 + (time.monotonic() - began), "a line a second"


class FakeClock:
    """The time of an outage, which passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    made = FakeClock()
    monkeypatch.setattr(outage_module, "time", made)
    return made


def test_an_outage_is_told_once_and_once_a_minute_and_tried_ever_more_rarely(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outage, waits = Outage(), []
    while clock.now < 1000 + 150:
        assert not outage.waiting(clock.now)
        outage.began(StoreUnavailable("Redis is out of reach"))
        waits.append(outage.until - clock.now)
        assert outage.waiting(clock.now)
        clock.now = outage.until
    assert 0.05 <= waits[0] <= 0.1 and all(2.5 <= wait <= 5 for wait in waits[7:]), "not all at once, and not never"
    assert len({round(wait, 3) for wait in waits[7:]}) > 10, "each waits for another while"
    outage.ended()
    lines = [record.getMessage() for record in caplog.records]
    assert [" ".join(line.split()[:2]) for line in lines] == ["Redis is", "Redis is", "Redis is", "Redis is"]
    assert "outcomes are kept" in lines[0] and "for 6" in lines[1] and "tries" in lines[2] and "back after" in lines[3]
    outage.began(StoreUnavailable("again"))
    assert outage.until - clock.now <= 0.1, "a new outage begins with short waits"


def test_a_redis_that_comes_and_goes_does_not_fill_the_log(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage()
    for _ in range(150):  # a minute of 0.2 s up, 0.2 s down
        outage.began(StoreUnavailable("Redis is out of reach"))
        clock.now += 0.2
        outage.ended()
        clock.now += 0.2
    assert len(caplog.records) <= 2 * (3 + 6)
    told = [record.getMessage() for record in caplog.records if "not told of" in record.getMessage()]
    assert told and any(int(line.split("(")[1].split()[0]) > 10 for line in told)
    caplog.clear()
    outage.began(StoreUnavailable("Redis is out of reach"))
    for _ in range(10):
        clock.now += 1
        outage.began(StoreUnavailable("Redis is out of reach"))
    assert len(caplog.records) == 1, "a long one is always told of"


def test_a_refusal_is_told_once_a_minute_also_when_two_kinds_of_it_alternate(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outage, kinds = Outage(), (StoreFull("full", hint="purge"), StoreUnavailable("MISCONF"))
    for n in range(200):
        outage.refused(kinds[n % 2])
        assert outage.waiting(clock.now) and not outage.waiting(clock.now + 0.5)
        clock.now += random.uniform(0.5, 0.6)
    assert 4 <= len(caplog.records) <= 6
    assert caplog.records[0].getMessage() == "full; purge"
