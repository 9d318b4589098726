"""One result in three forms: a table for a person, plain lines for a pipe, JSON for a program.

Data goes to stdout and nothing else does; talk goes to stderr. What comes from messages, errors or workers is made
harmless before a terminal sees it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar

from mlq_cli.cli.jsonable import dumps, instant
from mlq_cli.model.call import Call
from mlq_cli.model.durations import show_duration
from mlq_cli.model.errors import MlqError

R = TypeVar("R")

_FIXED = 24  # cells that a column keeps on a narrow terminal


class Unwritable(MlqError):
    """The output cannot be written."""

    exit_code = 74


class Gone(MlqError):
    """Whoever read the output has closed it."""

    exit_code = 141


class When(float):
    """Unix seconds: ISO 8601 in a pipe, «3 s ago» in a table."""


class Took(float):
    """Seconds: a number in a pipe, «4.2 s» in a table."""


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column of a list: its title, and what a record has there."""

    title: str
    value: Callable[[R], object]
    right: bool = False
    flexible: bool = False  # gives way when the terminal is narrow


class Output:
    """Where a command puts its result."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    @property
    def terminal(self) -> bool:
        """Whether a person reads the result."""
        return is_terminal(sys.stdout)

    @property
    def talks_to_person(self) -> bool:
        """Whether somebody watches stderr, so that a bar that moves makes sense."""
        return not self.quiet and is_terminal(sys.stderr)

    def say(self, text: str) -> None:
        """Say something that is not the result."""
        if not self.quiet:
            complain(text)

    def document(self, value: Any) -> None:
        """Print one value as one JSON document."""
        line(dumps(value, indent=2 if self.terminal else None))

    def done(self, text: str, value: Any) -> None:
        """Say what was done; with --json, print it."""
        if self.as_json:
            self.document(value)
        else:
            self.say(text)

    def records(
        self, records: Iterable[R], columns: Sequence[Column[R]], document: Callable[[R], Any], *, empty: str
    ) -> None:
        """Print a list of records in the form that is wanted; `empty` is said to a person when there are none."""
        if self.as_json:
            for one in records:
                line(dumps(document(one)))
        elif self.terminal:
            rows = list(records)
            if rows:
                print_table(table(rows, columns))
            else:
                self.say(empty)
        else:
            for one in records:
                line("\t".join(harmless(cell(column.value(one), for_person=False)) for column in columns))


def table(rows: Iterable[R], columns: Sequence[Column[R]]) -> Any:
    """Return a rich table."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    lines = [[harmless(cell(column.value(one), for_person=True)) for column in columns] for one in rows]
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, column in enumerate(columns):
        widest = max(cell_len(text) for text in (column.title, *(row[i] for row in lines)))
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.flexible,  # rich narrows the others only when these cannot give any more
            overflow="ellipsis",
            min_width=None if column.flexible else min(widest, _FIXED),
        )
    for row in lines:
        drawn.add_row(*(Text(text, no_wrap=True, overflow="ellipsis") for text in row))
    return drawn


def print_table(drawn: Any) -> None:
    """Print a rich table on stdout."""
    from rich.console import Console

    Console(file=sys.stdout, highlight=False).print(drawn)


def cell(value: object, *, for_person: bool) -> str:
    """Return a value as the text of one cell."""
    match value:
        case None:
            return "-" if for_person else ""
        case When():
            return ago(value) if for_person else str(instant(value))
        case Took() if for_person:
            return show_duration(value)
        case bool():
            return "yes" if value else "no"
        case str() | Call():
            return str(value)
        case float() if for_person:
            return f"{value:,.2f}".rstrip("0").rstrip(".")
    return dumps(value)


def ago(moment: float) -> str:
    """Return an instant as seen from now: `3 s ago`, `in 5m 20s`."""
    passed = time.time() - moment
    if abs(passed) < 1:
        return "now"
    return f"{show_duration(passed)} ago" if passed > 0 else f"in {show_duration(-passed)}"


def harmless(text: str, *, keep: str = "") -> str:
    """Return text without anything that moves a cursor, rings a bell or sets a title: it is written as an escape.

    `keep` names control characters that may stay. The joiner inside emoji stays too.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep or c == "\u200d" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def line(text: str) -> None:
    """Print one line of the result."""
    write(text.encode("utf-8", "replace") + b"\n")


def write(data: bytes) -> None:
    """Write bytes of the result. Raises Gone or Unwritable."""
    with_stdout(lambda stream: stream.buffer.write(data))


def flush() -> None:
    """Make sure that the result is out. Raises Gone or Unwritable."""
    if sys.stdout is not None:
        with_stdout(lambda stream: stream.flush())


def with_stdout(act: Callable[[Any], object]) -> None:
    """Do something with stdout, its failures turned into ours."""
    if sys.stdout is None:
        raise Unwritable("the output cannot be written: stdout is closed")
    try:
        act(sys.stdout)
    except BrokenPipeError:
        raise Gone from None
    except OSError as error:
        raise Unwritable(f"the output cannot be written: {error.strerror}") from None


def complain(text: str) -> None:
    """Print talk on stderr, harmless; there is nowhere to complain about a stderr that is closed."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(harmless(text, keep="\n\t") + "\n")
        sys.stderr.flush()
    except OSError:
        pass


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether a person sits at the other end."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
