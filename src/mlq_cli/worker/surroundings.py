"""What a job has changed of the process it runs in is put back before the next one: folder, umask, environment, …

Asked after each job but the briefest, so it compares what can be compared cheaply: some 2 µs where nothing has changed.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from importlib import import_module
from typing import Any

#: The signals that jobs are known to handle; to look at all of them would cost as much as all the rest.
_SIGNALS = tuple(
    int(getattr(signal, name))
    for name in ("SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGCHLD")
)
_handler = import_module("_signal").getsignal  # without the names that `signal` makes of numbers: ten times as fast


class Surroundings:
    """How things stood when the executor was ready, setup included."""

    def __init__(self) -> None:
        # A descriptor, for a folder may be moved; O_PATH, for one may have no right to read it.
        self._folder = os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._environ = os.environ
        self._raw = _raw(os.environ)
        self._variables = dict(self._raw)
        self._stdout, self._stderr, self._stdin = sys.stdout, sys.stderr, sys.stdin
        # Of what a setup has put in their place it is not known whether it can be closed.
        self._out, self._err = sys.__stdout__ or io.StringIO(), sys.__stderr__ or io.StringIO()
        self._depth = sys.getrecursionlimit()
        self._handlers = list(map(_handler, _SIGNALS))

    def restore(self) -> str | None:
        """Put back what has changed. Returns why this process is spent, None when it is as it was."""
        try:
            os.fchdir(self._folder)  # cheaper than to ask where we are
            os.umask(self._umask)
            if self._raw != self._variables or os.environ is not self._environ:
                self._put_back_variables()
            if sys.stdout is not self._stdout or sys.stderr is not self._stderr or sys.stdin is not self._stdin:
                sys.stdout, sys.stderr, sys.stdin = self._stdout, self._stderr, self._stdin
            if self._out.closed or self._err.closed:
                return "a job has closed its output"
            if sys.getrecursionlimit() != self._depth:
                sys.setrecursionlimit(self._depth)
            if list(map(_handler, _SIGNALS)) != self._handlers:
                self._put_back_handlers()
        except Exception as error:  # noqa: BLE001  whatever it is, a new process is as good as new
            return f"what a job has changed cannot be put back: {type(error).__name__}"
        return None

    def _put_back_variables(self) -> None:
        os.environ = self._environ  # noqa: B003  the same object as before
        for name in [name for name in self._raw if name not in self._variables]:
            os.unsetenv(name)
        for name, value in self._variables.items():
            if self._raw.get(name) != value:
                os.putenv(name, value)
        self._raw.clear()
        self._raw.update(self._variables)

    def _put_back_handlers(self) -> None:
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if handler is not None and _handler(number) != handler:  # None: not set by Python, so not to be named
                signal.signal(number, handler)


def _raw(environ: Any) -> dict[Any, Any]:
    """Return the dictionary of bytes inside `os.environ`: decoding all of it takes ten times as long."""
    raw: dict[Any, Any] = getattr(environ, "_data", environ)  # a setup may have put a dictionary in its place
    return raw
