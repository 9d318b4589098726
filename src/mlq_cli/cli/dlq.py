"""`mlq dlq`: the jobs that gave up and wait for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from mlq_cli.cli import jsonable
from mlq_cli.cli.command import Group, command
from mlq_cli.cli.jobs import counted, show_jobs
from mlq_cli.cli.options import Common, JobId, Limit, Queue, Yes, confirm
from mlq_cli.cli.output import When, cell, harmless, line
from mlq_cli.cli.result import show_text
from mlq_cli.model.errors import Misuse, WrongState
from mlq_cli.model.job import State, check_name

app = typer.Typer(cls=Group, help="Look after the jobs that gave up: the dead-letter queue.")


@command(
    app,
    "list",
    examples="""
      mlq dlq list
      mlq dlq list --queue slow --limit 10
      mlq dlq list --json | jq -r '[.id, .error] | @tsv'
    """,
)
def list_(common: Common, queue: Queue = None, limit: Limit = 50) -> None:
    """List dead jobs, the newest first."""
    with common.mlq() as mlq:
        jobs = mlq.list_jobs(states=[State.DEAD], queue=queue, limit=limit)
        show_jobs(jobs, common.output, empty="there are no dead jobs")


@command(
    app,
    "show",
    examples="""
      mlq dlq show 53
      mlq dlq show 53 --json | jq -r .traceback
    """,
)
def show(common: Common, job_id: JobId) -> None:
    """Show all that is known of a dead job, its traceback last."""
    with common.mlq() as mlq:
        job = mlq.get_job(job_id)
    if job["state"] is not State.DEAD:
        raise WrongState(job_id, job["state"], wanted="dead")
    if common.as_json:
        common.output.document(jsonable.record(job))
        return
    person = common.output.terminal
    for name, value in job.items():
        if name in ("traceback", "result") or value is None:
            continue
        value = When(value) if name in jsonable.INSTANTS and isinstance(value, float) else value
        text = harmless(cell(value, for_person=person))
        line(f"{name + ':':<21}{text}" if person else f"{name}\t{text}")
    if job["traceback"]:
        line("")
        show_text(job["traceback"])


@command(
    app,
    "retry",
    examples="""
      mlq dlq retry 53
      mlq dlq retry --all
      mlq dlq retry --all --queue slow --error TimeoutError
    """,
)
def retry(
    common: Common,
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Ids of dead or canceled jobs.", show_default=False)
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All dead jobs, callbacks not among them.")] = False,
    queue: Queue = None,
    error: Annotated[
        str | None, typer.Option("--error", metavar="TYPE", help="Only with an error of this type: ValueError.")
    ] = None,
) -> None:
    """Run dead jobs again, with all their attempts back."""
    if bool(job_ids) == all:
        raise Misuse("say either ids or --all", hint="mlq dlq list shows the ids")
    if not all and (queue or error):
        raise Misuse("--queue and --error choose among --all")
    with common.mlq() as mlq:
        if job_ids:
            mlq.retry(*job_ids)
            number = len(job_ids)
        else:
            number = mlq.retry_all(queue, error)
    common.output.done(f"{counted(number, 'job')} will run again", {"retried": number})


@command(
    app,
    "purge",
    examples="""
      mlq dlq purge
      mlq dlq purge --queue slow --yes
    """,
)
def purge(common: Common, queue: Queue = None, yes: Yes = False) -> None:
    """Throw dead jobs away with their records."""
    with common.mlq() as mlq:
        if queue is not None:
            check_name(queue, "queue", ours=True)
        dead = {c.queue: c.states[State.DEAD] for c in mlq.counts() if queue in (None, c.queue)}
        if any(dead.values()):
            confirm(f"Throw away {counted(sum(dead.values()), 'dead job')}?", yes=yes)
        number = sum(mlq.purge(name, [State.DEAD]) for name in dead)
    common.output.done(f"{counted(number, 'job')} thrown away", {"purged": number})
