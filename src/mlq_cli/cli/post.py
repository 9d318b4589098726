"""`mlq post`: a message in, an id out."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from mlq_cli.cli.command import command, optional_duration
from mlq_cli.cli.options import Common, split_names
from mlq_cli.cli.output import line
from mlq_cli.model.durations import parse_duration, parse_instant
from mlq_cli.model.errors import Misuse

app = typer.Typer()


@command(
    app,
    "post",
    examples="""
      mlq post '{"arg1": 6, "arg2": 3}'
      mlq post '<"arg1":6>' --callback http://localhost:8000/done
      mlq post hello --queue slow --priority 5 --retries 3
      mlq post @picture.png --functions classify --wait 1m
      mlq post --jsonl messages.jsonl
      make-messages | mlq post --jsonl - --parallel 4 > ids
      mlq post --jsonl in.jsonl --local --fn tasks:classify -x 4 > out.jsonl
    """,
)
def post(
    common: Common,
    message: Annotated[
        str | None,
        typer.Argument(
            metavar="MSG", help="JSON or text; - reads stdin, @FILE a file, which may be binary.", show_default=False
        ),
    ] = None,
    callback: Annotated[
        str | None, typer.Option("--callback", metavar="URL", help="URL that is told the outcome.")
    ] = None,
    callback_method: Annotated[
        str | None,
        typer.Option("--callback-method", metavar="GET|POST", help="POST sends signed JSON.", parser=str.upper),
    ] = None,
    functions: Annotated[
        list[str] | None,
        typer.Option("--functions", metavar="NAME", help="Run only these listeners; repeat it, or use commas."),
    ] = None,
    queue: Annotated[str, typer.Option("-q", "--queue", metavar="NAME", help="Queue to wait in.")] = "default",
    priority: Annotated[int, typer.Option("--priority", metavar="N", help="Higher is sooner.")] = 0,
    delay: Annotated[
        float | None, typer.Option("--delay", metavar="D", help="Run after this time: 90s, 5m.", parser=parse_duration)
    ] = None,
    at: Annotated[
        float | None, typer.Option("--at", metavar="T", help="Run from this instant: ISO 8601.", parser=parse_instant)
    ] = None,
    retries: Annotated[int | None, typer.Option("--retries", metavar="N", help="Reruns after an exception.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="D", help="Longest time for one attempt.", parser=parse_duration),
    ] = None,
    id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="An id of your own; posting it again changes nothing.")
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", metavar="[D]", help="Wait, then print the result instead.", parser=optional_duration),
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option("--jsonl", metavar="FILE|-", help="Post each line of a file, as JSON.")
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", metavar="N", help="Processes that read and post the lines.")
    ] = 1,
    string: Annotated[bool, typer.Option("--string", help="Take MSG, or each line, as it stands.")] = False,
    local: Annotated[bool, typer.Option("--local", help="Run it here, without a server; print the result.")] = False,
    fn: Annotated[
        list[str] | None, typer.Option("--fn", metavar="MOD:FUNC", help="With --local: listener; repeat it.")
    ] = None,
    executors: Annotated[
        int | None,
        typer.Option("-x", "--executors", metavar="N", help="With --local: processes; 1 is this one.  [default: 1]"),
    ] = None,
    setup: Annotated[
        str | None, typer.Option("--setup", metavar="MOD:FUNC", help="With --local: called once in each process.")
    ] = None,
    path: Annotated[
        list[str] | None, typer.Option("--path", metavar="FOLDER", help="With --local: import from here as well.")
    ] = None,
) -> int | None:
    """Post a message and print the id of its job."""
    if (message is None) == (jsonl is None):
        raise Misuse("say either MSG or --jsonl FILE", hint="mlq post --help shows how")
    if local:
        _refuse(id=id, wait=wait, callback=callback, callback_method=callback_method)
        if parallel != 1:
            raise Misuse("--parallel posts, and --local does not", hint="-x N runs N processes")
        from mlq_cli.cli.local import run_here
        from mlq_cli.local.local import Local

        listeners = split_names(fn)
        if listeners is None:
            raise Misuse("--local needs a function", hint="--fn package.module:function")
        folders = [*(path or ()), os.getcwd()]
        here = Local(*listeners, parallel=executors or 1, setup=setup, paths=folders, profile=common.profile())
        told: dict[str, Any] = {
            "functions": split_names(functions), "queue": queue, "priority": priority, "delay": delay, "at": at,
            "retries": retries, "timeout": timeout,
        }  # fmt: skip
        return run_here(here, message, jsonl, common.output, told, as_it_stands=string, verbose=common.verbose)
    if fn or executors is not None or setup or path:
        raise Misuse("--fn, -x, --setup and --path go with --local", hint="mlq worker runs what is posted")
    options: dict[str, Any] = {
        "callback": callback, "functions": split_names(functions), "queue": queue, "priority": priority,
        "delay": delay, "at": at, "retries": retries, "timeout": timeout, "callback_method": callback_method,
    }  # fmt: skip
    if functions is not None and options["functions"] is None:
        raise Misuse("--functions names none", hint="leave it out to run all listeners")
    with common.mlq() as mlq:
        if jsonl is not None:
            if id is not None or wait is not None:
                raise Misuse("--id and --wait are for a single message", hint="mlq wait takes many ids")
            from mlq_cli.cli.lines import post_lines

            return post_lines(mlq, jsonl, common.output, {**options, "parallel": parallel}, as_it_stands=string)
        if parallel != 1:
            raise Misuse("--parallel is for many messages", hint="it goes with --jsonl")
        from mlq_cli.cli.message import read_message

        assert message is not None
        value = read_message(message, as_it_stands=string, limit=mlq.profile.limits.message)
        posted = mlq.post(value, **options, id=id)
        if wait is None:
            if common.as_json:
                common.output.document({"id": posted})
            else:
                line(posted)
            return 0
        from mlq_cli.cli import jsonable
        from mlq_cli.cli.result import show_outcome, wait_for

        common.output.say(f"job {posted}")
        wait_for(mlq, posted, wait, common.output)
        job = mlq.get_job(posted)
        return show_outcome(mlq, job, common.output, jsonable.record(job) if common.as_json else job["result"])


def _refuse(**flags: object) -> None:
    """Raise Misuse for a flag that means nothing without a server."""
    for name, value in flags.items():
        if value is not None:
            raise Misuse(f"--{name.replace('_', '-')} and --local exclude each other", hint="there is no server")
