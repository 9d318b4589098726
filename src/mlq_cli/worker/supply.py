"""The supply of a lane: claimed jobs on their way to its executors, and the measure of how many to claim.

claim ─▶ backlog ─▶ line (the kernel's) ─▶ an executor, which notes on its board what it begins
           ▲            │                      │
           └── take_back┴───── recall ─────────┘   what has not begun, behind a job that takes long
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from itertools import count, islice, repeat
from operator import attrgetter

from mlq_cli.store.base import Claimed
from mlq_cli.worker.executor import Executor
from mlq_cli.worker.line import LONGEST, Line
from mlq_cli.worker.slices import Sent, Slices, number_of

log = logging.getLogger("mlq.worker")

SPAN = 0.01  # seconds of work that an executor is given ahead: jobs of 10 ms and more come one by one
DEPTH = 200  # jobs at most that it is given ahead, however short they are
SLICE = 0.001  # seconds of work in a slice: what an executor takes at a time, and answers together
SLICE_JOBS = 100
NOTED = 0.002  # seconds in which an executor has noted what it has received, as a rule
LATE = 0.5  # seconds in which an async one has
MINUTE = 60.0  # between two complaints of the same
STUCK = 0.02  # seconds after which unbegun jobs behind a running one are taken back


class Supply:
    """What was claimed and has no outcome."""

    def __init__(self, executors: int) -> None:
        """`executors`: how many will take from the line."""
        self._sliced = executors == 1
        self.line = Line()
        self.slices = Slices()
        self.backlog: deque[Sent] = deque()  # neither in the line nor with an executor
        self.waiting_since = 0.0  # since when the backlog has not moved
        self._pace: float | None = None  # seconds a job takes, lately
        self._places = count()
        self._complained_at = -MINUTE

    def __len__(self) -> int:
        return len(self.backlog) + len(self.slices.jobs)

    def all(self) -> list[Sent]:
        """Return all jobs."""
        return [*self.backlog, *self.slices.jobs.values()]

    # --- in and out ------------------------------------------------------------------------------------------------
    def known(self, ids: Collection[str]) -> list[Sent]:
        """Return the jobs with these ids that are here already."""
        handed = self.slices.jobs
        found = [handed[job_id] for job_id in ids if job_id in handed] if handed else []
        if self.backlog:
            wanted = set(ids)
            found += [job for job in self.backlog if job.id in wanted]
        return found

    def add(self, jobs: Iterable[Claimed], token: str) -> None:
        """Take claimed jobs in."""
        ids, timeouts, records = zip(*jobs, strict=True)
        self.wait(list(map(Sent, ids, repeat(token), timeouts, records, self._places)))

    def wait(self, jobs: list[Sent]) -> None:
        """Put jobs into the backlog, each into its place."""
        if not jobs:
            return
        if not self.backlog:
            self.waiting_since = time.monotonic()
            self.backlog.extend(jobs)
        else:  # what comes back from an executor was claimed before what has come since
            self.backlog = deque(sorted([*self.backlog, *jobs], key=attrgetter("place")))

    def settled(self, job_id: str, token: str, seconds: float) -> Sent | None:
        """Note that an attempt has run for so long, and return its job; None for one that nobody here was given."""
        job = self.slices.jobs.get(job_id)
        if job is None or job.token != token:
            return None
        del self.slices.jobs[job_id]
        self._pace = seconds if self._pace is None else self._pace + 0.2 * (seconds - self._pace)
        return job

    def slow(self) -> None:
        """Note that a job takes longer than was thought, so that less is given ahead."""
        self._pace = max(self._pace or 0.0, STUCK)

    def discard(self, job: Sent) -> None:
        """Forget a job, wherever it is."""
        if self.slices.jobs.get(job.id) is job:
            del self.slices.jobs[job.id]
        elif job in self.backlog:
            self.backlog.remove(job)

    def clear(self) -> None:
        """Forget all jobs."""
        self.line.take_back()
        self.backlog.clear()
        self.slices.jobs.clear()

    # --- to executors ----------------------------------------------------------------------------------------------
    def depth(self, executor: Executor, now: float) -> int:
        """Return how many jobs to claim for an executor, the one that it runs included."""
        if executor.width > 1:
            return executor.width
        pace, since = self._pace, executor.runs_since()
        if pace is None or (since is not None and now - since > SPAN):
            return 1  # nothing is known yet, or it is busy with a long one right now
        return DEPTH if pace * DEPTH <= SPAN else max(1, int(SPAN / pace))

    def hand_out(self, executors: Collection[Executor]) -> None:
        """Put the backlog into the line, when somebody takes from it."""
        while self.backlog and executors:
            jobs = self._next_slice(executors)
            number = self.slices.new_number()
            try:
                if not self.line.send(number, [job.record for job in jobs]):
                    return
            except OSError as error:  # no descriptor for a long job, say; it is given back a little later
                self._complain(error)
                return
            if len(jobs) == len(self.backlog):
                self.backlog.clear()
            else:
                for _ in jobs:
                    self.backlog.popleft()
            self.slices.add(number, jobs)
            self.waiting_since = time.monotonic()

    def _complain(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._complained_at > MINUTE:
            self._complained_at = now
            log.error("a job cannot be handed to an executor, trying again: %s", error)

    def _next_slice(self, executors: Collection[Executor]) -> list[Sent]:
        """Return the jobs of the next slice: more than one only where an executor has the line for itself.

        Two that each hold a slice may both meet a long job, and what stands behind the first has to wait for as long.
        """
        most = 1
        alone = self._sliced and len(executors) == 1  # without stand-ins
        if self._pace is not None and alone and all(executor.width == 1 for executor in executors):
            most = SLICE_JOBS if self._pace * SLICE_JOBS <= SLICE else max(1, int(SLICE / self._pace))
        jobs = list(islice(self.backlog, most))
        while len(jobs) > 1 and sum(len(job.record) for job in jobs) > LONGEST:
            del jobs[len(jobs) // 2 :]
        return jobs

    # --- and back --------------------------------------------------------------------------------------------------
    def take_back(self) -> None:
        """Put what nobody has received into the backlog again."""
        for number in self.line.take_back():
            self.wait(self.slices.take(number))

    def start_anew(self) -> None:
        """The same when there is no executor any more, with a new line for those that come.

        In the old one are words to stop, and perhaps a thread that was given up still receives from it.
        """
        for number in self.line.clear():
            self.wait(self.slices.take(number))
        self.line.close()
        self.line = Line()

    def recall(self, executor: Executor) -> None:
        """Put what an executor has received and not begun into the backlog again."""
        mark = executor.board.begun().mark
        if executor.width == 1 and self.slices.behind(mark):
            last = executor.board.recall(number_of(mark))
            if last is not None:
                self.wait(self.slices.take_behind(last))

    def begun(self, executors: Iterable[Executor]) -> int:
        """Return how many jobs these have begun."""
        return sum(len(executor.begun()) for executor in executors)

    def reclaim(self, dead: Executor) -> list[tuple[Sent, float]]:
        """Take out and return what a dead executor had begun, and when; what it had only noted becomes backlog."""
        begun = [(job, noted.at) for job, noted in dead.begun()]
        if dead.width == 1:
            self.recall(dead)  # not only read where it is: a thread cannot be killed and goes on
            last = dead.board.begun()
            begun = [(job, last.at) for job in self.slices.up_to(last.mark)]
        for job, _ in begun:
            del self.slices.jobs[job.id]
        return begun

    def find(self, executors: Collection[Executor], hear: Callable[[Executor], None]) -> None:
        """Put what has been received, and is noted by none of these executors, into the backlog.

        Whoever received it has died before it could note it, or lives and is about to. `hear` takes in the outcomes of
        one of them.
        """
        self.take_back()
        if not self._unnoted(executors):
            return
        # Async executors cannot be stopped by a recall, so they get long enough to note even while a job holds them up.
        give_up_at = time.monotonic() + (LATE if any(executor.width > 1 for executor in executors) else 0.0)
        while True:
            time.sleep(NOTED)
            missing = self._unnoted(executors)
            for executor in executors:  # what it noted before what it notes now has ended, its outcome is on the way
                hear(executor)
            missing &= self.slices.numbers()
            if not missing or time.monotonic() >= give_up_at:
                break
        for number in sorted(missing):
            begun = (executor.board.recall(number) for executor in executors)
            last = next((mark for mark in begun if mark is not None), None)
            self.wait(self.slices.take(number) if last is None else self.slices.take_behind(last))

    def _unnoted(self, executors: Iterable[Executor]) -> set[int]:
        return self.slices.numbers().difference(*(executor.slices_noted() for executor in executors))
