"""`mlq queue copy`, `mlq queue move` and `mlq queue rezero`: a queue as a whole goes elsewhere, or counts anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from mlq_cli.cli.command import command
from mlq_cli.cli.jobs import counted
from mlq_cli.cli.options import Common
from mlq_cli.cli.queue import Name, app
from mlq_cli.model.errors import Misuse

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

To = Annotated[
    str | None,
    typer.Option("--to", metavar="NAME|FILE", help="Profile of the destination; this one's by default."),
]
ToQueue = Annotated[
    str | None, typer.Option("--to-queue", metavar="NAME", help="Queue there; the same name by default.")
]
ToNamespace = Annotated[
    str | None, typer.Option("--to-namespace", metavar="NS", help="Namespace there; by default what --to says.")
]
Carry = Callable[[str, "MLQ", str | None, bool], int]


@command(
    app,
    "copy",
    examples="""
      mlq queue copy default --to-queue again
      mlq queue copy default --to staging.yaml --to-namespace trial
    """,
)
def copy(
    common: Common, queue: Name, to: To = None, to_queue: ToQueue = None, to_namespace: ToNamespace = None
) -> None:
    """Copy the waiting jobs of a queue to another Redis, namespace or queue. What is there already is not copied."""
    _carry(common, "copied", lambda mlq: mlq.copy_queue, queue, to, to_queue, to_namespace)


@command(
    app,
    "move",
    examples="""
      mlq queue move default --to-queue slow
      mlq queue move default --to production.yaml
      mlq queue move default --undo
    """,
)
def move(
    common: Common,
    queue: Name,
    to: To = None,
    to_queue: ToQueue = None,
    to_namespace: ToNamespace = None,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo",
            help="Let jobs wait again that a move held which broke off, for when its destination is gone for good: "
            "some may have arrived there.",
        ),
    ] = False,
) -> None:
    """Move the waiting jobs of a queue to another Redis, namespace or queue; run it again if it was cut off.

    Workers of both sides may go on: a job is handed out here or there, never both.
    """
    if not undo:
        _carry(common, "moved", lambda mlq: mlq.move_queue, queue, to, to_queue, to_namespace)
        return
    if to or to_queue or to_namespace:
        raise Misuse("--undo takes no destination", hint="leave it out to go on with the move")
    with common.mlq() as mlq:
        number = mlq.undo_move(queue)
    common.output.done(f"{counted(number, 'job')} of queue {queue} wait again", {"queue": queue, "undone": number})


@command(
    app,
    "rezero",
    examples="""
      mlq queue rezero default
    """,
)
def rezero(common: Common, queue: Name) -> None:
    """Let the tally of a queue, inserted and completed, begin at zero. Rates and /metrics go on."""
    with common.mlq() as mlq:
        mlq.rezero(queue)
        tally = mlq.tally(queue)
    common.output.done(f"queue {queue} counts from zero", {"queue": queue, "tally": tally._asdict()})


def _carry(
    common: Common,
    done: str,
    carrier: Callable[[MLQ], Carry],
    queue: str,
    to: str | None,
    to_queue: str | None,
    to_namespace: str | None,
) -> None:
    if to is None and to_queue is None and to_namespace is None:
        raise Misuse("where to?", hint="say --to, --to-namespace or --to-queue")
    with common.mlq() as source, _destination(common, to, to_namespace) as destination:
        number = carrier(source)(queue, destination, to_queue, common.output.talks_to_person)
        goal = f"{to_queue or queue} of namespace {destination.namespace} at {destination.store.address}"
    common.output.done(
        f"{counted(number, 'job')} {done} to queue {goal}",
        {"queue": queue, done: number, "to": {"queue": to_queue or queue, "namespace": destination.namespace}},
    )


def _destination(common: Common, to: str | None, namespace: str | None) -> MLQ:
    """Return the MLQ of the other end. What the environment says of Redis is meant for this one."""
    if to is None:
        return common.mlq({} if namespace is None else {"namespace": namespace})
    from mlq_cli.mlq import MLQ
    from mlq_cli.model.profile import load
    from mlq_cli.model.settings import SETTINGS

    ours = {each.variable for key, each in SETTINGS.items() if key == "namespace" or key.startswith("redis.")}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    profile = load(to, {} if namespace is None else {"namespace": namespace}, environ)
    for warning in profile.warnings:
        common.output.say(f"warning: {warning}")
    return MLQ(profile=profile)
