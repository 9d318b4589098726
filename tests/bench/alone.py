"""What is measured of ours alone: the depth of the queue, a crowd of idle workers, the command line, bulk."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from arena import PAUSE, Arena, Stuck
from contestants import OURS
from measure import Numbers
from rounds import Results

from mlq_cli import MLQ

HERE = Path(__file__).parent
DEPTHS = (1_000, 100_000, 1_000_000)
BURST, BURSTS = 1_000, 20  # jobs; how often
STEADY = 2.0  # seconds
CROWDS = (1, 10, 100, 1_000)
BULK = 200_000  # jobs
PROCESSES = (1, 2)  # that post
POSTS, POST_EVERY = 1_000, 0.001  # for a crowd: so many jobs, one a millisecond


def open_mlq(arena: Arena) -> MLQ:
    """Return an MLQ on the benchmark's server."""
    return MLQ.from_profile(redis_url=arena.server.url, namespace="bench")


def depth(arena: Arena, waiting: int) -> Numbers:
    """How fast a worker drains a queue in which so many jobs wait.

    Measured alike at each depth: it is let go and stopped again and again, and what counts is the rate of the first
    thousand jobs each time. Of a long queue also the rate, and the cost for Redis, of two seconds without a stop.
    """
    arena.clean()
    arena.client("bulk", waiting)
    name = f"{waiting:,} waiting"
    with open_mlq(arena) as mlq, arena.worker() as worker:
        arena.wait_for_ticks(min(waiting, BURST), worker, pause=0.005)
        rates = [burst(arena, mlq, worker, refill=waiting <= BURST) for _ in range(BURSTS)]
        numbers = {f"drain of {name}/s": statistics.median(rates)}
        if waiting > 100 * BURST:  # enough is left
            mlq.resume()
            until = time.monotonic() + STEADY
            (before, _, since), used = arena.ticks(), arena.server.cpu()
            while arena.ticks()[0] < waiting and time.monotonic() < until:
                time.sleep(0.02)
            (after, _, last), used = arena.ticks(), arena.server.cpu() - used
            numbers[f"steady drain of {name}/s"] = (after - before) / (last - since)
            numbers[f"redis us/job, {name}"] = used / (after - before) * 1e6
        return numbers


def burst(arena: Arena, mlq: MLQ, worker: subprocess.Popen[bytes], *, refill: bool) -> float:
    """Stop the worker, let it go, and return the rate of about the first thousand jobs. Raises Stuck."""
    mlq.pause()
    done = still(arena)
    if refill:
        mlq.post_many({"i": 7} for _ in range(BURST))
    mlq.resume()
    arena.wait_for_ticks(done + BURST, worker, pause=0.002)
    now, _, last = arena.ticks()
    return (now - done - 1) / (last - arena.burst())


def still(arena: Arena) -> int:
    """Wait until nothing runs any more, and long enough for the next job to be the first after a pause."""
    count, since = -1, time.monotonic()
    while time.monotonic() - since < PAUSE + 0.05:
        if (now := arena.ticks()[0]) != count:
            count, since = now, time.monotonic()
        time.sleep(0.01)
    return count


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
    """How long the shortest commands take beside the import of what they cannot do without, one after the other."""
    arena.clean()
    arena.client("bulk", 1)
    with arena.worker() as worker:
        arena.wait_for_ticks(1, worker)  # the job that `mlq get` shows
    # Without what a developer may have set for Python: that it keeps no compiled files, say.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**inherited, "MLQ_REDIS_URL": arena.server.url, "MLQ_NAMESPACE": "bench"}
    mlq = str(Path(sys.executable).parent / "mlq")
    commands = {
        "import redis ms": [sys.executable, "-c", "import redis, msgpack"],
        "mlq post ms": [mlq, "post", "{}"],
        "mlq get ms": [mlq, "get", "1"],
        "mlq --version ms": [mlq, "--version"],
        "python ms": [sys.executable, "-c", "pass"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(times + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            done = subprocess.run(command, env=environment, capture_output=True, check=False, cwd="/")
            if done.returncode:
                raise Stuck(f"{name}: {done.stderr.decode(errors='replace')[-200:]}")
            if number:  # the first time is for the files that Python keeps
                taken[name].append((time.perf_counter() - began) * 1e3)
    return {name: statistics.median(values) for name, values in taken.items()}


def bulk(arena: Arena, scale: float) -> Numbers:
    """Posts in bulk: from the shell, its start included, and by several processes."""
    jobs = max(1_000, int(BULK * scale))
    environment = {**os.environ, "MLQ_REDIS_URL": arena.server.url, "MLQ_NAMESPACE": "bench"}
    numbers = {}
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(b'{"i": 7}\n' * jobs)
        file.flush()
        for processes in PROCESSES:
            arena.clean()
            command = [str(Path(sys.executable).parent / "mlq"), "post", "--jsonl", file.name, "--quiet"]
            command += ["--parallel", str(processes)] if processes > 1 else []
            began = time.perf_counter()
            done = subprocess.run(command, env=environment, capture_output=True, check=False, cwd="/")
            if done.returncode:
                raise Stuck(f"mlq post --jsonl: {done.stderr.decode(errors='replace')[-200:]}")
            numbers[f"bulk from the shell, {processes} processes/s"] = jobs / (time.perf_counter() - began)
    messages = [{"i": number} for number in range(jobs)]
    with open_mlq(arena) as mlq:
        for processes in PROCESSES:
            arena.clean()
            began = time.perf_counter()
            mlq.post_many(messages, parallel=processes)
            numbers[f"post_many, {processes} processes/s"] = jobs / (time.perf_counter() - began)
    return numbers


def alone(arena: Arena, results: Results, *, quick: bool = False) -> None:
    """Add all of it; what cannot be measured is a trouble, and does not stop the rest."""
    loads: list[partial[Numbers]] = [
        partial(command_line, arena, 3 if quick else 10),
        partial(bulk, arena, 0.1 if quick else 1.0),
        *(partial(depth, arena, waiting) for waiting in DEPTHS[: 1 if quick else 3]),
        *(partial(crowd, arena, number) for number in CROWDS[: 2 if quick else 4]),
    ]
    for load in loads:
        try:
            results.add(OURS.name, load())
        except Stuck as stuck:
            results.trouble(OURS.name, f"{load.func.__name__}: {stuck}")
