"""`mlq serve`: the queue over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlq_cli.cli.command import command
from mlq_cli.cli.logs import configure_logging
from mlq_cli.cli.options import Common, LogFormat
from mlq_cli.cli.output import complain
from mlq_cli.model.errors import Refused

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

app = typer.Typer()


@command(
    app,
    "serve",
    examples="""
      mlq serve
      mlq serve --port 8080 --processes 4
      mlq serve --socket /run/mlq/http.sock --require-token
      mlq token add --role post && mlq serve --host 0.0.0.0

      On this machine's own address everybody here may do everything. On any
      other one a token is needed: mlq token add makes them.
    """,
)
def serve(
    common: Common,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help="Address.  [default: 127.0.0.1]", allow_from_autoenv=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", help="Port; 0: a free one.  [default: 5001]", allow_from_autoenv=False),
    ] = None,
    socket: Annotated[
        str | None,
        typer.Option("--socket", metavar="PATH", help="Unix socket, instead.", allow_from_autoenv=False),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            "--workers",
            metavar="N",
            help="Processes that share the address.  [default: 1]",
            allow_from_autoenv=False,
        ),
    ] = None,
    require_token: Annotated[
        bool, typer.Option("--require-token", help="Ask for a token here too.", allow_from_autoenv=False)
    ] = False,
    unsigned: Annotated[
        bool,
        typer.Option(
            "--insecure-unsigned-functions",
            help="Take functions that nobody has signed, as the original does: whoever reaches this server can run "
            "code on the workers. Only on this machine, with Redis on it too.",
            allow_from_autoenv=False,
        ),
    ] = False,
    log_format: LogFormat = "text",
) -> int:
    """Serve the queue over HTTP: the API and the dashboard."""
    from mlq_cli.http.resources import keep_standard_files

    keep_standard_files()
    configure_logging(log_format, quiet=common.quiet, verbose=common.verbose)
    flags = {
        "server.host": host,
        "server.port": port,
        "server.socket": socket,
        "server.processes": processes,
        "server.require_token": require_token or None,
    }
    with common.mlq(flags) as mlq:
        from mlq_cli.http.sockets import listen_tcp, listen_unix

        settings = mlq.profile.server
        if settings.socket is not None:
            listening = listen_unix(Path(settings.socket), settings.socket_group)
        else:
            listening = listen_tcp(settings.host, settings.port)
        try:
            if unsigned:
                _check_alone(mlq, local=listening.local)
            needed = settings.require_token or not listening.local
            if needed:
                _check_tokens(mlq, listening.where)
            from mlq_cli.http.processes import Processes
            from mlq_cli.http.serving import serve as serve_here

            who = "only with a token" if needed else "whoever is on this machine may do everything"
            common.output.say(f"listening on {listening.where}: {who}")
            if unsigned:
                _warn()
            if not listening.local:
                common.output.say("warning: this is plain HTTP, where tokens can be read on the way: put TLS before it")
            if settings.processes == 1:
                return serve_here(mlq, settings, listening, token_needed=needed, unsigned=unsigned)

            def child(parent: int) -> int:
                return serve_here(mlq, settings, listening, token_needed=needed, unsigned=unsigned, parent=parent)

            return Processes(settings.processes, child, settings.grace).run()
        finally:
            listening.close()


def _check_alone(mlq: MLQ, *, local: bool) -> None:
    """Raise Refused unless nobody but this machine is concerned when functions are taken unsigned."""
    from mlq_cli.model.callback_policy import redis_is_local

    flag = "--insecure-unsigned-functions"
    if not local:
        raise Refused(f"{flag} is only for an address of this machine, or a unix socket", hint="leave out --host")
    if mlq.profile.server.hosts:
        raise Refused(f"{flag} is not for a server with other names", hint="server.hosts in the profile gives it some")
    if not redis_is_local(mlq.profile):
        raise Refused(f"{flag} is only for a Redis on this machine", hint="workers elsewhere may listen to another")


def _warn() -> None:
    """Say, however quiet we are to be, what this server is open to."""
    complain("INSECURE: this server takes functions that nobody has signed.")
    complain("INSECURE: whoever reaches it can run code on every worker that was started with --registered.")


def _check_tokens(mlq: MLQ, where: str) -> None:
    """Raise Refused when nobody could be let in."""
    tokens, now = mlq.store.access().all()
    if all(token.expires_at is not None and token.expires_at <= now for token in tokens):
        raise Refused(
            f"on {where} everybody needs a token, and there is none",
            hint="mlq token add --role read|post|admin makes one; without --host only this machine is served",
        )
