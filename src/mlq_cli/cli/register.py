"""`mlq register-fn`: ship a function to the workers that run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlq_cli.cli.command import command
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import line, write
from mlq_cli.model.errors import Misuse

app = typer.Typer()


@command(
    app,
    "register-fn",
    examples="""
      mlq register-fn mypkg.tasks:multiply
      mlq register-fn tasks:classify --name classify-v2
      mlq post 7 --functions multiply
      mlq register-fn mypkg.tasks:multiply -o multiply.fn
      curl localhost:5001/consumer -H 'Content-Type: application/octet-stream' \\
        --data-binary @multiply.fn

      Workers started with --registered take it up within two seconds. It travels
      with the code of its own package and of what lies beside that, signed with
      the secret of the profile; what is installed has to be there already.
    """,
)
def register_fn(
    common: Common,
    function: Annotated[str, typer.Argument(metavar="MOD:FUNC", help="The function.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Register it under this name.")] = None,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="FOLDER", help="Import from here as well as from this folder."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write it, signed, for POST /consumer; -: to stdout."),
    ] = None,
) -> None:
    """Ship a function to every worker started with --registered."""
    import os

    from mlq_cli.worker.listeners import find, import_from, listener_of

    import_from([*(os.path.abspath(folder) for folder in path or ()), os.getcwd()])
    found = find(function)
    listener_of(found)  # what could get no message is refused here rather than by every worker
    with common.mlq() as mlq:
        if output is not None:
            _write(output, mlq.seal_function(found, name))
            return
        given = mlq.register_function(found, name)
    if common.as_json:
        common.output.document({"name": given})
    else:
        line(given)


def _write(path: str, envelope: bytes) -> None:
    if path == "-":
        write(envelope)
        return
    try:
        Path(path).write_bytes(envelope)
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}") from None
