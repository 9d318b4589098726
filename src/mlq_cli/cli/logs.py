"""What commands that stay say while they run: lines for a person or JSON for a program, on stderr."""

from __future__ import annotations

import logging
import sys

from mlq_cli.cli.jsonable import dumps, instant
from mlq_cli.cli.log_writer import LogWriter
from mlq_cli.cli.output import harmless
from mlq_cli.model.errors import Misuse

FORMATS = ("text", "json")
_OTHERS = ("asyncio", "uvicorn")  # what they complain of is ours to tell


def configure_logging(form: str, *, quiet: bool, verbose: bool) -> None:
    """Send what mlq logs to stderr. Raises Misuse for a form that does not exist."""
    if form not in FORMATS:
        raise Misuse(f"--log-format: {form!r} is no form of a log", hint="text or json")
    handler = _to_stderr()
    handler.setFormatter(_Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(message)s"))
    log = logging.getLogger("mlq")
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    log.propagate = False
    for name in _OTHERS:
        other = logging.getLogger(name)
        other.handlers[:], other.propagate = [handler], False
        other.setLevel(logging.DEBUG if verbose else logging.WARNING)


def _to_stderr() -> logging.Handler:
    try:
        return LogWriter(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # there is none, or it is no file
        return logging.StreamHandler(sys.stderr)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # Escaped in a file too: somebody will look at it in a terminal.
        return harmless(super().format(record), keep="\n\t")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)  # what a program takes from them, it does not have to take from text
        said = {"message": record.getMessage()} if fields is None else fields
        line = {"time": instant(record.created), "level": record.levelname.lower(), **said}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return dumps(line)
