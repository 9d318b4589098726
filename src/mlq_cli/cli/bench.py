"""`mlq bench`: how fast mlq is on this Redis, from here, with jobs in a namespace of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mlq_cli.cli.command import command
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import Column, Output
from mlq_cli.model.durations import parse_duration
from mlq_cli.model.errors import MlqError
from mlq_cli.model.job import State

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

app = typer.Typer()

Numbers = dict[str, float]

_MEANINGS = {
    "round_trip_ms": "one question to Redis, ms",
    "post_per_second": "jobs posted a second, one at a time",
    "post_many_per_second": "jobs posted a second, in bulk",
    "first_job_seconds": "start of a worker to its first outcome, s",
    "done_per_second": "jobs done a second, results kept",
    "latency_p50_ms": "post to result by an idle worker, ms, half of them",
    "latency_p99_ms": "post to result by an idle worker, ms, all but 1 %",
}

_TRIPS = 300  # posts that are waited for, if time allows
_PATIENCE = 30.0  # seconds for a worker to start, and for what it has begun to end
_MESSAGE = {"i": 7}
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FUNCTION = "mlq_cli.worker.echo:echo"


@command(
    app,
    "bench",
    examples="""
      mlq bench
      mlq bench --executors 4 --seconds 5
      mlq bench --redis-url redis://host:6379/0 --json
    """,
)
def bench(
    common: Common,
    seconds: Annotated[
        float,
        typer.Option("--seconds", metavar="D", help="Time for each of five measurements.", parser=parse_duration),
    ] = 1.0,
    executors: Annotated[int, typer.Option("-x", "--executors", metavar="N", help="Processes that run jobs.")] = 1,
) -> None:
    """Measure throughput and latency of jobs that do nothing, on this Redis.

    The jobs are in a namespace of their own, which is removed in the end. Other work on the same Redis is slowed down
    meanwhile.
    """
    from mlq_cli.worker.options import WorkerOptions

    WorkerOptions((_FUNCTION,), executors=executors)  # what makes no sense is said before anything is posted
    output, namespace = common.output, f"bench-{os.urandom(4).hex()}"
    for number in _SIGNALS:
        signal.signal(number, _stop)
    with common.mlq({"namespace": namespace}) as mlq:
        server = mlq.store.server().name
        try:
            numbers = _measure(mlq, common, seconds, executors)
        finally:
            _hear_no_more()
            _telling(output)("removing the jobs")
            _remove(mlq)
        if output.as_json:
            about = {"redis": mlq.store.address, "server": server, "executors": executors, "seconds": seconds}
            output.document({**about, **{name: round(value, 3) for name, value in numbers.items()}})
        else:
            columns: list[Column[tuple[str, float]]] = [
                Column("WHAT", lambda row: _MEANINGS[row[0]] if output.terminal else row[0]),
                Column("NUMBER", lambda row: round(row[1], 3 if row[1] < 100 else 0), right=True),
            ]
            output.records(list(numbers.items()), columns, _document, empty="nothing was measured")
            output.say(f"{server} at {mlq.store.address} · {executors} executor{'s' * (executors != 1)}")


def _stop(number: int, _: object) -> NoReturn:
    """End the worker, remove the jobs, leave. Who presses Ctrl-C once more must not leave half of them behind."""
    _hear_no_more()
    sys.exit(128 + number)


def _hear_no_more() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _document(row: tuple[str, float]) -> Numbers:
    return dict([row])


def _measure(mlq: MLQ, common: Common, seconds: float, executors: int) -> Numbers:
    said = _telling(common.output)
    said("asking")
    trips = [_took(mlq.store.queues) for _ in range(50)]
    said("posting one at a time")
    numbers = {"round_trip_ms": median(trips) * 1e3, "post_per_second": _rate(mlq, seconds)}
    said("posting in bulk")
    began = time.perf_counter()
    posted = len(mlq.post_many(_until(began + seconds)))
    numbers["post_many_per_second"] = posted / (time.perf_counter() - began)
    said("running jobs")
    began = time.perf_counter()
    with _worker(common, mlq.namespace, executors) as worker:
        done = _wait(lambda: _done(mlq), worker)
        numbers["first_job_seconds"] = time.perf_counter() - began
        numbers["done_per_second"] = _drained(mlq, worker, done, seconds)
        mlq.purge()
        _wait(lambda: _states(mlq, State.RUNNING) == 0, worker)
        said("posting and waiting")
        numbers.update(_latency(mlq, seconds))
    return numbers


def _rate(mlq: MLQ, seconds: float) -> float:
    began = time.perf_counter()
    posted = sum(1 for msg in _until(began + seconds) if mlq.post(msg))
    return posted / (time.perf_counter() - began)


def _until(end: float) -> Iterator[dict[str, int]]:
    while time.perf_counter() < end:
        yield _MESSAGE


def _drained(mlq: MLQ, worker: subprocess.Popen[bytes], done: int, seconds: float) -> float:
    """Return the rate of the worker; it is only looked at now and then, so as not to slow it down."""
    began = time.perf_counter()
    before, now = done, began
    while now - began < seconds and _states(mlq, State.QUEUED, State.RUNNING):
        time.sleep(min(0.05, seconds / 20))
        done, now = _wait(lambda: _done(mlq), worker), time.perf_counter()
    return (done - before) / (now - began) if now > began else 0.0


def _latency(mlq: MLQ, seconds: float) -> Numbers:
    def trip() -> None:
        mlq.wait(mlq.post(_MESSAGE), timeout=_PATIENCE)

    trip()  # the first one of a connection opens it
    until, trips = time.perf_counter() + seconds, [_took(trip)]
    while len(trips) < _TRIPS and time.perf_counter() < until:
        trips.append(_took(trip))
    trips.sort()
    return {"latency_p50_ms": median(trips) * 1e3, "latency_p99_ms": trips[int(len(trips) * 0.99)] * 1e3}


@contextmanager
def _worker(common: Common, namespace: str, executors: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mlq worker` on the same Redis while the block does."""
    words = ["worker", "--fn", _FUNCTION, "-x", str(executors), "-n", namespace, "--quiet"]
    for flag, value in (("--profile", common.profile_name), ("--redis-url", common.redis_url)):
        words += [flag, value] if value else []
    process = subprocess.Popen(
        [sys.executable, "-m", "mlq_cli", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(condition: Callable[[], int], worker: subprocess.Popen[bytes]) -> int:
    """Wait until something is so. Raises MlqError when it does not come to that, or the worker has ended."""
    until = time.monotonic() + _PATIENCE
    while not (value := condition()):
        if worker.poll() is not None or time.monotonic() > until:
            raise MlqError("the worker does not work", hint=f"mlq worker --fn {_FUNCTION} tells why")
        time.sleep(0.01)
    return value


def _done(mlq: MLQ) -> int:
    return _states(mlq, State.SUCCEEDED)


def _states(mlq: MLQ, *states: State) -> int:
    return sum(counts.states[state] for counts in mlq.counts() for state in states)


def _remove(mlq: MLQ) -> None:
    """Remove the namespace. What lasts a minute by itself, the answers for repeated questions, is left to do so."""
    mlq.release()
    mlq.purge(states=[state for state in State if state is not State.RUNNING])
    mlq.store.forget()


def _took(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _telling(output: Output) -> Callable[[str], None]:
    return (lambda what: output.say(f"{what} …")) if output.talks_to_person else lambda what: None
