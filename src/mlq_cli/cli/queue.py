"""`mlq queue`: lines as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from mlq_cli.cli.command import Group, command
from mlq_cli.cli.jobs import counted, read_state
from mlq_cli.cli.options import Common, Yes, confirm, split_names
from mlq_cli.cli.status import QUEUE_COLUMNS, TALLY_COLUMNS, queue_document
from mlq_cli.model.job import WAITING, State, check_name

app = typer.Typer(cls=Group, help="Look after queues: list, pause, resume, purge, release, copy, move, rezero.")

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.", show_default=False)]


@command(
    app,
    "list",
    examples="""
      mlq queue list
      mlq queue list --json | jq -r 'select(.paused) | .queue'
    """,
)
def list_(common: Common) -> None:
    """List the queues with their jobs by state."""
    with common.mlq() as mlq:
        columns = [*QUEUE_COLUMNS, *TALLY_COLUMNS]
        if common.output.terminal:  # it is for people, and has room for less: what runs is leased, for example
            shown = (State.SCHEDULED, State.CANCELED, State.DEAD)
            rest = [column for column in QUEUE_COLUMNS if column.title.lower() in shown]
            columns = [QUEUE_COLUMNS[0], *TALLY_COLUMNS, *rest]
        common.output.records(mlq.counts(), columns, queue_document, empty="there are no queues yet")


@command(
    app,
    "pause",
    examples="""
      mlq queue pause default
    """,
)
def pause(common: Common, queue: Name) -> None:
    """Stop handing out the jobs of a queue; running ones go on."""
    with common.mlq() as mlq:
        waiting = mlq.pause(queue)
    document = {"queue": queue, "paused": True, "waiting": waiting}
    common.output.done(f"queue {queue} is paused, {counted(waiting, 'job')} waiting", document)


@command(
    app,
    "resume",
    examples="""
      mlq queue resume default
    """,
)
def resume(common: Common, queue: Name) -> None:
    """Hand out the jobs of a queue again."""
    with common.mlq() as mlq:
        waiting = mlq.resume(queue)
    document = {"queue": queue, "paused": False, "waiting": waiting}
    common.output.done(f"queue {queue} goes on, {counted(waiting, 'job')} waiting", document)


@command(
    app,
    "purge",
    examples="""
      mlq queue purge default
      mlq queue purge slow --state succeeded --state canceled --yes
    """,
)
def purge(
    common: Common,
    queue: Name,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="States to throw away, instead of those that wait. Repeat it."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Throw away the waiting jobs of a queue with their records."""
    states = [read_state(name) for name in split_names(state) or []] or list(WAITING)
    with common.mlq() as mlq:
        check_name(queue, "queue", ours=True)
        full = sum(c.states[one] for c in mlq.counts() if c.queue == queue for one in states)
        if full:
            confirm(f"Throw away {counted(full, 'job')} of queue {queue}?", yes=yes)
        number = mlq.purge(queue, states)
    common.output.done(f"{counted(number, 'job')} thrown away", {"queue": queue, "purged": number})


@command(
    app,
    "release",
    examples="""
      mlq queue release default
      mlq queue release slow --yes
    """,
)
def release(common: Common, queue: Name, yes: Yes = False) -> None:
    """Give every running job of a queue back; what its workers still say is refused."""
    with common.mlq() as mlq:
        check_name(queue, "queue", ours=True)
        running = sum(c.states[State.RUNNING] for c in mlq.counts() if c.queue == queue)
        if running:
            confirm(f"Give back {counted(running, 'running job')} of queue {queue}?", yes=yes)
        number = mlq.release(queue)
    common.output.done(f"{counted(number, 'job')} given back", {"queue": queue, "released": number})
