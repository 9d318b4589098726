"""Jobs on a bad network: slow, thin, broken, silent in one direction, losing replies, partitioned."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.crew import Crew
from harness.endings import assert_each_ended_once, wait_all_ended
from harness.proxy import FaultProxy
from mlq_cli import MLQ, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.values import pack
from tests_support import wait_until

JOBS = Path(__file__).parents[1] / "worker" / "importable"


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(redis_url) as made:
        yield made


@pytest.fixture
def crew(proxy: FaultProxy, namespace: str, tmp_path: Path) -> Iterator[Crew]:
    """Members that reach the server through the proxy, unless told otherwise."""
    with Crew(proxy.url, namespace, tmp_path) as made:
        yield made


@pytest.fixture
def far(proxy: FaultProxy, namespace: str) -> Iterator[MLQ]:
    """An MLQ that reaches the server through the proxy."""
    with MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as opened:
        yield opened


def lines(path: Path, word: str) -> list[str]:
    """The runs of `steps.step` that are noted there, with this word."""
    return [line for line in path.read_text().splitlines() if word in line] if path.exists() else []


def begun(path: Path, job_id: str) -> int:
    """The number of runs of a job."""
    return sum(line.split()[0] == job_id for line in lines(path, "begin"))


@pytest.mark.minutes
def test_latency_costs_no_lease(crew: Crew, proxy: FaultProxy, far: MLQ, tmp_path: Path) -> None:
    proxy.latency(0.05, 0.05)
    crew.worker(executors=4, lease=3.0)
    ids = list(far.post_many([{"file": str(tmp_path / "runs"), "seconds": 0.1}] * 60))
    wait_all_ended(far, ids, seconds=30)
    stats = assert_each_ended_once(far, ids)
    assert "lost" not in stats and "refused" not in stats and stats["claimed"] - stats.get("released", 0) == 60
    assert len(lines(tmp_path / "runs", "begin")) == 60
    began, ended = ([float(line.split()[3]) for line in lines(tmp_path / "runs", word)] for word in ("begin", "end"))
    # Each executor waits at worst for two exchanges of 0.2 s between two jobs of 0.1 s.
    assert max(ended) - min(began) < 3 * 60 / 4 * (0.1 + 0.2)


@pytest.mark.minutes
def test_a_thin_line_full_of_large_values_keeps_the_leases(
    crew: Crew, proxy: FaultProxy, mlq: MLQ, tmp_path: Path
) -> None:
    """1 MiB takes 16 s each way; nobody else is there, but another worker whose sweep would notice."""
    proxy.bandwidth(64_000)
    thin = crew.worker("steps:large", lease=30.0)
    wait_until(mlq.workers)
    ids = [mlq.post({"size": 1_000_000, "padding": b"p" * 1_000_000, "seconds": 1})]
    wait_until(lambda: mlq.get_job(ids[0])["state"] is State.RUNNING, seconds=20)
    crew.worker("steps:large", url=mlq.profile.redis.url, lease=30.0, queues=["other"])
    wait_all_ended(mlq, ids, seconds=90)
    stats = assert_each_ended_once(mlq, ids)
    assert "lost" not in stats and "refused" not in stats and thin.alive()
    assert mlq.get_job(ids[0])["attempt"] == 1


@pytest.mark.parametrize(
    ("jobs", "chunks"), [(500, 20), pytest.param(10_000, 200, marks=pytest.mark.minutes)], ids=["few", "many"]
)
def test_resets_lose_nothing_and_double_nothing(
    crew: Crew, proxy: FaultProxy, far: MLQ, mlq: MLQ, tmp_path: Path, jobs: int, chunks: int
) -> None:
    workers = [crew.worker("steps:step", lease=5.0, executors=2) for _ in range(2)]
    wait_until(lambda: all(worker.at_work() for worker in workers), seconds=20)  # one that cannot begin gives up
    proxy.reset_each(chunks)
    ids: list[str] = []
    for first in range(0, jobs, 50):
        # A post is sent again once by itself; a second reset in a row is told to the caller, who may post again.
        own, messages = [f"j{n}" for n in range(first, first + 50)], [pack({"file": str(tmp_path / "runs")})] * 50
        ids += wait_until(lambda own=own, all=messages: far.store.ask(far.store.post(all, PostOptions(), own)).ids)
    wait_all_ended(mlq, ids, seconds=100)
    proxy.heal()
    assert_each_ended_once(mlq, ids)
    assert len(ids) == jobs and proxy.links_opened > jobs / chunks / 5
    assert all(worker.alive() for worker in workers)


@pytest.mark.minutes
@pytest.mark.parametrize("way", ["both", "up", "down"])
def test_an_idle_worker_behind_a_half_open_connection_works_again_after_it_heals(
    crew: Crew, proxy: FaultProxy, mlq: MLQ, way: Any
) -> None:
    worker = crew.worker("jobs:echo", paths=[str(JOBS)], lease=6.0)
    assert mlq.wait(mlq.post("before"), 20) == "before"
    proxy.blackhole(way)
    job_id = mlq.post("meanwhile")
    wait_until(lambda: worker.lines("out of reach") or mlq.get_job(job_id)["state"] is State.RUNNING, seconds=20)
    wait_until(lambda: worker.lines("out of reach"), seconds=20)
    proxy.heal()
    healed = time.monotonic()
    assert mlq.wait(mlq.post("after"), 30) == "after"
    assert time.monotonic() - healed < 8, "the longest pause between two tries is 5 s"
    # With the answers lost («down») the job was claimed and not heard of: the next claim answers it again.
    assert mlq.wait(job_id, 30) == "meanwhile" and worker.alive()
    assert len(worker.lines("out of reach")) == len(worker.lines("Redis is back")) == 1


@pytest.mark.minutes
@pytest.mark.parametrize("way", ["both", "up", "down"])
def test_a_busy_worker_behind_a_half_open_connection_ends_its_job_before_another_begins_it(
    crew: Crew, proxy: FaultProxy, mlq: MLQ, redis_url: str, tmp_path: Path, way: Any
) -> None:
    lease, runs = 5.0, tmp_path / "runs"
    cut_off = crew.worker(lease=lease)
    job_id = mlq.post({"file": str(runs), "seconds": 9, "result": "ran"})
    wait_until(lambda: begun(runs, job_id) == 1, seconds=20)
    first = int(lines(runs, "begin")[0].split()[1])
    crew.worker(url=redis_url, lease=lease)
    proxy.blackhole(way)
    if way == "up":
        # The requests are held, not lost: what arrives after the healing is a heartbeat of a lease that others have.
        wait_until(lambda: not executor_alive(first), seconds=2 * lease)
        assert begun(runs, job_id) == 1, "its lease was still running"
    wait_until(lambda: begun(runs, job_id) == 2, seconds=4 * lease)
    assert not executor_alive(first), "two at once: it was not ended before its lease"
    wait_until(lambda: cut_off.lines("no lease could be renewed"))
    other = mlq.post({"file": str(runs), "result": "other"})
    proxy.heal()
    healed = time.monotonic()
    assert mlq.wait(other, 20) == "other"
    assert time.monotonic() - healed < 8
    assert mlq.wait(job_id, 30) == "ran" and mlq.get_job(job_id)["attempt"] == 2
    assert begun(runs, job_id) == 2
    assert cut_off.alive() and assert_each_ended_once(mlq, [job_id, other])["succeeded"] == 2


def test_one_byte_at_a_time_is_enough(crew: Crew, proxy: FaultProxy, far: MLQ, tmp_path: Path) -> None:
    proxy.slicer(1)
    crew.worker(lease=5.0)
    message = {"file": str(tmp_path / "runs"), "result": "x" * 500}
    ids = list(far.post_many([message] * 10))
    wait_all_ended(far, ids, seconds=30)
    assert "lost" not in assert_each_ended_once(far, ids)
    assert far.get_result(ids[0]) == "x" * 500


@pytest.mark.minutes
def test_a_line_that_comes_and_goes_makes_progress_and_little_noise(
    crew: Crew, proxy: FaultProxy, mlq: MLQ, tmp_path: Path
) -> None:
    worker = crew.worker(lease=5.0)
    wait_until(mlq.workers, seconds=20)  # one that cannot reach Redis when it starts says so and ends
    ids = list(mlq.post_many([{"file": str(tmp_path / "runs"), "seconds": 0.2}] * 40))
    began = time.monotonic()
    up = True
    for at in range(1, 150):
        wait_until(lambda at=at: time.monotonic() > began + at * 0.2)
        (proxy.refuse if up else proxy.heal)()
        up = not up
    proxy.heal()
    wait_all_ended(mlq, ids, seconds=30)
    assert_each_ended_once(mlq, ids)
    assert len(worker.log().splitlines()) < 30 + 5, "a line a second, and those of its start"


@pytest.mark.minutes
def test_the_outcome_of_a_partitioned_worker_is_refused_when_another_has_finished(
    crew: Crew, proxy: FaultProxy, mlq: MLQ, redis_url: str, tmp_path: Path
) -> None:
    """Its job ends during the partition, within the lease; its outcome arrives when another's is recorded already."""
    lease, runs = 6.0, tmp_path / "runs"
    far_side = crew.worker(lease=lease)
    job_id = mlq.post({"file": str(runs), "seconds": 1.0, "result": "the first's"})
    wait_until(lambda: begun(runs, job_id) == 1, seconds=20)
    proxy.blackhole("both")
    crew.worker("steps:second", url=redis_url, lease=lease)
    assert mlq.wait(job_id, 30) == "the second's"
    assert len(lines(runs, "end")) == 1, "the first one finished too"
    wait_until(lambda: far_side.lines("out of reach"))
    proxy.reset()  # what is under way never arrives: each copy of the late outcome would be refused and counted
    proxy.heal()
    wait_until(lambda: far_side.lines("refused"), seconds=20)
    stats = assert_each_ended_once(mlq, [job_id])
    assert stats["refused"] == 1 and stats["lost"] == 1
    record = mlq.get_job(job_id)
    assert (record["result"], record["attempt"], record["retries"]) == ("the second's", 2, 1)
    assert far_side.alive()


def executor_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
