"""`mlq fn`: the functions that are registered at run time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlq_cli.api.functions import Registered
from mlq_cli.cli.command import Group, command
from mlq_cli.cli.jsonable import instant
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import Column, When
from mlq_cli.model.errors import NoFunction

app = typer.Typer(cls=Group, help="Look at the functions that mlq register-fn has shipped, and remove them.")

_COLUMNS: list[Column[Registered]] = [
    Column("NAME", lambda one: one.name, flexible=True),
    Column("USE", lambda one: one.use or None),
    Column("PYTHON", lambda one: one.python or None),
    Column("CLOUDPICKLE", lambda one: one.cloudpickle or None),
    Column("BYTES", lambda one: one.size, right=True),
    Column("REGISTERED", lambda one: When(one.created_at) if one.created_at else None),
    Column("SIGNATURE", lambda one: "sound" if one.sound else one.why, flexible=True),
]


@command(
    app,
    "list",
    examples="""
      mlq fn list
      mlq fn list --json | jq -r 'select(.sound | not) | .name'
    """,
)
def list_(common: Common) -> None:
    """List the registered functions, and whether their signatures are sound."""
    with common.mlq() as mlq:
        functions = mlq.functions()

    def document(one: Registered) -> dict[str, Any]:
        return {**one._asdict(), "created_at": instant(one.created_at)}

    common.output.records(functions, _COLUMNS, document, empty="no functions are registered")


@command(
    app,
    "remove",
    examples="""
      mlq fn remove multiply
    """,
)
def remove(
    common: Common,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names of functions.", show_default=False)],
) -> None:
    """Remove registered functions: workers drop them within two seconds."""
    with common.mlq() as mlq:
        missing = [name for name in names if not mlq.remove_function(name)]
    if missing:
        raise NoFunction(missing[0])
    common.output.done(f"{len(names)} function{'s' * (len(names) != 1)} removed", {"removed": len(names)})
