"""`mlq post --local`: messages through a function here and now, their results as lines of JSON. Nothing is posted."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedWriter
from typing import Any

from mlq_cli.bulk import Ended
from mlq_cli.cli.jsonable import dumps
from mlq_cli.cli.jsonable import record as readable
from mlq_cli.cli.lines import Lines, count_lines, open_lines
from mlq_cli.cli.message import read_message
from mlq_cli.cli.output import Gone, Output, Unwritable, complain
from mlq_cli.local.local import Local
from mlq_cli.model.errors import JobFailed, Misuse
from mlq_cli.model.job import Record, State
from mlq_cli.model.values import pack
from mlq_cli.progress_bar import progress_bar


def run_here(
    local: Local,
    message: str | None,
    path: str | None,
    output: Output,
    options: dict[str, Any],
    *,
    as_it_stands: bool,
    verbose: bool,
) -> int:
    """Run a message, or each line of a file; returns the exit code."""
    logging.getLogger("mlq.worker").setLevel(logging.WARNING if verbose else logging.ERROR)  # failures are told here
    limit = local.profile.limits.message
    watched = path is not None and output.talks_to_person and not output.terminal
    with nullcontext() if path is None else open_lines(path) as file, _results() as results, local:
        total = count_lines(file) if file is not None and watched else None
        if file is None:
            assert message is not None
            value = pack(read_message(message, as_it_stands=as_it_stands, limit=limit), limit=limit)
            source = _Numbered(iter([(0, value)]))
        else:
            lines = Lines(file, as_it_stands=as_it_stands, limit=limit)
            source = _Numbered(_read(lines), lines.wait)
        failed = done = 0
        with progress_bar(watched, total, "running") as advance:
            for record in local.records_of(source, **options):
                number = source.numbers.popleft()
                done += 1
                failed += record["state"] is not State.SUCCEEDED
                _show(results, record, number, as_json=output.as_json, verbose=verbose)
                advance(done)
        local.run()  # what these have posted
    if source.wrong is not None:
        complain(f"{done:,} messages were run, all that stand before line {source.wrong_at}")
        raise source.wrong
    if failed and path is not None:
        output.say(f"{failed:,} of {done:,} failed")
    return JobFailed.exit_code if failed else 0


class _Numbered(Iterator[bytes | None]):
    """Messages whose numbers are kept until their results are known."""

    def __init__(
        self, messages: Iterator[tuple[int, bytes] | None], wait: Callable[[float], object] = time.sleep
    ) -> None:
        """`wait` is called with the seconds to wait for the next one at most, when there is nothing else to do."""
        self._messages = messages
        self.wait = wait
        self.numbers: deque[int] = deque()
        self.wrong: Misuse | None = None
        self.wrong_at = 0

    def __next__(self) -> bytes | None:
        try:
            found = next(self._messages)
        except Ended as end:
            self.wrong_at, message, hint = end.args
            self.wrong = Misuse(f"line {self.wrong_at}: {message}", hint=hint)
            raise StopIteration from None
        if found is None:
            return None
        self.numbers.append(found[0])
        return found[1]


def _read(lines: Lines) -> Iterator[tuple[int, bytes] | None]:
    for block in lines.blocks():
        if block is None:
            while not lines.readable:
                yield None
        else:
            yield from lines.numbered(block)


def _show(results: BufferedWriter, record: Record, number: int, *, as_json: bool, verbose: bool) -> None:
    """Print a result; of a failure say why on stderr, with the number of its line if it has one."""
    succeeded = record["state"] is State.SUCCEEDED
    if not succeeded:
        complain(f"{f'line {number}' if number else 'error'}: {record['error'] or record['state'].value}")
        if verbose and record["traceback"]:
            complain(record["traceback"].rstrip())
    if as_json:
        _write(results, {"line": number, **readable(record)} if number else readable(record))
    elif succeeded:
        _write(results, record["result"])


def _write(results: BufferedWriter, value: Any) -> None:
    try:
        results.write(dumps(value).encode("utf-8", "replace") + b"\n")
        results.flush()
    except BrokenPipeError:
        raise Gone from None
    except OSError as error:
        raise Unwritable(f"the output cannot be written: {error.strerror}") from None


@contextmanager
def _results() -> Iterator[BufferedWriter]:
    """Keep stdout for the results; what functions print, in this process or another, goes to stderr meanwhile."""
    if sys.stdout is None or sys.stderr is None:
        raise Unwritable("the output cannot be written: stdout or stderr is closed")
    sys.stdout.flush()
    own = sys.stdout.fileno()
    number = os.dup(own)
    os.dup2(sys.stderr.fileno(), own)
    results = os.fdopen(number, "wb", closefd=False)
    try:
        yield results
    finally:
        try:
            sys.stdout.flush()
            results.close()
        except OSError:
            pass  # it was said when it was written
        os.dup2(number, own)
        os.close(number)
