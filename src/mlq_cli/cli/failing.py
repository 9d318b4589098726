"""Every way a command can fail, turned into one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence

from typer.exceptions import Abort, TyperException

from mlq_cli.cli.output import Gone, Unwritable, complain, flush
from mlq_cli.model.errors import Misuse, MlqError

INTERRUPTED = 130


def run(command: Callable[[], object], *, debug: bool) -> int:
    """Run a command and return its exit code; what it raises becomes a line on stderr."""
    code = _run(command, debug)
    try:
        flush()
    except MlqError as error:
        code = code or _report(error)
    return code


def check_words(words: Sequence[str]) -> None:
    """Raise Misuse when an argument is not valid UTF-8: it could be neither stored nor shown."""
    for number, word in enumerate(words, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise Misuse(
                f"argument {number} is not valid UTF-8",
                hint="mlq post @FILE posts bytes, mlq post - reads them from stdin",
            ) from None


def wants_traceback(words: Sequence[str]) -> bool:
    """Whether the user asked to see where an unexpected error comes from."""
    return "-v" in words or "--verbose" in words or os.environ.get("MLQ_DEBUG", "0") not in ("", "0")


def _run(command: Callable[[], object], debug: bool) -> int:
    try:
        code = command()
    except MlqError as error:
        return _report(error)
    except TyperException as error:
        return _usage(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Abort:
        return 1
    except SystemExit as stop:
        # typer leaves this way when a pipe closed under its help, with 1, and after a completion request.
        return 141 if stop.code == 1 else stop.code if isinstance(stop.code, int) else 0
    except Exception as error:  # noqa: BLE001  the last resort: a person gets a line, not a traceback
        return _unexpected(error, debug)
    return code if isinstance(code, int) else 0


def _report(error: MlqError) -> int:
    if isinstance(error, (Gone, Unwritable)):
        _drop_stdout()
    if not isinstance(error, Gone):
        complain(f"error: {error.message}")
        if error.hint:
            complain(f"hint: {error.hint}")
    return error.exit_code


def _usage(error: TyperException) -> int:
    message = error.format_message().strip().rstrip(".")
    complain(f"error: {message[:1].lower()}{message[1:]}")
    context = getattr(error, "ctx", None)
    if context is not None:
        dashed = "such option: -" in message and context.parent is not None
        extra = "; a message that begins with '-' goes after --" if dashed else ""
        if "such option: -" in message and context.parent is None:
            extra = "; options come after the command"
        complain(f"hint: {context.command_path} --help shows what there is{extra}")
    return error.exit_code


def _unexpected(error: Exception, debug: bool) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:  # typer wrote the help
        return _report(Unwritable(f"the output cannot be written: {error.strerror}"))
    if debug:
        import traceback

        complain("".join(traceback.format_exception(error)).rstrip())
        return 1
    complain(f"error: unexpected {type(error).__name__}: {error}".replace("\n", " "))
    complain("hint: the same with -v, or with MLQ_DEBUG=1 set, shows where; please report it")
    return 1


def _drop_stdout() -> None:
    """Lead stdout nowhere, so that the interpreter does not fail on it once more when it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
