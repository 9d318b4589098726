"""`mlq list` and `mlq cancel`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlq_cli.cli import jsonable
from mlq_cli.cli.command import command
from mlq_cli.cli.options import Common, JobIds, Limit, Queue, split_names
from mlq_cli.cli.output import Column, Output, Took, When
from mlq_cli.model.errors import Misuse
from mlq_cli.model.job import Record, State

app = typer.Typer()


def _outcome(job: Record) -> str | None:
    return job["error"] if job["state"] is State.DEAD else job["short_result"]


_COLUMNS: list[Column[Record]] = [
    Column("ID", lambda job: job["id"], right=True),
    Column("STATE", lambda job: job["state"]),
    Column("QUEUE", lambda job: job["queue"]),
    Column("POSTED", lambda job: When(job["timestamp"])),
    Column("POSITION", lambda job: job["position"], right=True),
    Column("WAITS", lambda job: None if job["estimated_wait"] is None else Took(job["estimated_wait"]), right=True),
    Column("ATTEMPT", lambda job: job["attempt"], right=True),
    Column("PROGRESS", lambda job: job["progress"], right=True),
    Column("OUTCOME", _outcome, flexible=True),
    Column("MESSAGE", lambda job: job["msg"], flexible=True),
]


def show_jobs(jobs: list[Record], output: Output, *, empty: str) -> None:
    """Print jobs, one a line."""
    output.records(jobs, _COLUMNS, jsonable.record, empty=empty)


@command(
    app,
    "list",
    examples="""
      mlq list
      mlq list --state running --state queued
      mlq list --queue slow --limit 10
      mlq list --state dead --json | jq -r .error
    """,
)
def list_(
    common: Common,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help=f"Only these; repeat it, or use commas: {', '.join(State)}."),
    ] = None,
    queue: Queue = None,
    limit: Limit = 50,
) -> None:
    """List jobs, the newest first."""
    states = None if state is None else [read_state(name) for name in split_names(state) or []]
    with common.mlq() as mlq:
        show_jobs(mlq.list_jobs(states=states, queue=queue, limit=limit), common.output, empty="there are no such jobs")


@command(
    app,
    "cancel",
    examples="""
      mlq cancel 53
      mlq cancel 53 54 55
    """,
)
def cancel(common: Common, job_ids: JobIds) -> None:
    """Cancel jobs; a running one is stopped within seconds."""
    with common.mlq() as mlq:
        mlq.cancel(*job_ids)
    common.output.done(f"canceled {counted(len(job_ids), 'job')}", {"canceled": job_ids})


def read_state(name: str) -> State:
    """Return the state of that name. Raises Misuse."""
    try:
        return State(name)
    except ValueError:
        raise Misuse(f"there is no state {name!r}", hint=f"the states are {', '.join(State)}") from None


def counted(number: int, noun: str) -> str:
    """Return `1 job`, `12 jobs`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
