"""Our kind of typer command: shared flags, flags with an optional value, help that reads well, values read cheaply."""

from __future__ import annotations

import copy
import inspect
import math
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from mlq_cli.cli.options import PANEL, Common
from mlq_cli.cli.output import is_terminal
from mlq_cli.model.durations import parse_duration
from mlq_cli.model.errors import Misuse

_UNLIMITED = "unlimited"  # how a flag with an optional value is spelled when it has none


def command(app: typer.Typer, name: str, *, examples: str, hidden: bool = False) -> Callable[[Any], Any]:
    """Register a function as a command. Its first parameter is the `Common` of the shared flags."""

    def register(function: Callable[..., int | None]) -> Callable[..., int | None]:
        lines, _, notes = inspect.cleandoc(examples).partition("\n\n")
        epilog = "Examples:\n" + textwrap.indent(lines, "  ") + (f"\n\n{notes}" if notes else "")
        app.command(name, cls=Command, epilog=epilog, hidden=hidden)(_shared(function))
        return function

    return register


def _shared(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give a function the shared flags; typer reads the signature that it gets here."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = list(inspect.signature(Common, eval_str=True).parameters.values())

    def call(**values: Any) -> int | None:
        flags = {each.name: values.pop(each.name) for each in common}
        return function(Common(**flags), **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    call.__signature__ = inspect.Signature([p.replace(kind=keyword) for p in (*own, *common)])  # type: ignore[attr-defined]
    call.__name__, call.__doc__, call.__module__ = function.__name__, function.__doc__, function.__module__
    return call


class _Readable:
    """Help in panels on a terminal; plain paragraphs, under the same headings, everywhere else."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            _read_cheaply(option)
            option.metavar = ""
            option.help, option.allow_from_autoenv = "Show this help.", False
            option.rich_help_panel = None if isinstance(self, TyperGroup) else PANEL
        return option

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; the choice is made anew each time, since it depends on where stdout leads."""
        shown = copy.copy(self)
        person = is_terminal(sys.stdout) and os.environ.get("TERM") != "dumb"
        shown.rich_markup_mode = "rich" if person else None  # type: ignore[attr-defined]
        if person:
            shown._prepare_panels()
        super(_Readable, shown).format_help(ctx, formatter)  # type: ignore[misc]
        if person:
            self._print_epilog()

    def _prepare_panels(self: Any) -> None:
        """Keep typer from reading markup into what we say, and from taking the indentation out of examples."""
        from rich.markup import escape

        params = [copy.copy(param) for param in self.params]
        vars(self).update(help=escape(self.help or ""), epilog=None, params=params)
        for param in params:
            param.help = escape(param.help or "")
            if param.param_type_name == "argument":
                param.display_type_rich = lambda ctx: None

    def _print_epilog(self: Any) -> None:
        from rich.console import Console
        from rich.padding import Padding
        from rich.text import Text

        Console(highlight=False).print(Padding(Text(self.epilog or ""), (1, 1, 0, 1)))

    def format_options(self: Any, ctx: Any, formatter: Any) -> None:
        """Write arguments, options and commands, each under its heading."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            if param.param_type_name == "argument":
                panels["Arguments"].append((param.metavar, param.help))
            elif (row := param.get_help_record(ctx)) is not None:
                panels.setdefault(param.rich_help_panel or "Options", []).append(row)
        if isinstance(self, TyperGroup):
            for name in self.list_commands(ctx):
                found: Any = self.get_command(ctx, name)
                if found is not None and not found.hidden:
                    title = found.rich_help_panel or "Commands"
                    panels.setdefault(title, []).append((name, found.get_short_help_str(limit=200)))
        for title, rows in panels.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self: Any, ctx: Any, formatter: Any) -> None:
        """Write the examples as they stand."""
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


class Command(_Readable, TyperCommand):
    """A command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        params: list[Any] = self.params
        for param in params:
            _read_cheaply(param)
            # Each flag has a variable, named after command and flag; help would be twice as long with all of them.
            param.show_envvar = param.envvar is not None
            if getattr(param, "is_flag", False):
                param.metavar = ""  # or typer calls it <bool>

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; a flag whose value is optional takes the next word if that is a duration and nobody else needs it."""
        optional = {name for param in self.params if getattr(param, "metavar", "") == "[D]" for name in param.opts}
        if optional.isdisjoint(args):
            return super().parse_args(ctx, args)
        taking = _fill(args, optional, take=True)
        given, _, _ = self.make_parser(ctx).parse_args(args=list(taking))
        needed = [param.name for param in self.params if param.param_type_name == "argument"]
        if needed and not any(given.get(name) for name in needed):
            taking = _fill(args, optional, take=False)
        return super().parse_args(ctx, taking)


class Group(_Readable, TyperGroup):
    """A noun with commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; without a word the help is shown, which is still no command."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def optional_duration(text: str) -> float:
    """Read the value of a `[D]` flag: seconds, infinitely many when it was given without a value."""
    return math.inf if text == _UNLIMITED else parse_duration(text)


def _fill(args: Sequence[str], optional: set[str], *, take: bool) -> list[str]:
    filled: list[str] = []
    words = iter(enumerate(args))
    for position, word in words:
        if word == "--":
            return [*filled, *args[position:]]
        if word not in optional:
            filled.append(word)
        elif take and position + 1 < len(args) and _is_duration(args[position + 1]):
            filled.append(f"{word}={next(words)[1]}")
        else:
            filled.append(f"{word}={_UNLIMITED}")
    return filled


def _is_duration(word: str) -> bool:
    try:
        parse_duration(word)
    except Misuse:
        return False
    return True


def _read_cheaply(param: Any) -> None:
    """Let a parameter read its own value.

    typer would import pydantic for it, which takes longer than all the rest of `mlq post` before Redis. Where a typer
    has no such place, or the type is not one of ours, its own way is left in place.
    """
    descriptor = getattr(param, "type_descriptor", None)
    if descriptor is None or not hasattr(param, "_runtime_param"):
        return
    info, kind = descriptor.parameter_info, descriptor.annotation
    kind = get_args(kind)[0] if descriptor.is_list else kind
    read = info.parser or _READERS.get(kind)
    if read is not None:
        param._runtime_param = _Reader(read)


class _Reader:
    """Reads the values of one parameter."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what the words on the command line mean. Raises Misuse."""
        if param.multiple or param.nargs == -1:
            return [self._one(each, param) for each in value or ()]
        return None if value is None else self._one(value, param)

    def _one(self, value: Any, param: Any) -> Any:
        name = param.opts[-1] if param.param_type_name == "option" else param.display_name_raw
        if value == param.default:
            return value
        try:
            read = self._read(value)
        except Misuse as error:
            raise Misuse(f"{name}: {error.message}", hint=error.hint) from None
        except ValueError:
            raise Misuse(f"{name}: {value!r} is no whole number") from None
        return read


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on", "y", "t"):
        return True
    if word in ("0", "false", "no", "off", "n", "f", ""):
        return False
    raise Misuse(f"{value!r} is neither true nor false", hint="write 1 or 0")


def _whole(value: Any) -> int:
    return int(value) if len(str(value)) < 20 else int("too long to mean anything")


_READERS: dict[Any, Callable[[Any], Any]] = {str: str, int: _whole, bool: _truth}
