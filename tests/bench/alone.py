"""What is measured of ours alone: the depth of the queue, a crowd of idle workers, the command line."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from arena import Arena, Stuck
from measure import Numbers

from mlq_cli import MLQ

HERE = Path(__file__).parent
DEPTHS = (1_000, 100_000, 1_000_000)
CROWDS = (1, 10, 100, 1_000)
POSTS, POST_EVERY = 1_000, 0.001  # for a crowd: so many jobs, one a millisecond


def open_mlq(arena: Arena) -> MLQ:
    """Return an MLQ on the benchmark's server."""
    return MLQ.from_profile(redis_url=arena.server.url, namespace="bench")


def depth(arena: Arena, waiting: int) -> Numbers:
    """How fast a worker drains a queue in which so many jobs wait. The longest is only drained for two seconds."""
    arena.clean()
    name = f"drain of {waiting:,} waiting/s"
    if waiting <= 1_000:
        return {name: shallow(arena, waiting)}
    arena.client("bulk", waiting)
    with arena.worker() as worker:
        arena.wait_for_ticks(min(waiting, 20_000), worker, pause=0.005)
        before, _, since = arena.ticks()
        until = time.monotonic() + 2.0
        while arena.ticks()[0] < waiting and time.monotonic() < until:
            time.sleep(0.02)
        after, _, last = arena.ticks()
        return {name: (after - before) / (last - since)}


def shallow(arena: Arena, waiting: int, times: int = 20) -> float:
    """A queue this short is drained in no time: do so often, the median."""
    rates = []
    with open_mlq(arena) as mlq, arena.worker() as worker:
        done = 0
        for _ in range(times):
            mlq.pause()
            mlq.post_many({"i": 7} for _ in range(waiting))
            began = time.monotonic()
            mlq.resume()
            done += waiting
            arena.wait_for_ticks(done, worker, pause=0.002)
            rates.append(waiting / (arena.ticks()[2] - began))
    return statistics.median(rates)


def crowd(arena: Arena, number: int) -> Numbers:
    """What a job costs Redis when it wakes one of so many idle workers."""
    arena.clean()
    environment = {**os.environ, "MLQ_REDIS_URL": arena.server.url, "MLQ_NAMESPACE": "bench"}
    process = subprocess.Popen(
        [sys.executable, HERE / "crowd.py", str(number)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if not process.stdout or process.stdout.readline() != "ready\n":
            raise Stuck("the crowd did not come")
        with open_mlq(arena) as mlq:
            used, commands, due = arena.server.cpu(), arena.server.commands(), time.monotonic()
            for _ in range(POSTS):
                mlq.post({"i": 7})
                due += POST_EVERY
                time.sleep(max(0.0, due - time.monotonic()))
            used, commands = arena.server.cpu() - used, arena.server.commands() - commands
        claims = process.communicate(timeout=10)[0]
    finally:
        process.kill()
        process.wait()
    return {
        f"redis us/job, {number:,} workers": used / POSTS * 1e6,
        f"commands/job, {number:,} workers": commands / POSTS,
        f"claims/job, {number:,} workers": int(claims) / POSTS,
    }


def command_line(arena: Arena, times: int = 10) -> Numbers:
    """How long `mlq post` takes beside the import of what it cannot do without."""
    arena.clean()
    environment = {**os.environ, "MLQ_REDIS_URL": arena.server.url, "MLQ_NAMESPACE": "bench"}
    bare = [sys.executable, "-c", "import redis, msgpack"]
    ours = [str(Path(sys.executable).parent / "mlq"), "post", "{}"]
    taken: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(times):
        for name, command in (("bare", bare), ("ours", ours)):
            began = time.perf_counter()
            subprocess.run(command, env=environment, capture_output=True, check=True, cwd="/")
            taken[name].append((time.perf_counter() - began) * 1e3)
    return {"mlq post ms": statistics.median(taken["ours"]), "import redis ms": statistics.median(taken["bare"])}


def alone(arena: Arena, quick: bool = False) -> Iterator[Numbers]:
    """Yield all of it."""
    yield command_line(arena, 3 if quick else 10)
    for waiting in DEPTHS[: 2 if quick else 3]:
        yield depth(arena, waiting)
    for number in CROWDS[: 2 if quick else 4]:
        yield crowd(arena, number)
