"""The executors of a lane as such: hired, looked after, buried. What they run is the lane's matter."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from mlq_cli.model.errors import Misuse
from mlq_cli.worker.executor import Executor, HostMaker
from mlq_cli.worker.supply import Supply

log = logging.getLogger("mlq.worker")

GUARDS = 1.0  # seconds between two looks at the guards, at least
LONGEST_WAIT = 30.0  # seconds until the next try, where executors cannot start
MOST_DOUBLINGS = 10  # of the wait before: far more would be no number any more


class Staff:
    """Keeps the executors by their numbers."""

    def __init__(self, hosts: HostMaker, settings: dict[str, Any], *, lasting: bool) -> None:
        """`lasting`: whether a worker of which none can ever start is of no use."""
        self._hosts = hosts
        self._settings = settings
        self._lasting = lasting
        self.executors: dict[int, Executor] = {}
        self._unburied: list[Executor] = []  # ended, and something of them is still to be waited for
        self.hire_at = 0.0
        self._guards_at = 0.0
        self._failed_starts = 0
        self.ever_ready = False  # whether any executor could ever start
        self.cannot_start: Misuse | None = None
        self.on_hire: Callable[[Executor], None] = lambda executor: None
        self.on_enough: Callable[[], None] = lambda: None  # a hook of the user's has said that it is time to stop

    def able(self) -> list[Executor]:
        """Return the executors that take jobs."""
        return [executor for executor in self.executors.values() if executor.able]

    def names(self) -> list[str]:
        """Return what jobs may ask for: what any can run that takes jobs, for the others take it up before the next."""
        return list(dict.fromkeys(name for executor in self.able() for name in executor.names))

    def pids(self) -> list[int | None]:
        """Return the processes of all executors, those included that have ended and are not buried."""
        return [executor.pid for executor in (*self.executors.values(), *self._unburied)]

    @property
    def unsettled(self) -> bool:
        """Whether somebody comes or goes, so that it has to be looked again soon."""
        return bool(self._unburied) or any(not each.ready or each.leaving for each in self.executors.values())

    # --- coming ----------------------------------------------------------------------------------------------------
    def hire(self, numbers: Iterable[int], supply: Supply, now: float) -> None:
        """Start those that are missing of these numbers; they take from the supply's line."""
        for number in numbers:
            if number not in self.executors:
                try:
                    executor = Executor(self._hosts(number), self._settings, supply.line.receiving_end, supply.slices)
                except OSError as error:  # no process, no descriptor, no memory to be had
                    log.error("an executor cannot be started, trying again: %s", error)
                    self.hire_at = now + 1.0
                    return
                self.executors[number] = executor
                self.on_hire(executor)

    def ready(self) -> None:
        """Note that one could start."""
        self.ever_ready, self._failed_starts = True, 0

    def broken(self, executor: Executor, text: str, hint: str | None) -> None:
        """Note that one says that it cannot start."""
        executor.killed = True  # it held no job yet, so this is no crash of one
        self._failed_starts += 1
        self._complain("an executor cannot start; trying again: %s", text, f"the worker cannot start: {text}", hint)

    def failed(self, executor: Executor, how: str, last_words: bytes) -> None:
        """Note that one has ended before it was ready, and wait a little longer each time before the next."""
        if not executor.killed:  # of those that are, who said that they cannot start is counted already
            self._failed_starts += 1
        self._failed_starts = min(MOST_DOUBLINGS, max(1, self._failed_starts))
        self.hire_at = time.monotonic() + min(LONGEST_WAIT, 0.25 * 2**self._failed_starts)
        if not executor.killed:
            said = f"; the last it said:\n{last_words.decode(errors='replace')}" if last_words.strip() else ""
            text = f"{how}{said}".rstrip()
            self._complain("an executor cannot start, trying again: %s", text, f"the worker cannot start: {text}", None)

    def _complain(self, line: str, text: str, final: str, hint: str | None) -> None:
        if self.ever_ready or not self._lasting:
            log.error(line, text)
        else:
            self.cannot_start = Misuse(final, hint=hint)

    # --- staying and going -----------------------------------------------------------------------------------------
    def look_after_guards(self, now: float) -> None:
        """Let an executor go whose guard was killed: nothing would end it with its worker."""
        if now < self._guards_at:
            return
        self._guards_at = now + GUARDS
        for executor in self.executors.values():
            if executor.ready and not executor.leaving and not executor.guarded:
                log.warning("the guard of an executor was killed; the executor is replaced after what it runs")
                executor.board.ask_to_leave()
                executor.leave()
                if not executor.busy:
                    executor.kill()

    def let_go(self, executor: Executor) -> None:
        """Close what is left of one that has ended."""
        executor.close()
        if not executor.gone:
            self._unburied.append(executor)

    def bury_gone(self) -> None:
        """Forget those of which nothing is left."""
        self._unburied = [executor for executor in self._unburied if not executor.gone]
