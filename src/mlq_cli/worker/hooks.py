"""Hooks around attempts: what is called before one, after one, and asked whether it is time to stop."""

from __future__ import annotations

import inspect
import sys
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from mlq_cli.model.errors import Misuse
from mlq_cli.worker.context import Context
from mlq_cli.worker.failure import user_frames

BeforeFn = Callable[[Context], object]
AfterFn = Callable[..., object]
StopFn = Callable[..., object]

MINUTE = 60.0  # between two complaints
_FACTS = ("executed", "tries", "previous_execution_time", "elapsed_time")


class Ended(NamedTuple):
    """How an attempt has ended, as the hook after it is told."""

    ok: bool
    seconds: float  # that it took
    error: BaseException | None  # what it has raised


class Hooks:
    """The hooks of one loop or executor, and what it has counted for them."""

    def __init__(
        self, before_fn: BeforeFn | None = None, after_fn: AfterFn | None = None, stop_fn: StopFn | None = None
    ) -> None:
        """`before_fn(job)`; `after_fn(job)` is called after a success, `after_fn(job, ended)` after each attempt.

        `stop_fn` gets by name what it asks for of `executed` (attempts that succeeded), `tries` (looks in a row that
        found nothing, or ended in an error), `previous_execution_time` and `elapsed_time` (seconds). Raises Misuse.
        """
        for name, function in (("before_fn", before_fn), ("after_fn", after_fn), ("stop_fn", stop_fn)):
            if function is not None and not callable(function):
                raise Misuse(f"{name} is no function but a {type(function).__name__}")
        self._before, self._after, self._stop = before_fn, after_fn, stop_fn
        self._after_each = after_fn is not None and _places(after_fn) > 1
        self._wanted = () if stop_fn is None else _facts_of(stop_fn)
        self._began = time.monotonic()
        self.executed = 0
        self.tries = 0
        self.previous_execution_time = 0.0

    @property
    def asks(self) -> bool:
        """Whether anybody is asked when to stop."""
        return self._stop is not None

    @property
    def elapsed_time(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def before(self, job: Context) -> None:
        """An attempt is about to begin. What the hook raises comes through, in the place of what the attempt would."""
        if self._before is not None:
            self._before(job)

    def after(self, job: Context, ended: Ended) -> None:
        """An attempt has ended. What the hook raises comes through."""
        self.previous_execution_time = ended.seconds
        self.executed += ended.ok
        self.tries = 0 if ended.ok else self.tries + 1
        if self._after is not None and (ended.ok or self._after_each):
            self._after(job, ended) if self._after_each else self._after(job)

    def in_vain(self) -> None:
        """Somebody has looked for a job, and there was none."""
        self.tries += 1

    def stops(self) -> bool:
        """Ask whether it is time to stop. What the hook raises comes through."""
        return self._stop is not None and bool(self._stop(**{name: getattr(self, name) for name in self._wanted}))


class Told:
    """When the last complaint was made."""

    at = -MINUTE


def print_hook_error(error: BaseException) -> None:
    """Print what a hook has raised, at most once a minute; in an executor that goes into its worker's log."""
    now = time.monotonic()
    if now - Told.at >= MINUTE:
        Told.at = now
        sys.stderr.write("a hook has raised; that changes nothing for the job:\n")
        traceback.print_exception(type(error), error, user_frames(error))


def _facts_of(stop_fn: StopFn) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(stop_fn).parameters.values()
    except (ValueError, TypeError):
        return ()
    for each in parameters:
        optional = each.default is not each.empty or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if not optional and each.name not in _FACTS:
            raise Misuse(f"stop_fn asks for {each.name!r}", hint=f"it can have {', '.join(_FACTS)}")
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return _FACTS
    return tuple(each.name for each in parameters if each.name in _FACTS)


def _places(function: Callable[..., object]) -> int:
    """Return how many arguments a function takes by their place."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return 1
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return 2
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)
