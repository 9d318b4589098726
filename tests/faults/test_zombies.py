"""Workers that wake up late, and clocks that jump: none of it makes two of one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.crew import Crew
from harness.endings import assert_each_ended_once, wait_all_ended
from mlq_cli import MLQ, State
from mlq_cli.store.base import Held
from tests_support import alive, wait_until
from timed_store import Bench


@pytest.fixture
def crew(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Crew]:
    with Crew(redis_url, namespace, tmp_path) as made:
        yield made


def runs(path: Path, word: str) -> list[list[str]]:
    """The runs of `steps.step`: id, process, begin or end, instant."""
    if not path.exists():
        return []
    return [line.split() for line in path.read_text().splitlines() if line.split()[2] == word]


@pytest.mark.minutes
def test_a_frozen_worker_that_wakes_up_ends_its_executors_first_and_gives_nothing_away(
    crew: Crew, mlq: MLQ, tmp_path: Path
) -> None:
    """Only the worker is frozen, its executor runs on; the job of another worker must not be disturbed."""
    file, lease = tmp_path / "runs", 2.0
    zombie = crew.worker(lease=lease)
    job_id = mlq.post({"file": str(file), "seconds": 12, "result": "ran"})
    wait_until(lambda: runs(file, "begin"), seconds=20)
    waiting = [mlq.post({"file": str(file), "result": n}) for n in range(3)]
    first = int(runs(file, "begin")[0][1])
    zombie.signal(signal.SIGSTOP)
    # It would be the oldest job by far; cut the second run short.
    crew.worker("steps:second", lease=lease)
    assert mlq.wait(job_id, 30) == "the second's"
    assert alive(first), "nobody has told it"
    woken = time.monotonic()
    zombie.signal(signal.SIGCONT)
    wait_until(lambda: not alive(first), seconds=2)
    assert time.monotonic() - woken < 0.5
    wait_all_ended(mlq, waiting)
    # It is of use again, and nothing of what it held has been recorded twice.
    crew.members[1].process.terminate()
    assert crew.members[1].process.wait(10) == 0
    last = mlq.post({"file": str(file), "result": "last"})
    assert mlq.wait(last, 20) == "last"
    stats = assert_each_ended_once(mlq, [job_id, *waiting, last])
    assert (stats["lost"], stats.get("refused", 0)) == (1, 0)


@pytest.mark.minutes
def test_jobs_that_a_frozen_worker_had_claimed_run_once_only(crew: Crew, mlq: MLQ, tmp_path: Path) -> None:
    """Frozen again and again at any moment, also between a claim and the handing out of what it brought."""
    file, lease = tmp_path / "runs", 1.5
    workers = [crew.worker(lease=lease, executors=2) for _ in range(2)]
    ids = list(mlq.post_many([{"file": str(file), "seconds": 0.05}] * 900))
    for n in range(4):
        zombie = workers[n % 2]
        before = len(runs(file, "begin"))
        wait_until(lambda before=before: len(runs(file, "begin")) > before + 5, seconds=20)
        over = time.monotonic() + 2 * lease
        zombie.signal(signal.SIGSTOP)
        wait_until(lambda over=over: time.monotonic() > over)
        zombie.signal(signal.SIGCONT)
    wait_all_ended(mlq, ids, seconds=60)
    assert_each_ended_once(mlq, ids)
    # No run begins while another of the same job goes on.
    at: dict[str, float] = {}
    for job_id, _, word, instant in sorted(
        runs(file, "begin") + runs(file, "end"), key=lambda run: (float(run[3]), run[2] == "begin")
    ):
        if word == "begin":
            # A run without an end was killed with its executor, before the lease was over.
            assert float(instant) - at.get(job_id, 0.0) > 0.05 or job_id not in at, f"job {job_id} overlaps"
            at[job_id] = float(instant)
    assert all(worker.alive() for worker in workers)


def test_a_machine_that_slept_past_the_lease_ends_its_jobs_when_it_wakes(crew: Crew, mlq: MLQ, tmp_path: Path) -> None:
    """The boot-time clock gains a lease, the monotonic one nothing: as after a suspend."""
    file, gained = tmp_path / "runs", tmp_path / "gained"
    worker = crew.worker(lease=30.0, boot=gained)
    job_id = mlq.post({"file": str(file), "seconds": 1.5, "result": "ran"})
    wait_until(lambda: runs(file, "begin"), seconds=20)
    first = int(runs(file, "begin")[0][1])
    gained.write_text("3600")
    wait_until(lambda: not alive(first), seconds=10)
    wait_until(lambda: worker.lines("no lease could be renewed"))
    # Given back by its token, at once: nobody has to wait for the lease.
    assert mlq.wait(job_id, 20) == "ran"
    record = mlq.get_job(job_id)
    assert (record["attempt"], record["retries"]) == (1, 0)
    assert worker.alive()


@pytest.mark.minutes
@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 86400.0, -86400.0])
def test_a_wrong_clock_on_the_wall_of_a_worker_changes_no_lease_and_no_schedule(
    crew: Crew, mlq: MLQ, tmp_path: Path, ahead: float
) -> None:
    file = tmp_path / "runs"
    crew.worker(lease=3.0, executors=2, wall=ahead, setup="steps:shift_wall_clock")
    crew.worker(lease=3.0, queues=["other"])
    crew.reaper(lease=3.0)
    began = time.time()
    long = mlq.post({"file": str(file), "seconds": 4.0}, timeout=8.0)
    wait_until(lambda: mlq.get_job(long)["state"] is State.RUNNING, seconds=20)
    assert -1 < (mlq.get_job(long)["lease_until"] or 0) - time.time() < 4
    due, failing = mlq.post({"file": str(file)}, delay=1.0), mlq.post({"file": str(file), "fail": True}, retries=1)
    wait_all_ended(mlq, [long, due, failing], seconds=30)
    stats = next(counts.stats for counts in mlq.counts() if counts.queue == "default")
    assert (stats["succeeded"], stats["dead"], stats["claimed"]) == (2, 1, 4) and "lost" not in stats
    for job_id in (long, due, failing):
        record = mlq.get_job(job_id)
        started, finished = record["processing_started"] or 0, record["processing_finished"] or 0
        assert began - 1 < started <= finished < time.time() + 1, "by the clock of Redis"
    record = mlq.get_job(due)
    assert 1.0 <= (record["processing_started"] or 0) - record["timestamp"] < 4
    record = mlq.get_job(long)
    assert 3.9 < (record["processing_finished"] or 0) - (record["processing_started"] or 0) < 8


# --- the clock of Redis itself: on the bench it jumps when the test says so -------------------------------------------
@pytest.fixture
def bench(redis_url: str, namespace: str) -> Iterator[Any]:
    made = Bench(redis_url, namespace)
    yield made
    for job_id in made.store.ids(None, list(State), None):
        assert len(made.sets_of(job_id)) == 1 and made.sets_of(job_id)[0][1] == made.state(job_id)
    made.store.close()


def test_a_clock_of_redis_that_jumps_ahead_takes_no_job_from_a_worker_that_lives(bench: Any) -> None:
    ids = bench.post(*range(50))
    claims = bench.claim(50)
    held = [Held(job.id, bench.token) for job in claims.jobs]
    bench.at(3600)
    assert bench.sweep().given_back == 0 and bench.claim(5, worker="w2").jobs == []
    swept = bench.sweep()
    assert swept.given_back == 0 and 0 < swept.grace <= bench.rules.lease
    assert bench.beat(held) == {}, "all of them are still its own"
    bench.at(3600 + bench.rules.lease + 1)
    assert bench.beat(held) == {}
    assert bench.sweep().given_back == 0
    assert {bench.state(job_id) for job_id in ids} == {State.RUNNING}
    for each in held:
        assert bench.finish(each) == {}


def test_after_a_jump_ahead_the_jobs_of_the_dead_are_still_given_back_a_lease_later(bench: Any) -> None:
    (job_id,) = bench.post("x")
    bench.take()
    bench.at(3600)
    bench.beat([], worker="another")
    bench.pass_to(3600 + bench.rules.lease + 1)
    assert bench.sweep().given_back == 1 and bench.state(job_id) is State.QUEUED


def test_a_clock_of_redis_that_jumps_back_ends_no_run_and_delays_at_most_by_the_jump(bench: Any) -> None:
    """What is given back is late by the hour of the jump; a worker that lives notices nothing."""
    running, lost = bench.post("running", "lost")
    held, gone = bench.take(), bench.take(worker="w2")
    assert (held.id, gone.id) == (running, lost)
    (due,) = bench.post("due", delay=60)
    bench.at(-3600)
    assert bench.sweep().given_back == 0
    assert bench.beat([held]) == {}, "its lease ends by the new clock from now on"
    assert bench.record(running)["lease_until"] == pytest.approx(bench.store.now + bench.rules.lease, abs=0.01)
    (new,) = bench.post("new")
    assert [job.id for job in bench.claim(5, worker="w3").jobs] == [new], "what is not scheduled runs at once"
    assert bench.finish(held) == {}
    bench.pass_to(20)
    assert bench.state(lost) is State.RUNNING and bench.state(due) is State.SCHEDULED
    bench.pass_to(61)
    bench.sweep()
    assert bench.state(lost) is State.QUEUED and bench.state(due) is State.QUEUED
