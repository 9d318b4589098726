"""Parts of jobs when things break: none is lost, none is kept twice, none comes after the end of its job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.crew import HERE, Crew
from harness.proxy import FaultProxy
from harness.server import ALWAYS, FaultServer
from mlq_cli import MLQ, State
from mlq_cli.model.values import unpack
from tests_support import wait_until

LISTENERS = [str(HERE.parent / "worker" / "importable")]


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(redis_url) as made:
        yield made


@pytest.fixture
def server(short_folder: Path) -> Iterator[FaultServer]:
    with FaultServer(short_folder, *ALWAYS) as made:
        yield made


@pytest.fixture
def own(server: FaultServer, namespace: str) -> Iterator[MLQ]:
    with MLQ.from_profile(redis_url=server.url, namespace=namespace) as opened:
        yield opened


def told(mlq: MLQ, job_id: str) -> list[Any]:
    found = []
    for entry in mlq.store.entries(job_id, None, 100_000):
        value = unpack(entry.value)
        found.append(value["state"] if entry.kind == "state" else value)
    return found


@pytest.mark.parametrize("nth", [1, 2])
def test_a_worker_that_misses_the_answer_to_parts_keeps_each_once(
    proxy: FaultProxy, mlq: MLQ, tmp_path: Path, nth: int
) -> None:
    file = tmp_path / "letters"
    file.touch()
    with Crew(proxy.url, mlq.namespace, tmp_path) as crew:
        proxy.drop_reply("emit", nth)
        worker = crew.worker("streams:emits_one_by_one", paths=LISTENERS)
        job_id = mlq.post({"file": str(file), "parts": 4})
        for number in range(4):
            with file.open("a") as letters:
                letters.write("x")
            wait_until(lambda last=number: last in told(mlq, job_id), seconds=20)
        assert mlq.wait(job_id, 20) == 3 and proxy.dropped == ["emit"]
        assert told(mlq, job_id) == ["running", 0, 1, 2, 3, "succeeded"]
        assert not worker.lines("ERROR")


def test_while_redis_is_full_parts_are_kept_up_to_a_limit_and_the_listener_waits(
    server: FaultServer, own: MLQ, namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "emitted"
    with Crew(server.url, namespace, tmp_path) as crew:
        crew.worker("streams:emits_many", paths=LISTENERS, lease=60.0)
        job_id = own.post({"file": str(file), "parts": 5000, "bytes": 2000, "slowly": 300})
        wait_until(lambda: file.exists() and int(file.read_text() or 0) > 100, seconds=20)
        server.command("CONFIG", "SET", "maxmemory", 1)
        seen: list[int] = []
        # It has come to a stop when it has emitted nothing for a second.
        wait_until(lambda: stopped(seen, file), seconds=30)
        assert 500 < seen[-1] < 4000, "some are kept, and not all"
        server.command("CONFIG", "SET", "maxmemory", 0)
        assert own.wait(job_id, 40) == 5000
        found = told(own, job_id)
        assert (found[0], found[-1]) == ("running", "succeeded")
        assert [number for number, _ in found[1:-1]] == list(range(5000))


def stopped(seen: list[int], file: Path) -> bool:
    seen.append(int(file.read_text() or 0))
    return len(seen) > 200 and seen[-200] == seen[-1]


def test_a_worker_that_is_killed_leaves_its_parts_to_a_new_attempt(mlq: MLQ, redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "letters"
    file.write_text("xx")
    with Crew(redis_url, mlq.namespace, tmp_path) as crew:
        job_id = mlq.post({"file": str(file), "parts": 3})
        first = crew.worker("streams:emits_one_by_one", paths=LISTENERS, lease=1.0)
        wait_until(lambda: told(mlq, job_id) == ["running", 0, 1], seconds=20)
        first.process.kill()
        first.process.wait()
        crew.worker("streams:emits_one_by_one", paths=LISTENERS, lease=1.0)
        wait_until(lambda: told(mlq, job_id).count(1) == 2, seconds=30)
        file.write_text("xxx")
        assert mlq.wait(job_id, 20) == 2
    assert told(mlq, job_id) == ["running", 0, 1, "queued", None, "running", 0, 1, 2, "succeeded"]
    assert list(mlq.stream(job_id)) == [0, 1, 2]


@pytest.mark.minutes
def test_parts_come_before_the_end_of_their_job_whatever_breaks(proxy: FaultProxy, mlq: MLQ, tmp_path: Path) -> None:
    """Many short jobs that emit, in slices, over a line that breaks again and again."""
    with Crew(proxy.url, mlq.namespace, tmp_path) as crew:
        crew.worker("streams:emits", paths=LISTENERS, executors=2, lease=10.0)
        proxy.weather.reset_each = 40
        ids = [mlq.post(list(range(number % 7))) for number in range(2000)]
        wait_until(lambda: set(mlq.states(ids)) == {State.SUCCEEDED}, seconds=90)
        proxy.heal()
    for number, job_id in enumerate(ids):
        expected = ["running", *range(number % 7), "succeeded"] if number % 7 else []
        found = told(mlq, job_id)
        attempts = found.count("running")
        assert found == expected or (attempts > 1 and found[-len(expected) :] == expected), (job_id, found)
