"""What is measured of every contestant, one round of it; numbers in the units that their names say."""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable
from pathlib import Path

from arena import Arena, Stuck
from contestants import LOOPS, OURS, THROW_AWAY, YARDSTICK, Contestant
from processes import cpu_seconds, resident_megabytes, tree, wait_for

from mlq_cli import MLQ
from mlq_cli.model.job import State

sys.path.append(str(Path(__file__).parent / "peers"))
from client import sleep_of

MEMORY_JOBS = 10_000
MEMORY_BYTES = "98"  # letters: with its msgpack head a message of 100 bytes
MIXED_JOBS = 400  # of them 1 % take 200 ms
WARM_UP = 8  # jobs of 50 ms, before those
ENDS = 500  # jobs
IDLE_SECONDS = 10.0  # a heartbeat of ours, the longest of all
ROUND_TRIPS = 200

Numbers = dict[str, float]
Load = Callable[[Arena, float], Numbers]


def loads_of(contestant: Contestant, number: int) -> list[Load]:
    """Return what is measured of a contestant in a round; yardsticks and loops only post and drain."""
    if contestant in (YARDSTICK, THROW_AWAY, *LOOPS):
        return [drain, post]
    every = [drain, post, start, latency, mixed]
    if contestant is OURS:
        return [*every, memory, idle]
    return [*every, memory, idle] if number == 1 else every  # these two take time and vary little


def drain(arena: Arena, scale: float, command: str = "", number: int = 1) -> Numbers:
    """Post in bulk, then let a worker run all of it; its start does not count."""
    arena.clean()
    jobs = max(100, int(arena.contestant.jobs * scale))
    seconds = arena.client("bulk", jobs)
    used = arena.server.cpu()
    with arena.worker(command=command, number=number) as worker:
        arena.wait_for_ticks(jobs, worker)
    count, first, last = arena.ticks()
    cost = (arena.server.cpu() - used) / jobs * 1e6
    numbers = {"bulk/s": jobs / seconds, "drain/s": (count - 1) / (last - first), "redis us/job": cost}
    return {**numbers, "settled/s": settled(arena, jobs)} if arena.contestant is OURS else numbers


def settled(arena: Arena, jobs: int) -> float:
    """Return how fast ours was by Redis' clock: from the first to the last outcome it has. Raises Stuck.

    Looked up among the jobs that were posted first and last: a worker runs them in that order, some hundred at a time.
    """
    with MLQ.from_profile(redis_url=arena.server.url, namespace="bench") as mlq:

        def all_of_them() -> bool:
            return sum(counts.states[State.SUCCEEDED] for counts in mlq.counts()) == jobs

        if not wait_for(all_of_them, 5.0):
            raise Stuck(f"not all of {jobs} jobs have succeeded: {mlq.counts()}")
        ends = {*range(1, min(jobs, ENDS) + 1), *range(max(1, jobs - ENDS), jobs + 1)}
        times = [job["processing_finished"] for job in mlq.get_jobs(sorted(ends)) if job]
    first, last = min(times), max(times)
    return (jobs - times.count(first)) / (last - first) if last > first else 0.0  # all at once


def drain_pair(arena: Arena, scale: float) -> Numbers:
    """The same with two places to run jobs."""
    return {"drain x2/s": drain(arena, scale, *arena.pair())["drain/s"]}


def post(arena: Arena, scale: float) -> Numbers:
    """Post one at a time."""
    arena.clean()
    jobs = max(100, int(arena.contestant.posts * scale))
    return {"post/s": jobs / arena.client("post", jobs)}


def start(arena: Arena, scale: float) -> Numbers:
    """Start a worker that has one job waiting; what it holds a moment later."""
    arena.clean()
    arena.client("bulk", 1)
    began = time.monotonic()
    with arena.worker() as worker:
        arena.wait_for_ticks(1, worker, pause=0.005)
        started = arena.ticks()[1] - began
        time.sleep(0.5)
        processes = tree(worker.pid)
        return {"start s": started, "rss MB": resident_megabytes(processes), "processes": len(processes)}


def idle(arena: Arena, scale: float) -> Numbers:
    """What a worker costs that has run a job and has nothing to do."""
    arena.clean()
    arena.client("bulk", 1)
    with arena.worker() as worker:
        arena.wait_for_ticks(1, worker)
        time.sleep(1.0)
        processes = tree(worker.pid)
        used, traffic, since = cpu_seconds(processes), arena.server.traffic(), time.monotonic()
        time.sleep(max(0.5, IDLE_SECONDS * scale))
        passed = time.monotonic() - since
        # Less the one question that ends this.
        commands, reads = (
            max(0, now - then - 1) / passed for now, then in zip(arena.server.traffic(), traffic, strict=True)
        )
        share = (cpu_seconds(processes) - used) / passed
        return {"idle commands/s": commands, "idle reads/s": reads, "idle cpu %": share * 100}


def memory(arena: Arena, scale: float) -> Numbers:
    """Bytes of Redis for a job with a message, and a result, of 100 bytes: while it waits, and when it has ended."""
    arena.clean()
    jobs = max(50, min(MEMORY_JOBS, arena.contestant.jobs))
    before = arena.server.memory()
    arena.client("bulk", jobs, MEMORY_BYTES)
    waiting = arena.server.memory()
    with arena.worker() as worker:
        arena.wait_for_ticks(jobs, worker)
        time.sleep(0.3)
    ended = arena.server.memory()  # its worker has gone: what a connection takes is no job's
    return {"bytes waiting": (waiting - before) / jobs, "bytes finished": (ended - before) / jobs}


def latency(arena: Arena, scale: float) -> Numbers:
    """Post one job to an idle worker and wait for its result, again and again."""
    arena.clean()
    with arena.worker("latency"):
        trips = sorted(arena.client("latency", max(20, int(ROUND_TRIPS * scale))))
    return {"p50 ms": trips[len(trips) // 2] * 1e3, "p99 ms": trips[int(len(trips) * 0.99)] * 1e3}


def mixed(arena: Arena, scale: float) -> Numbers:
    """Run jobs of which 1 % take 200 ms, in one place and in two; how late the unluckiest of the short ones began."""
    one, two = (arena.contestant.worker, 1), arena.pair()
    return {f"late x{places} ms": _mixed(arena, *how, places) * 1e3 for places, how in enumerate((one, two), 1)}


def _mixed(arena: Arena, command: str, number: int, places: int) -> float:
    """Post to a worker that has started in all its places, or at least had the time to."""
    arena.clean()
    with arena.worker("mixed", command, number) as worker:
        arena.client("bulk", WARM_UP, "warm-up")
        arena.wait_for_ticks(WARM_UP, worker)
        arena.client("bulk", MIXED_JOBS, "mixed")
        arena.wait_for_ticks(WARM_UP + MIXED_JOBS, worker)
        time.sleep(0.05)
    return latest([(job, at) for job, at in arena.begun() if job >= 0], places)


def latest(begun: list[tuple[int, float]], places: int) -> float:
    """Return by how many seconds the unluckiest short job began beyond its turn.

    Its turn has come when a job that was posted later begins, but not before it would have begun in a perfect line
    before so many places, with jobs that take nothing but the time that they sleep.
    """
    first = min(at for _, at in begun)
    turn, free = {}, [first] * places
    for number, _ in sorted(begun):
        turn[number] = heapq.heappop(free)
        heapq.heappush(free, turn[number] + sleep_of(number))
    worst, soonest = 0.0, float("inf")
    for number, at in sorted(begun, reverse=True):
        if not sleep_of(number):
            worst = max(worst, at - max(soonest, turn[number]))
        soonest = min(soonest, at)
    return worst
