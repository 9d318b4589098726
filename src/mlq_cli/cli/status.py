"""`mlq status` and `mlq workers`: what goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlq_cli.cli import jsonable
from mlq_cli.cli.command import command
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import Column, Output, Took, When, flush, harmless, table
from mlq_cli.model.job import State
from mlq_cli.model.rates import Rates
from mlq_cli.store.base import QueueCounts

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

app = typer.Typer()

Growth = dict[str, dict[str, float]]  # by queue, jobs a second

_TICK = 1.0  # seconds between two looks of --watch
_ENDED = ("succeeded", "dead", "canceled")

QUEUE_COLUMNS: list[Column[QueueCounts]] = [
    Column("QUEUE", lambda c: f"{c.queue} (paused)" if c.paused else c.queue),
    *(
        Column(state.upper(), lambda c, state=state: c.states[state], right=True)  # type: ignore[misc]
        for state in State
        if state is not State.BLOCKED
    ),
]
_STATS_COLUMNS: list[Column[QueueCounts]] = [
    Column("WAIT", lambda c: _mean(c, "wait_seconds", "claimed"), right=True),
    Column("RUN", lambda c: _mean(c, "run_seconds", *_ENDED[:1], "failed", "crashed"), right=True),
]


#: In the manner of python-task-queue, whose word for a job that runs is leased.
TALLY_COLUMNS: list[Column[QueueCounts]] = [
    Column("INSERTED", lambda c: c.tally.inserted, right=True),
    Column("ENQUEUED", lambda c: _share(c.tally.enqueued, c.tally.left, "left"), right=True),
    Column("COMPLETED", lambda c: _share(c.tally.completed, c.tally.done), right=True),
    Column("LEASED", lambda c: c.tally.leased, right=True),
]
_DONE: Column[QueueCounts] = Column("DONE", lambda c: _percent(c.tally.done), right=True)


def queue_document(counts: QueueCounts) -> dict[str, Any]:
    """Return a queue for JSON."""
    return {
        "queue": counts.queue,
        "paused": counts.paused,
        "states": counts.states,
        "tally": counts.tally._asdict(),
        "stats": counts.stats,
    }


@command(
    app,
    "status",
    examples="""
      mlq status
      mlq status --watch
      mlq status --json | jq '.queues[] | {queue, states}'
    """,
)
def status(
    common: Common,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, and show rates.")] = False,
) -> None:
    """Show the queues: how many jobs are in which state, and how fast they go."""
    with common.mlq() as mlq:
        if not watch:
            _show(mlq, common.output, mlq.counts())
        elif common.output.terminal and not common.as_json:
            _watch_live(mlq)
        else:
            _watch_lines(mlq, common.output)


@command(
    app,
    "workers",
    examples="""
      mlq workers
      mlq workers --json | jq -r .name
    """,
)
def workers(common: Common) -> None:
    """List the workers that are alive."""
    with common.mlq() as mlq:
        alive = mlq.workers()
    names = list(dict.fromkeys(key for worker in alive for key in worker))
    columns = [
        Column(name.removesuffix("_at").upper(), lambda w, name=name: _about(w, name))  # type: ignore[misc]
        for name in names
    ]
    nobody = "no worker is alive; mlq worker --fn pkg.mod:func starts one"
    common.output.records(alive, columns, _worker_document, empty=nobody)


def _show(mlq: MLQ, output: Output, counts: list[QueueCounts], rates: Growth | None = None) -> None:
    if output.as_json:
        queues = [queue_document(c) | ({} if rates is None else {"rates": rates.get(c.queue, {})}) for c in counts]
        alive = [_worker_document(worker) for worker in mlq.workers()]
        output.document({"namespace": mlq.namespace, "redis": mlq.store.address, "queues": queues, "workers": alive})
        return
    columns = [*QUEUE_COLUMNS, *_STATS_COLUMNS, _DONE, *(_rate_columns(rates) if rates is not None else [])]
    output.records(counts, columns, queue_document, empty="nothing was ever posted here")
    if trouble := _trouble(counts):
        output.say(trouble)
    output.say(_summary(mlq))


def _summary(mlq: MLQ) -> str:
    alive = len(mlq.workers())
    said = "no worker is alive" if not alive else f"{alive} worker{'s' * (alive != 1)} alive"
    return f"{said} · namespace {mlq.namespace} at {mlq.store.address}"


def _trouble(counts: Sequence[QueueCounts]) -> str:
    """Say what was lost and refused since the namespace began; empty when nothing was."""
    words = {"lost": "leases lost with their worker", "refused": "outcomes refused: they came too late"}
    sums = {what: sum(int(c.stats.get(name, 0)) for c in counts) for name, what in words.items()}
    return " · ".join(f"{number} {what}" for what, number in sums.items() if number)


def _watch_lines(mlq: MLQ, output: Output) -> None:
    rates = Rates()
    _take(rates, mlq.counts())
    quiet = Output(as_json=output.as_json, quiet=True)
    while True:
        time.sleep(_TICK)
        counts = mlq.counts()
        _show(mlq, quiet, counts, _take(rates, counts))
        flush()


def _watch_live(mlq: MLQ) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    rates = Rates()
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(Live(console=Console(highlight=False), auto_refresh=False))
        while True:
            counts = mlq.counts()
            columns = [*QUEUE_COLUMNS, *_rate_columns(_take(rates, counts))]
            live.update(Group(table(counts, columns), Text(harmless(_summary(mlq)), style="dim")), refresh=True)
            time.sleep(_TICK)


def _take(rates: Rates, counts: Sequence[QueueCounts]) -> Growth:
    """Take numbers in, and return how fast they grew since the look before; nothing after the first."""
    rates.take({c.queue: c.stats for c in counts})
    return {
        queue: {"posted": round(a.get("posted", 0), 1), "ended": round(sum(a.get(name, 0) for name in _ENDED), 1)}
        for queue, a in rates.over(_TICK / 2).items()
    }


def _rate_columns(rates: Growth) -> list[Column[QueueCounts]]:
    return [
        Column("IN/S", lambda c: rates.get(c.queue, {}).get("posted"), right=True),
        Column("OUT/S", lambda c: rates.get(c.queue, {}).get("ended"), right=True),
    ]


def _share(number: int, part: float | None, what: str = "") -> str:
    """Return how many these are and what part of the inserted: `40 (80% left)`."""
    return f"{number}" if part is None else f"{number} ({' '.join([_percent(part), what]).strip()})"


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{part:.0%}"


def _mean(counts: QueueCounts, total: str, *names: str) -> object:
    """Return seconds per job, None before the first."""
    number = sum(counts.stats.get(name, 0) for name in names)
    return Took(counts.stats.get(total, 0) / number) if number else None


def _about(worker: dict[str, str], name: str) -> object:
    value = worker.get(name)
    if value and name.endswith("_at"):
        with contextlib.suppress(ValueError):
            return When(float(value))
    return value


def _worker_document(worker: dict[str, str]) -> dict[str, Any]:
    return {
        name: jsonable.instant(about) if isinstance(about := _about(worker, name), When) else about for name in worker
    }
