"""What a worker does for its leases: it renews them whatever its jobs do, and lets go of what it could not renew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from one_by_one import OneByOne

from mlq_cli import MLQ
from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.model.rules import Rules
from mlq_cli.store.base import Call, Claims
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.options import WorkerOptions
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.run import executor_settings, process_hosts
from mlq_cli.worker.worker import Worker
from tests_support import Server, alive, wait_until

IMPORTABLE = Path(__file__).parent / "importable"


def test_a_job_that_holds_the_interpreter_keeps_its_lease(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    start_worker("jobs:hold_the_lock", lease=1.0)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 3})
    wait_until((tmp_path / "ran").exists)
    start_worker("jobs:hold_the_lock", lease=1.0)
    assert mlq.wait(job_id, 20) == "held"
    record = mlq.get_job(job_id)
    assert (record["attempt"], record["retries"]) == (1, 0)
    assert len((tmp_path / "ran").read_text().splitlines()) == 1


def test_a_worker_that_cannot_renew_ends_what_runs(
    short_folder: Path, start_worker: Any, namespace: str, tmp_path: Path
) -> None:
    """Somebody else may run it soon, whoever could not reach Redis until then."""
    with Server(short_folder) as server:
        mlq = MLQ.from_profile(redis_url=server.url, namespace=namespace)
        start_worker("jobs:touch_then_sleep", url=server.url, lease=2.0)
        mlq.post({"file": str(tmp_path / "ran"), "seconds": 60})
        pid = int(wait_until(lambda: (tmp_path / "ran").read_text()))
        server.kill()
        wait_until(lambda: not alive(pid), seconds=8)
        mlq.close()


@pytest.fixture
def worker_here(mlq: MLQ) -> Iterator[Worker]:
    """A worker in a thread of this process, so that a test may set its clocks; its executor is a process."""
    outbox = Outbox()
    options = WorkerOptions(("jobs:touch_then_sleep",), paths=(str(IMPORTABLE),))
    settings = executor_settings("here", options, None)
    lane = Lane("jobs", ("default",), process_hosts("here"), settings, outbox, size=1)
    mlq.store.talk = lambda: OneByOne(lambda *calls: mlq.store.run(*calls))  # type: ignore[method-assign]
    worker = Worker(mlq.store, "here", Rules(lease=30.0), outbox, [lane], grace=0.0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.stop()
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def lose(mlq: MLQ, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bool], list[str]]:
    """Return a function: the next two writes that hold this verb are lost, or only their answers are."""

    def begin(verb: str, arrives: bool) -> list[str]:
        send, lost = mlq.store.run, []

        def run(*calls: Call[Any], meanwhile: Any = None) -> list[Any]:
            losing = len(lost) < 2 and any(call.verb == verb for call in calls)
            answers = send(*calls, meanwhile=meanwhile) if arrives or not losing else []
            if not losing or (verb == "claim" and not any(isinstance(each, Claims) and each.jobs for each in answers)):
                return answers
            lost.append(verb)
            raise StoreUnavailable("nobody answers")

        monkeypatch.setattr(mlq.store, "run", run)
        return lost

    return begin


@pytest.mark.parametrize("arrives", [False, True], ids=["it is lost", "its answer is lost"])
def test_an_outcome_without_an_answer_is_sent_again(
    mlq: MLQ, worker_here: Worker, lose: Any, tmp_path: Path, arrives: bool
) -> None:
    lost = lose("finish", arrives)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 0})
    assert mlq.wait(job_id, 20) == "slept"
    wait_until(lambda: len(lost) == 2)
    wait_until(lambda: (mlq.counts()[0].stats["succeeded"], mlq.get_job(job_id)["attempt"]) == (1, 1))
    assert len((tmp_path / "ran").read_text().splitlines()) == 1


def test_a_claim_without_an_answer_gets_the_same_jobs_when_it_asks_again(
    mlq: MLQ, worker_here: Worker, lose: Any, tmp_path: Path
) -> None:
    """Otherwise they would wait for the end of a lease that nobody knows of."""
    lost = lose("claim", True)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": 0})
    assert mlq.wait(job_id, 20) == "slept"
    assert len(lost) == 2 and mlq.get_job(job_id)["attempt"] == 1


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no clock that goes on in its sleep")
def test_a_worker_whose_machine_slept_ends_what_runs(
    mlq: MLQ, worker_here: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock that stands still while a machine sleeps would say that its leases are fresh."""
    mlq.post({"file": str(tmp_path / "ran"), "seconds": 60})
    pid = int(wait_until(lambda: (tmp_path / "ran").read_text()))
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 100 * (clock == time.CLOCK_BOOTTIME))
    wait_until(lambda: not alive(pid), seconds=8)
