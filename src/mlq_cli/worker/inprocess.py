"""Listening and reaping in the background of the caller's own process: `create_listener` and `create_reaper`.

The same worker loop, in a thread, with an executor that is a thread too: it shares the caller's functions, lambdas and
closures included, and its fate. Isolation is what `mlq worker` is for.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlq_cli.model.errors import MlqError
from mlq_cli.model.rules import rules_of
from mlq_cli.worker.board import Board
from mlq_cli.worker.child import ALONE_SECONDS, Executing, start
from mlq_cli.worker.executor import Host
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.line import wait_for
from mlq_cli.worker.listeners import Listener, listener_of
from mlq_cli.worker.options import WorkerOptions
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.output import Doing
from mlq_cli.worker.pipe import read_settings
from mlq_cli.worker.run import about_this, callback_lane, executor_settings, reaper_worker, sweeping, worker_name
from mlq_cli.worker.worker import Worker

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

log = logging.getLogger("mlq.worker")

_running = threading.local()  # `listeners`: those that this thread runs, when it is an executor


class ThreadHost:
    """An executor in a thread. It cannot be killed, only left alone: what it still says is not heard."""

    def __init__(self, listeners: list[Listener]) -> None:
        self._listeners = listeners
        self._executing: Executing | None = None
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The process that it is: none of its own."""
        return None

    def launch(self, jobs: socket.socket, outcomes: socket.socket, board: Board, doing: Callable[[], Doing]) -> None:
        """Start it with its two sockets and its board."""
        ends = (jobs.dup(), outcomes.dup(), board)
        self._thread = threading.Thread(target=self._run, args=ends, daemon=True, name="mlq-executor")
        self._thread.start()

    def _run(self, jobs: socket.socket, outcomes: socket.socket, board: Board) -> None:
        _running.listeners = self._listeners
        wait_for(jobs, ALONE_SECONDS)
        with jobs, outcomes:
            try:
                self._executing = executing = Executing(jobs, outcomes, board, read_settings(outcomes))
                # Shared: what is added later runs for the next message.
                executing.attempts.repertoire.listeners = self._listeners
                start(executing, lambda: None)
            except (OSError, EOFError):
                pass  # the worker has closed the sockets: it is done with us

    def tell_names(self) -> None:
        """Let it tell the worker what it can run now. Any thread may call."""
        if self._executing is not None:
            with contextlib.suppress(OSError):  # the worker is done with it
                self._executing.tell_names()

    def died(self) -> str | None:
        """Return how it ended, None while it lives."""
        alive = self._thread is not None and self._thread.is_alive()
        return None if alive else "ended without an outcome"

    def guarded(self) -> bool:
        """A thread ends with its process."""
        return True

    def gone(self) -> bool:
        """Whether nothing of it is left to wait for."""
        return self.died() is not None

    def kill(self) -> None:
        """Nothing can end a thread."""

    def last_words(self) -> bytes:
        """It prints where the caller does."""
        return b""


class Listening:
    """The listeners of one MLQ object, and the worker thread that runs them."""

    def __init__(self, mlq: MLQ) -> None:
        self._mlq = mlq
        self._listeners: list[Listener] = []
        self._host: ThreadHost | None = None
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    def add(self, function: Callable[..., Any]) -> None:
        """Run this function too, for every message; the first one starts the worker."""
        known = [listener for listener in self._listeners if listener.function is not function]
        self._listeners[:] = [*known, listener_of(function)]
        if self._thread is None:
            self._begin()
        elif self._host is not None:
            self._host.tell_names()

    def remove(self, function: Callable[..., Any]) -> bool:
        """Run this function no more. Returns whether it was there."""
        same = [listener for listener in self._listeners if listener.function is function]
        name = getattr(function, "__name__", None)
        same = same or [listener for listener in self._listeners if listener.name == name]
        self._listeners[:] = [listener for listener in self._listeners if listener not in same]
        if same and not self._listeners:
            self.stop()
        elif same and self._host is not None:
            self._host.tell_names()
        return bool(same)

    def _begin(self) -> None:
        mlq, name = self._mlq, worker_name()
        profile = mlq.profile
        outbox = Outbox()
        options = WorkerOptions(("in:process",), timeout=profile.worker.timeout)
        settings = executor_settings(name, options, profile.limits.result, profile)
        lanes = [
            Lane("jobs", options.queues, self._new_host, settings, outbox, size=1, timeout=options.timeout),
            callback_lane(mlq, name, outbox),
        ]
        about = about_this(options.queues, 1, ())
        grace = profile.worker.grace
        self._worker = Worker(mlq.store, name, rules_of(profile), outbox, lanes, grace=grace, about=about)
        # Not a daemon: the process lives as long as it listens, as the original's examples expect.
        self._thread = threading.Thread(target=_run, args=(self._worker,), name="mlq-listener")
        self._thread.start()
        # After Ctrl-C Python stops waiting for threads and comes here: give back what runs, at once.
        atexit.register(self._leave)

    def _new_host(self, number: int) -> Host:
        self._host = ThreadHost(self._listeners)
        return self._host

    def _leave(self) -> None:
        if self._worker is not None and self._thread is not None:
            self._worker.stop()
            self._worker.stop()
            self._thread.join(5)

    def stop(self) -> None:
        """Finish what runs, give back the rest, end the thread. Called by a listener, it does not wait for that."""
        atexit.unregister(self._leave)
        if self._worker is not None and self._thread is not None:
            self._worker.stop()
            if getattr(_running, "listeners", None) is not self._listeners:  # or it would wait for itself
                self._thread.join()
            self._worker = self._thread = None


class Reaping:
    """A reaper in a thread of this process, which lives as long as it does."""

    def __init__(self, mlq: MLQ, interval: float, timeout: float | None, max_retries: int) -> None:
        rules = rules_of(mlq.profile, max_retries=max_retries)
        self._worker = reaper_worker(mlq, rules, chore=sweeping(mlq, rules, interval, timeout))
        self._thread = threading.Thread(target=_run, args=(self._worker,), name="mlq-reaper")
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._worker.stop()
        self._thread.join()


def _run(worker: Worker) -> None:
    try:
        worker.run()
    except MlqError as error:
        log.error("%s%s", error, f"; {error.hint}" if error.hint else "")
