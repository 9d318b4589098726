"""`mlq wait`: until jobs have ended."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from mlq_cli.cli import jsonable
from mlq_cli.cli.command import command
from mlq_cli.cli.options import Common, JobIds
from mlq_cli.cli.output import line
from mlq_cli.cli.result import wait_for
from mlq_cli.model.durations import parse_duration
from mlq_cli.model.errors import JobCanceled, JobFailed, JobNotFound, WaitTimeout
from mlq_cli.model.job import State

app = typer.Typer()

_CODES = {State.DEAD: JobFailed.exit_code, State.CANCELED: JobCanceled.exit_code}


@command(
    app,
    "wait",
    examples="""
      mlq wait 53
      mlq wait 53 54 55 --timeout 10m
      mlq wait $(mlq post --jsonl messages.jsonl) && echo all went well

      Exit code: 0 all succeeded, 3 no such job, 4 timed out, 5 one failed,
      6 one was canceled.
    """,
)
def wait(
    common: Common,
    job_ids: JobIds,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="D", help="Give up after this time; the jobs go on.", parser=parse_duration),
    ] = None,
) -> int:
    """Wait until jobs have ended, and print how each of them did."""
    deadline = None if timeout is None else time.monotonic() + timeout
    codes = []
    with common.mlq() as mlq:
        for job_id, state in zip(job_ids, mlq.states(job_ids), strict=True):
            if state is None:
                raise JobNotFound(job_id)
        for job_id in job_ids:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                wait_for(mlq, job_id, left, common.output)
            except WaitTimeout as error:
                raise WaitTimeout(error.message, hint=f"mlq wait {job_id}") from None
            (state,) = mlq.states([job_id])
            if state is None:  # thrown away in this moment
                raise JobNotFound(job_id)
            codes.append(_CODES.get(state, 0))
            line(jsonable.dumps({"id": job_id, "state": state}) if common.as_json else f"{job_id}\t{state}")
    return next((code for code in codes if code), 0)
