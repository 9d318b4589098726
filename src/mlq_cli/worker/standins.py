"""Stand-ins: executors beyond a lane's size, while jobs of it block on others that may need a place to run.

A job that blocks keeps its executor and does nothing. When every place of an executor is taken by such jobs, a stand-in
is hired, so that as many places as the lane has always are there for jobs that can go on, however deep they nest.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from mlq_cli.worker.executor import Executor
from mlq_cli.worker.slices import Sent

log = logging.getLogger("mlq.worker")

MOST = 1000  # stand-ins of a lane
RESTED = 10.0  # seconds in which nobody needed a stand-in, after which it is let go
MINUTE = 60.0  # between two complaints


class StandIns:
    """Knows which jobs of a lane block, and how many stand-ins that takes. They have the numbers from `size` on."""

    def __init__(self, size: int, executors: Mapping[int, Executor]) -> None:
        self._size = size
        self._executors = executors
        self._blocks: dict[Executor, Counter[tuple[str, str]]] = {}  # by id and token: in how many threads
        self._going: set[Executor] = set()  # asked to leave
        self._hired = False  # any that may be there still
        self._spare: int | None = None  # that were never needed since the last look
        self._look_at = 0.0
        self._complain_at = 0.0

    def __bool__(self) -> bool:
        """Whether any job blocks, or any stand-in is there."""
        return self._hired or bool(self._blocks)

    # --- what jobs say ---------------------------------------------------------------------------------------------
    def heard(self, executor: Executor, word: str, job: Sent | None, token: str) -> None:
        """Note that a job waits for another one, `blocked`, or does not any more; if it is one of ours."""
        if job is None or job.token != token:
            return
        blocks = self._blocks.get(executor, Counter())
        blocks[job.id, token] += 1 if word == "blocked" else -1
        self._tidy(executor, +blocks)

    def forget(self, executor: Executor) -> None:
        """Note that an executor has ended, with all that it ran."""
        self._blocks.pop(executor, None)
        self._going.discard(executor)

    def is_going(self, executor: Executor) -> bool:
        """Whether it was asked to leave because nobody needs it."""
        return executor in self._going

    def _tidy(self, executor: Executor, blocks: Counter[tuple[str, str]]) -> None:
        if blocks:
            self._blocks[executor] = blocks
        else:
            self._blocks.pop(executor, None)

    def _count(self, executor: Executor, running: list[tuple[str, str]]) -> int:
        """Return how many of the jobs that an executor runs block. What has ended meanwhile does not."""
        blocks = self._blocks.get(executor)
        if blocks is None:
            return 0
        if len(open_ones := Counter({held: blocks[held] for held in running if blocks[held] > 0})) < len(blocks):
            self._tidy(executor, open_ones)
        return len(open_ones)

    def _is_out(self, executor: Executor) -> bool:
        """Whether an executor has no place for a job that could go on."""
        if executor not in self._blocks:
            return False
        running = _running(executor)
        places = len(running) if executor.leaving else executor.width
        return 0 < places <= self._count(executor, running)

    # --- how many it takes -----------------------------------------------------------------------------------------
    def room(self, held: int) -> int:
        """Return how many jobs to claim where so many are held: no more than there are places, and none ahead."""
        begun, going_on, free, width = 0, 0, 0, 1
        for executor in self._executors.values():
            if executor.ready:
                running = _running(executor)
                begun += len(running)
                if not executor.leaving:
                    going_on += len(running) - self._count(executor, running)
                    free += executor.width - len(running) if executor.able else 0
                    width = max(width, executor.width)
        return max(0, min(self._size * width - going_on, free) - (held - begun))

    def slots(self) -> int:
        """Return how many jobs can go on at a time."""
        return self._size * max((executor.width for executor in self._executors.values()), default=1)

    def missing(self, own: int, now: float) -> Sequence[int]:
        """Return the numbers of the executors to hire where so many are the lane's own; 0: nobody is hired."""
        if not self:
            return range(own) if len(self._executors) < own else ()
        lacking = [number for number in range(own) if number not in self._executors]
        return lacking + self._extra(now) if own else []

    def _extra(self, now: float) -> list[int]:
        """Return the numbers of the stand-ins to hire."""
        wanted = self._out() - len(self._at_hand())
        if wanted <= 0:
            return []
        self._hired = True
        free = MOST - sum(number >= self._size for number in self._executors)
        if free < wanted and now >= self._complain_at:
            self._complain_at = now + MINUTE
            log.warning("jobs that block have taken all %d stand-ins; no more are started", MOST)
        numbers = (number for number in range(self._size, self._size + MOST) if number not in self._executors)
        return [number for number, _ in zip(numbers, range(min(wanted, free)), strict=False)]

    def _out(self) -> int:
        """Return how many of the lane's own executors have no place left."""
        return sum(number < self._size and self._is_out(each) for number, each in self._executors.items())

    def _at_hand(self) -> list[Executor]:
        """Return the stand-ins that take jobs, or are about to."""
        extra = (each for number, each in self._executors.items() if number >= self._size and not each.leaving)
        return [each for each in extra if each not in self._going and not self._is_out(each)]

    # --- letting them go -------------------------------------------------------------------------------------------
    def look_after(self, now: float) -> None:
        """Ask those to leave that nobody has needed for a while."""
        self._hired = self._hired and any(number >= self._size for number in self._executors)
        if not self._hired:
            self._spare = None
            return
        at_hand = self._at_hand()
        spare = len(at_hand) - self._out()
        if self._spare is None:
            self._spare, self._look_at = spare, now + RESTED
        self._spare = min(self._spare, spare)
        if now < self._look_at:
            return
        idle_first = sorted(at_hand, key=lambda executor: executor.busy)
        for executor in idle_first[: max(0, self._spare)]:
            self._going.add(executor)
            executor.board.ask_to_leave()  # it looks at that after a slice, or when none has come for a while
        self._spare = None

    def next_look(self, now: float) -> list[float]:
        """Return the seconds until it may be time to let one go."""
        return [] if self._spare is None else [self._look_at - now]


def _running(executor: Executor) -> list[tuple[str, str]]:
    return [(job.id, job.token) for job, _ in executor.begun()]
