"""The commands of `mlq`, and the way in. The file of a command is imported when the command is named.

main ─▶ Commands ─▶ post.py, get.py, … (the one that is named) ─▶ class MLQ
  └──── failing: whatever goes wrong becomes one line and an exit code
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer

from mlq_cli.cli import failing
from mlq_cli.cli.command import Group
from mlq_cli.model.errors import Misuse


class _Home(NamedTuple):
    """Where a command lives."""

    module: str
    panel: str


_JOBS, _RUN, _OPERATE, _SETUP = "Jobs", "Running", "Operating", "Setting up"

_COMMANDS = {
    "post": _Home("post", _JOBS),
    "get": _Home("get", _JOBS),
    "wait": _Home("wait", _JOBS),
    "list": _Home("jobs", _JOBS),
    "cancel": _Home("jobs", _JOBS),
    "worker": _Home("worker", _RUN),
    "reaper": _Home("worker", _RUN),
    "serve": _Home("serve", _RUN),
    "register-fn": _Home("register", _RUN),
    "fn": _Home("functions", _RUN),
    "status": _Home("status", _OPERATE),
    "workers": _Home("status", _OPERATE),
    "queue": _Home("moving", _OPERATE),
    "dlq": _Home("dlq", _OPERATE),
    "doctor": _Home("doctor", _OPERATE),
    "bench": _Home("bench", _OPERATE),
    "token": _Home("token", _SETUP),
    "config": _Home("config", _SETUP),
    "redis": _Home("server", _SETUP),
}


class Commands(Group):
    """All commands, each known by name only until it is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command."""
        home = _COMMANDS.get(cmd_name)
        if home is None:
            return None
        group = typer.main.get_group(import_module(f"mlq_cli.cli.{home.module}").app)
        command: Any = group.commands.get(cmd_name) or group  # a verb, or a noun with verbs of its own
        command.name, command.rich_help_panel = cmd_name, home.panel
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is named. Raises Misuse with the nearest one."""
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            close = get_close_matches(name, _COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean 'mlq {close[0]}'?" if close else "mlq --help shows all commands"
            raise Misuse(f"there is no command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *rest: Any, **extra: Any) -> Any:
        """Run a command and leave with its exit code."""
        words = list(sys.argv[1:] if args is None else args)

        def run() -> object:
            failing.check_words(words)
            return super(Commands, self).main(words, prog_name, *rest, **{**extra, "standalone_mode": False})

        code = failing.run(run, debug=failing.wants_traceback(words))
        if extra.get("standalone_mode", True):
            sys.exit(code)
        return code


app = typer.Typer(cls=Commands, add_completion=False, context_settings={"auto_envvar_prefix": "MLQ"})


def _show_version(wanted: bool) -> None:
    if wanted:
        from mlq_cli import __version__
        from mlq_cli.cli.output import line

        line(f"mlq {__version__}")
        raise typer.Exit()


@app.callback(
    epilog="""Examples:
  mlq post '{"arg1": 6, "arg2": 3}'
  mlq worker --fn mypkg.tasks:multiply --burst
  mlq get 1

Flags come after the command. Each has a variable in the environment: -q of
mlq post is MLQ_POST_QUEUE, --namespace of all commands is MLQ_NAMESPACE."""
)
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version.",
            metavar="",
            is_eager=True,
            callback=_show_version,
            allow_from_autoenv=False,
        ),
    ] = False,
) -> None:
    """A job queue for machine-learning work, on Redis."""


def main() -> None:
    """Run the command that the command line names."""
    typer.main.get_command(app)(prog_name="mlq")
