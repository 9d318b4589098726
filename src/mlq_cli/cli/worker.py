"""`mlq worker` and `mlq reaper`: the two that stay."""

from __future__ import annotations

from typing import Annotated

import typer

from mlq_cli.cli.command import command
from mlq_cli.cli.logs import configure_logging
from mlq_cli.cli.options import Common, LogFormat, split_names
from mlq_cli.model.durations import parse_duration, parse_size
from mlq_cli.model.settings import SETTINGS

app = typer.Typer()


def _profile_flag(key: str, *names: str, help: str) -> typer.models.OptionInfo:
    """A flag over a setting of the profile, which reads the variable in the environment itself."""
    setting = SETTINGS[key]
    whole = setting.kind.accepts.startswith("a whole number")
    size = setting.kind.accepts.startswith("a size")
    default = setting.default if whole or setting.default is None else f"{setting.default:g}s"
    option: typer.models.OptionInfo = typer.Option(
        *names,
        metavar="N" if whole else "SIZE" if size else "D",
        help=help if default is None else f"{help}  [default: {default}]",
        allow_from_autoenv=False,
        parser=None if whole else parse_size if size else parse_duration,
    )
    return option


@command(
    app,
    "worker",
    examples="""
      mlq worker --fn mypkg.tasks:multiply
      mlq worker --fn tasks:classify --setup tasks:load_model -x 4
      mlq worker --fn tasks:train --queue gpu,default --timeout 2h
      mlq worker --fn tasks:multiply --burst
      mlq worker --calls mypkg.tasks
      mlq worker --registered
    """,
)
def worker(
    common: Common,
    fn: Annotated[
        list[str] | None,
        typer.Option("--fn", metavar="MOD:FUNC", help="Listener; repeat it to run several, in this order."),
    ] = None,
    calls: Annotated[
        list[str] | None,
        typer.Option(
            "--calls", metavar="MOD[:FUNC]", help="Also run calls of this module's functions, or of one; repeat it."
        ),
    ] = None,
    registered: Annotated[
        bool, typer.Option("--registered", help="Also run functions that are registered at run time.")
    ] = False,
    queue: Annotated[
        list[str] | None,
        typer.Option("-q", "--queue", metavar="NAME", help="Queue; repeat it, served in order.  [default: default]"),
    ] = None,
    executors: Annotated[
        int | None, _profile_flag("worker.executors", "-x", "--executors", help="Processes that run listeners.")
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="Stop when the queues are empty.")] = False,
    max_jobs: Annotated[
        int | None, typer.Option("--max-jobs", metavar="N", help="Replace an executor after N jobs.")
    ] = None,
    max_memory: Annotated[
        int | None,
        typer.Option("--max-memory", metavar="SIZE", help="Replace an executor that grew to this.", parser=parse_size),
    ] = None,
    memory_limit: Annotated[
        int | None,
        _profile_flag("worker.memory_limit", "--memory-limit", help="Kill an executor whose job exceeds this."),
    ] = None,
    timeout: Annotated[
        float | None, _profile_flag("worker.timeout", "--timeout", help="Longest time for one attempt.")
    ] = None,
    grace: Annotated[
        float | None,
        _profile_flag("worker.grace", "--grace", help="Time that running jobs get on a stop."),
    ] = None,
    retries: Annotated[
        int | None, _profile_flag("worker.retries", "--retries", help="Reruns after an exception.")
    ] = None,
    lease: Annotated[
        float | None,
        _profile_flag("worker.lease", "--lease", help="Silence after which jobs are lost."),
    ] = None,
    setup: Annotated[
        str | None,
        typer.Option("--setup", metavar="MOD:FUNC", help="Called once in each executor: load the model."),
    ] = None,
    before_fn: Annotated[
        str | None,
        typer.Option("--before-fn", metavar="MOD:FUNC", help="Called before each attempt with its job."),
    ] = None,
    after_fn: Annotated[
        str | None,
        typer.Option("--after-fn", metavar="MOD:FUNC", help="Called after each attempt with its job and how it ended."),
    ] = None,
    stop_fn: Annotated[
        str | None,
        typer.Option("--stop-fn", metavar="MOD:FUNC", help="Asked after each attempt; true: the worker stops."),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="FOLDER", help="Import from here as well as from this folder."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of this worker.")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Import again when a file changes.")] = False,
    log_format: LogFormat = "text",
) -> int:
    """Run a worker: it takes jobs and lets executors run the listeners on them."""
    configure_logging(log_format, quiet=common.quiet, verbose=common.verbose)
    from mlq_cli.model.rules import rules_of
    from mlq_cli.worker.options import WorkerOptions
    from mlq_cli.worker.run import run_worker

    flags = {
        "worker.executors": executors, "worker.timeout": timeout, "worker.grace": grace,
        "worker.retries": retries, "worker.lease": lease, "worker.memory_limit": memory_limit,
    }  # fmt: skip
    with common.mlq(flags) as mlq:
        settings = mlq.profile.worker
        options = WorkerOptions(
            functions=tuple(split_names(fn) or ()),
            queues=tuple(split_names(queue) or ("default",)),
            executors=settings.executors,
            burst=burst,
            timeout=settings.timeout,
            grace=settings.grace,
            setup=setup,
            before_fn=before_fn,
            after_fn=after_fn,
            stop_fn=stop_fn,
            paths=tuple(path or ()),
            max_jobs=max_jobs,
            max_memory=max_memory,
            memory_limit=settings.memory_limit,
            name=name,
            calls=tuple(split_names(calls) or ()),
            registered=registered,
            reload=reload,
        )
        return run_worker(mlq, options, rules_of(mlq.profile))


@command(
    app,
    "reaper",
    examples="""
      mlq reaper
      mlq reaper --interval 30s --timeout 2h --retries 3
      mlq reaper --once
    """,
)
def reaper(
    common: Common,
    interval: Annotated[
        float | None,
        _profile_flag("reaper.interval", "--interval", help="Time between two looks."),
    ] = None,
    timeout: Annotated[
        float | None,
        _profile_flag("reaper.timeout", "--timeout", help="Give back what runs longer, its worker alive or not."),
    ] = None,
    retries: Annotated[
        int | None,
        _profile_flag("reaper.retries", "--retries", help="Dead after being given back so often."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and stop: for cron.")] = False,
    log_format: LogFormat = "text",
) -> int:
    """Give jobs back whose worker vanished, and deliver callbacks."""
    configure_logging(log_format, quiet=common.quiet, verbose=common.verbose)
    from mlq_cli.worker.run import run_reaper

    flags = {"reaper.interval": interval, "reaper.timeout": timeout, "reaper.retries": retries}
    with common.mlq(flags) as mlq:
        settings = mlq.profile.reaper
        return run_reaper(
            mlq, interval=settings.interval, timeout=settings.timeout, max_retries=settings.retries, once=once
        )
