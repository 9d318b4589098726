"""A move that is cut off anywhere and done again leaves each job in one place, run once, while workers go on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from harness.crew import Crew
from mlq_cli import MLQ, State
from mlq_cli.moving import move_queue
from tests_support import Server, wait_until

FAULTS = Path(__file__).parent
JOBS = 300
BATCH = 20
PLACES = [
    f"{verb}:{side}={action}@{nth}"
    for verb, nth in (("embark", 1), ("depart", 1), ("depart", 3), ("arrive", 1), ("arrive", 3))
    for side in ("before", "after")
    for action in ("kill9", "raise")
]
QUICK = {"arrive:after=kill9@3"}

Move = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def there(short_folder: Path) -> Iterator[MLQ]:
    """A namespace on another server."""
    with (
        Server(short_folder) as server,
        MLQ.from_profile(redis_url=server.url, namespace=f"t{uuid4().hex[:8]}") as mlq,
    ):
        yield mlq


@pytest.fixture
def move(mlq: MLQ, redis_url: str, there: MLQ, tmp_path: Path) -> Iterator[Move]:
    """Start one who moves the queue from here to there."""
    started: list[subprocess.Popen[str]] = []

    def start(spec: str = "") -> subprocess.Popen[str]:
        given = {
            "source": [redis_url, mlq.namespace],
            "to": [there.profile.redis.url, there.namespace],
            "batch": BATCH,
            "spec": spec,
            "hits": str(tmp_path / "hits"),
        }
        path = os.pathsep.join(map(str, (FAULTS, FAULTS.parent / "support")))
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "harness.mover", json.dumps(given)],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def post(mlq: MLQ, folder: Path, **more: Any) -> None:
    """Half of the jobs with ids of their own, some for later."""
    messages = [{"file": str(folder / "runs"), "number": number, **more} for number in range(JOBS)]
    mlq.post_many(messages[: JOBS // 2 - 10])
    mlq.post_many(messages[JOBS // 2 - 10 : JOBS // 2], delay=0.5)
    for message in messages[JOBS // 2 :]:
        mlq.post(message, id=f"mine-{message['number']}")


def finish(source: Crew, to: Crew, mlq: MLQ, there: MLQ, folder: Path) -> tuple[int, int]:
    """Let workers of both sides run all jobs; returns how many each side has."""

    def at_work() -> int:
        return sum(sum(c.states.values()) - c.states[State.SUCCEEDED] for each in (mlq, there) for c in each.counts())

    wait_until(lambda: at_work() == 0, seconds=40)
    results = [[record["result"] for record in each.list_jobs(limit=2 * JOBS)] for each in (mlq, there)]
    assert Counter(results[0] + results[1]) == Counter(range(JOBS)), "each is in one of the two places"
    runs = Counter((folder / "runs").read_text().split())
    assert runs == Counter(map(str, range(JOBS))), "and ran once"
    return len(results[0]), len(results[1])


@pytest.mark.parametrize(
    "spec",
    [pytest.param(spec, id=spec, marks=[] if spec in QUICK else [pytest.mark.minutes]) for spec in PLACES],
)
def test_nothing_is_lost_or_run_twice_when_a_move_breaks_off_at(
    spec: str, mlq: MLQ, redis_url: str, there: MLQ, tmp_path: Path, move: Move
) -> None:
    post(mlq, tmp_path, seconds=0.005)
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
    with (
        Crew(redis_url, mlq.namespace, folders[0]) as source,
        Crew(str(there.profile.redis.url), there.namespace, folders[1]) as to,
    ):
        to.worker("steps:numbered", lease=2.0)
        cut = move(spec)
        assert cut.wait(30) != 0 and (tmp_path / "hits").read_text() == f"{spec}\n"
        source.worker("steps:numbered", lease=2.0)  # what is held must not be taken while nobody moves
        wait_until(lambda: sum(c.states[State.SUCCEEDED] for c in mlq.counts()) > 20, seconds=20)
        assert move().wait(30) == 0
        assert sum(c.states[State.BLOCKED] for c in mlq.counts()) == 0
        _, moved = finish(source, to, mlq, there, tmp_path)
        assert moved >= (BATCH if "@3" in spec else 0)


@pytest.mark.minutes
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_or_run_twice_when_movers_are_killed_at_random(
    seed: int, mlq: MLQ, redis_url: str, there: MLQ, tmp_path: Path, move: Move
) -> None:
    dice = random.Random(seed)
    post(mlq, tmp_path)
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
    with (
        Crew(redis_url, mlq.namespace, folders[0]) as source,
        Crew(str(there.profile.redis.url), there.namespace, folders[1]) as to,
    ):
        to.worker("steps:numbered", lease=2.0)
        for _ in range(6):
            process = move()
            assert process.stdout
            for _ in range(dice.randrange(4)):
                process.stdout.readline()
            for _ in range(dice.randrange(20_000)):
                pass
            process.send_signal(signal.SIGKILL)
            process.wait()
        source.worker("steps:numbered", lease=2.0)
        assert move().wait(30) == 0
        finish(source, to, mlq, there, tmp_path)


def test_two_who_move_at_once_lose_and_double_nothing(mlq: MLQ, there: MLQ, tmp_path: Path, move: Move) -> None:
    post(mlq, tmp_path)
    both = [move(), move()]
    assert sorted(process.wait(30) for process in both) in ([0, 0], [0, 7]), "one may be told that another moves"
    if sum(c.tally.enqueued for c in mlq.counts()):
        move_queue(mlq.store, "default", there.store, "default", lambda done: None)
    numbers = [record["msg"]["number"] for record in there.list_jobs(limit=2 * JOBS)]
    assert Counter(numbers) == Counter(range(JOBS)) and mlq.list_jobs() == []
