"""`mlq get`: what a job gave, as it is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlq_cli.cli import jsonable
from mlq_cli.cli.command import command, optional_duration
from mlq_cli.cli.follow import follow
from mlq_cli.cli.options import Common, JobId
from mlq_cli.cli.output import complain
from mlq_cli.cli.result import show, show_outcome, show_text, wait_for
from mlq_cli.model.errors import Misuse

app = typer.Typer()


@command(
    app,
    "get",
    examples="""
      mlq get 53
      mlq get 53 --wait 5m
      mlq get 53 --follow
      mlq get 53 -o picture.png
      mlq get 53 --progress
      mlq get 53 --json | jq .state

      Exit code: 0 succeeded, 3 no such job, 4 not finished, 5 failed, 6 canceled.
    """,
)
def get(
    common: Common,
    job_id: JobId,
    wait: Annotated[
        float | None,
        typer.Option("--wait", metavar="[D]", help="Wait until it has ended.", parser=optional_duration),
    ] = None,
    following: Annotated[
        bool, typer.Option("--follow", help="Print what it gives out while it runs, as it comes.")
    ] = False,
    short: Annotated[bool, typer.Option("--short", help="Print the short result.")] = False,
    progress: Annotated[bool, typer.Option("--progress", help="Print how far it is.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Print the traceback of its last error.")] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Write to a file; - is stdout.")
    ] = None,
) -> int | None:
    """Print the result of a job; --json prints its whole record."""
    if short + progress + traceback > 1:
        raise Misuse("--short, --progress and --traceback exclude each other")
    if following and (short or progress or traceback or output):
        raise Misuse("--follow prints what comes; --short, --progress, --traceback and -o do not go with it")
    out = common.output
    with common.mlq() as mlq:
        if following:
            return follow(mlq, job_id, wait, out)
        if wait is not None:
            wait_for(mlq, job_id, wait, out)
        job = mlq.get_job(job_id)
        if progress:
            said = mlq.get_progress(job_id)
            out.document(said) if out.as_json else show(said, file=output)
            return 0
        if traceback:
            if out.as_json:
                out.document(job["traceback"])
            elif job["traceback"]:
                show_text(job["traceback"])
            else:
                complain(f"job {job_id} has no traceback" + (f": {job['error']}" if job["error"] else ""))
            return 0
        value: Any = job["short_result"] if short else job["result"]
        if out.as_json and not short:
            value = jsonable.record(job)
        elif short and not out.as_json:
            value = value or ""
        return show_outcome(mlq, job, out, value, output)
