"""A worker that could not renew its leases ends what it runs before somebody else may run it."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.server import ALWAYS, FaultServer
from mlq_cli import MLQ, State
from mlq_cli.worker import fence
from mlq_cli.worker.fence import Fence
from tests_support import alive, wait_until


@pytest.mark.minutes
def test_a_worker_whose_redis_is_frozen_ends_its_executor_before_the_lease_does(
    short_folder: Path, start_worker: Any, namespace: str
) -> None:
    """Its loop hangs in a read for four seconds; the lease ends earlier."""
    with FaultServer(short_folder) as server, MLQ.from_profile(redis_url=server.url, namespace=namespace) as mlq:
        worker = start_worker("jobs:touch_then_sleep", url=server.url, lease=2.0)
        job_id = mlq.post({"file": str(short_folder / "ran"), "seconds": 3})
        pid = int(wait_until(lambda: (short_folder / "ran").read_text()))
        lease_until = mlq.get_job(job_id)["lease_until"] or 0.0
        server.stop()
        try:
            wait_until(lambda: not alive(pid), seconds=5)
            assert time.time() < lease_until + 2.0 / 3 + 0.1, "renewed once more at most, and never outlived"
        finally:
            server.cont()
        assert mlq.wait(job_id, 20) == "slept"
        record = mlq.get_job(job_id)
        assert (record["retries"], record["crashes"]) == (0, 0), "it was given back, not lost"
        assert "ended what ran" in worker.log() and worker.poll() is None


def test_a_worker_that_was_frozen_starts_nothing_that_it_had_claimed_before(
    short_folder: Path, start_worker: Any, namespace: str
) -> None:
    with (
        FaultServer(short_folder, *ALWAYS) as server,
        MLQ.from_profile(redis_url=server.url, namespace=namespace) as mlq,
    ):
        frozen = start_worker("jobs:touch_then_sleep", url=server.url, lease=1.0, executors=2)
        files = [short_folder / name for name in "abcd"]
        ids = [mlq.post({"file": str(file), "seconds": 0.5}) for file in files[:2]]
        wait_until(lambda: files[0].exists() and files[1].exists())
        frozen.send_signal(signal.SIGSTOP)
        ids += [mlq.post({"file": str(file), "seconds": 0.5}) for file in files[2:]]
        start_worker("jobs:touch_then_sleep", url=server.url, lease=1.0, executors=2)
        for job_id in ids:
            mlq.wait_ended(job_id, 20)
        runs = [len(file.read_text().split()) for file in files]
        frozen.send_signal(signal.SIGCONT)
        wait_until(lambda: "ended what ran" in frozen.log() or "too late" in frozen.log())
        after = mlq.post({"file": str(short_folder / "after"), "seconds": 0})
        assert mlq.wait(after, 20) == "slept"
        assert [len(file.read_text().split()) for file in files] == runs
        assert mlq.states(ids) == [State.SUCCEEDED] * 4
        assert mlq.counts()[0].stats["succeeded"] == 5


def test_the_fence_measures_the_time_that_a_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {time.CLOCK_BOOTTIME: 1000.0, time.CLOCK_MONOTONIC: 1000.0}
    monkeypatch.setattr(fence.time, "clock_gettime", clock.__getitem__)
    guard = Fence(30.0, lambda: None)
    assert not guard.too_late()
    clock[time.CLOCK_BOOTTIME] += 23.9
    assert not guard.too_late()
    clock[time.CLOCK_BOOTTIME] += 0.2
    assert guard.too_late(), "0.8 of the lease have passed"
    guard.renewed(clock[time.CLOCK_BOOTTIME] - 1)
    assert not guard.too_late() and guard.too_late(1000.0)


def test_the_fence_acts_while_the_loop_hangs() -> None:
    ended: list[float] = []
    guard = Fence(0.2, lambda: ended.append(time.monotonic()))
    began = time.monotonic()
    guard.start()
    wait_until(lambda: ended)
    guard.close()
    assert 0.15 <= ended[0] - began < 1.0
