"""Flags that several commands share, and the one place that makes an MLQ of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import typer

from mlq_cli.cli.output import Output
from mlq_cli.model.errors import Misuse

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ
    from mlq_cli.model.profile import Profile

PANEL = "Common options"


def _setting(*names: str, metavar: str, help: str, variable: str) -> typer.models.OptionInfo:
    """A flag that the profile knows: it reads the environment itself, and remembers that a value came from there."""
    option: typer.models.OptionInfo = typer.Option(
        *names,
        metavar=metavar,
        help=f"{help}  [env var: {variable}]",
        rich_help_panel=PANEL,
        allow_from_autoenv=False,
        show_default=False,
    )
    return option


def _switch(*names: str, help: str, variable: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=help, rich_help_panel=PANEL, envvar=variable)
    return option


@dataclass(frozen=True)
class Common:
    """What every command takes, after its name."""

    profile_name: Annotated[
        str | None,
        _setting("-p", "--profile", metavar="NAME|FILE", help="Profile to use.", variable="MLQ_PROFILE"),
    ] = None
    redis_url: Annotated[
        str | None,
        _setting("--redis-url", metavar="URL", help="Redis to use.", variable="MLQ_REDIS_URL"),
    ] = None
    namespace: Annotated[
        str | None,
        _setting("-n", "--namespace", metavar="NS", help="Namespace of the jobs.", variable="MLQ_NAMESPACE"),
    ] = None
    as_json: Annotated[bool, _switch("--json", help="Print JSON.", variable="MLQ_JSON")] = False
    quiet: Annotated[bool, _switch("--quiet", help="Say nothing on stderr but errors.", variable="MLQ_QUIET")] = False
    verbose: Annotated[bool, _switch("-v", "--verbose", help="Say more; show tracebacks.", variable="MLQ_VERBOSE")] = (
        False
    )

    @cached_property
    def output(self) -> Output:
        """Where the result goes."""
        return Output(as_json=self.as_json, quiet=self.quiet)

    def profile(self, flags: Mapping[str, object] | None = None) -> Profile:
        """Return the profile with the flags of the command line over it; its warnings are said. Raises Misuse."""
        from mlq_cli.model.profile import load

        own = {"redis.url": self.redis_url, "namespace": self.namespace, **(flags or {})}
        profile = load(self.profile_name, flags={key: value for key, value in own.items() if value is not None})
        for warning in profile.warnings:
            self.output.say(f"warning: {warning}")
        return profile

    def mlq(self, flags: Mapping[str, object] | None = None) -> MLQ:
        """Return the MLQ that the flags name. Connects to nothing yet."""
        from mlq_cli.mlq import MLQ

        return MLQ(profile=self.profile(flags))


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise Misuse("1 is the least")
    return number


def split_names(given: Iterable[str] | None) -> list[str] | None:
    """Return names from a flag that may be repeated, and takes several with commas between."""
    names = [name.strip() for each in given or () for name in each.split(",") if name.strip()]
    return names or None


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; without a terminal only --yes will do. Raises Misuse or Refused."""
    import sys

    from mlq_cli.cli.output import is_terminal
    from mlq_cli.model.errors import Refused

    if yes:
        return
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise Misuse(f"{question} Nobody is here to answer.", hint="--yes says yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused("nothing was done")


LogFormat = Annotated[str, typer.Option("--log-format", metavar="text|json", help="How to log on stderr.")]
Queue = Annotated[str | None, typer.Option("-q", "--queue", metavar="NAME", help="Only this queue.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", help="Show at most so many.", parser=_at_least_one)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of a job.", show_default=False)]
JobIds = Annotated[list[str], typer.Argument(metavar="ID", help="Ids of jobs.", show_default=False)]
