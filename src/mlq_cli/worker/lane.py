"""A lane: some queues, the executors that run their jobs, and the jobs claimed for them.

Called by `worker.py`, which does all the talking to Redis; what the lane has to say goes into the outbox.
A worker has one lane for the user's queues and one for callbacks, so that a slow URL never holds up a job.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from operator import attrgetter
from typing import Any

from mlq_cli.model.errors import Misuse
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.store.base import Claimed, Held, Progress
from mlq_cli.worker.executor import STUCK, Executor, HostMaker, Sent
from mlq_cli.worker.memory import MemoryLimit
from mlq_cli.worker.outbox import Outbox

log = logging.getLogger("mlq.worker")

AHEAD = 20  # jobs claimed for a lane that starts its executor only when there are any
LONGEST = 1e10  # seconds that an attempt may have taken
GUARDS = 1.0  # seconds between two looks at the guards, at least
IDLE = 30.0  # seconds without a job after which such a lane lets its executor go


class Lane:
    """Keeps its executors alive and busy."""

    def __init__(
        self,
        name: str,
        queues: tuple[str, ...],
        hosts: HostMaker,
        settings: dict[str, Any],
        outbox: Outbox,
        *,
        size: int,
        timeout: float | None = None,
        memory: MemoryLimit | None = None,
        on_demand: bool = False,
    ) -> None:
        self.name = name
        self.queues = queues
        self._hosts = hosts
        self._settings = settings
        self._outbox = outbox
        self._size = size
        self._timeout = timeout
        self._memory = memory
        self.on_demand = on_demand
        self.executors: dict[int, Executor] = {}
        self.backlog: deque[Sent] = deque()  # claimed, and not with an executor
        self.empty = False  # the last claim left nothing in the queues
        self.done = 0
        self._places = count()
        self._backlog_since = 0.0
        self._busy_at = time.monotonic()
        self._unburied: list[Executor] = []  # ended, and something of them is still to be waited for
        self._hire_at = 0.0
        self._guards_at = 0.0
        self._failed_starts = 0
        self.ever_ready = False  # whether any executor could ever start
        self._stopping = False
        self._cannot_start: Misuse | None = None
        self.on_hire: Callable[[Executor], None] = lambda executor: None
        self.on_leave: Callable[[Executor], None] = lambda executor: None

    # --- jobs in ---------------------------------------------------------------------------------------------------
    def room(self) -> int:
        """Return how many jobs to claim."""
        if self._stopping:
            return 0
        if self.on_demand and not self.executors:
            return AHEAD - len(self.backlog) if time.monotonic() >= self._hire_at else 0
        return sum(executor.room() for executor in self.executors.values()) - len(self.backlog)

    def take(self, jobs: Iterable[Claimed], token: str) -> None:
        """Take claimed jobs in and hand them to executors."""
        self._busy_at = time.monotonic()
        taken = [Sent(job.id, token, job.timeout, job.record, next(self._places)) for job in jobs]
        # An older attempt of one of these, given back behind our back, must not be taken for the new one.
        for older in [each.jobs[job.id] for each in self.executors.values() for job in taken if job.id in each.jobs]:
            self.drop(Held(older.id, older.token))
        if self.backlog:
            ids = {job.id for job in taken}
            self.backlog = deque(job for job in self.backlog if job.id not in ids)
        self._wait_in_line(taken)
        if any(not executor.jobs or executor.width > 1 for executor in self.executors.values()):
            self.dispatch()  # otherwise there is time until the next turn is under way

    def _wait_in_line(self, jobs: list[Sent]) -> None:
        if not jobs:
            return
        if not self.backlog:
            self._backlog_since = time.monotonic()
            self.backlog.extend(jobs)
        else:  # what comes back from an executor was claimed before what has come since
            self.backlog = deque(sorted([*self.backlog, *jobs], key=attrgetter("place")))

    def dispatch(self) -> None:
        """Hand the backlog to executors, as evenly as their room allows."""
        while self.backlog:
            able = [(room, executor) for executor in self.executors.values() if (room := executor.room()) > 0]
            share = -(-len(self.backlog) // len(able)) if able else 0
            if not sum(self._hand_over(executor, min(share, room)) for room, executor in able):
                return
            self._backlog_since = time.monotonic()

    def _hand_over(self, executor: Executor, count: int) -> int:
        sent = 0
        while sent < count and self.backlog and executor.send(self.backlog[0]):
            self.backlog.popleft()
            sent += 1
        return sent

    def _deal_again(self) -> None:
        """Take back what has not begun anywhere and hand it out anew, the oldest first.

        From everybody, for what waited behind a long job was claimed before much of what others wait to begin. What
        nobody has room for goes back to Redis: another worker may be free.
        """
        for executor in self.executors.values():
            self._wait_in_line(executor.take_back())
        self.dispatch()
        self.give_back()

    def held(self) -> list[Held]:
        """Return all jobs that are with this lane."""
        jobs = [Held(job.id, job.token) for job in self.backlog]
        for executor in self.executors.values():
            jobs += [Held(job.id, job.token) for job in executor.jobs.values()]
        return jobs

    @property
    def busy(self) -> bool:
        """Whether any job is with this lane."""
        return bool(self.backlog) or any(executor.jobs for executor in self.executors.values())

    def pids(self) -> list[int | None]:
        """Return the processes of all executors, those included that have ended and are not buried."""
        return [executor.pid for executor in (*self.executors.values(), *self._unburied)]

    @property
    def winding_down(self) -> bool:
        """Whether executors have been asked to stop, have nothing left to do, and have not ended."""
        return any(each.leaving and each.ready and not each.jobs for each in self.executors.values())

    # --- words out -------------------------------------------------------------------------------------------------
    def hear(self, executor: Executor) -> None:
        """Read what an executor says."""
        try:
            for frame in executor.reader.read():
                self._heard(executor, frame)
        except (ValueError, TypeError, KeyError) as error:
            log.error("an executor sent a broken frame and is killed: %s", error)
            executor.condemn("ExecutorCrash", f"something else than outcomes was written to its pipe: {error}")
            executor.reader.ended = True
        if self.backlog:
            self.dispatch()

    def _heard(self, executor: Executor, frame: tuple[Any, ...]) -> None:
        match frame:  # a job may write here what it likes: nothing of a wrong type must get any further
            case (("done" | "error" | "unknown") as kind, job_id, seconds, first, second, third):
                texts = type(first) is type(second) is type(third) is bytes  # class patterns take 0.3 µs longer
                if not (texts and type(seconds) is float and 0.0 <= seconds < LONGEST):
                    raise ValueError("not an outcome")
                if (job := executor.finished(job_id, seconds)) is not None:
                    self._outbox.outcomes.append(Outcome(job_id, job.token, kind, seconds, first, second, third))
                    self.done += 1
                    if self._outbox.progress:
                        self._outbox.progress.pop(job_id, None)
                    if kind == "error":
                        log.warning("job %s failed: %s: %s", job_id, first.decode(), _line(second))
            case ("progress", str() as job_id, bytes() as value):
                if (job := executor.jobs.get(job_id)) is not None:
                    self._outbox.progress[job_id] = Progress(job_id, job.token, value)
            case ("ready", _, int() as width) if width > 0 and not executor.ready:
                executor.became_ready(width)
                self.ever_ready, self._failed_starts = True, 0
                self.dispatch()
            case ("leaving", reason):
                log.info("an executor is replaced: %s", reason)
                executor.leave()
                self._wait_in_line(executor.take_back())
            case ("broken", str() as text, (str() | None) as hint) if not executor.ready:
                executor.killed = True  # it held no job yet, so this is no crash of one
                self._failed_starts += 1
                if self.ever_ready or self.on_demand:
                    log.error("an executor cannot start; trying again: %s", text.rstrip())
                else:
                    self._cannot_start = Misuse(f"the worker cannot start: {text.rstrip()}", hint=hint)
            case _:
                raise ValueError("an unknown frame")

    # --- looking after executors -----------------------------------------------------------------------------------
    def look_after(self, now: float) -> None:
        """Replace what has ended, end what overruns, take back what waits too long.

        Raises Misuse when no executor has ever been able to start: no job would ever run.
        """
        if self._cannot_start is not None:
            raise self._cannot_start
        if self._memory is not None:
            self._memory.enforce(now, self.executors.values())
        if now >= self._guards_at:
            self._look_after_guards(now)
        for number, executor in list(self.executors.items()):
            unsure = executor.reader.ended or executor.jobs or executor.leaving or not executor.ready
            if unsure and (how := executor.ended()) is not None:
                del self.executors[number]
                self._bury(executor, how)
                continue
            if late := executor.overrun(now, self._timeout):
                self._overran(executor, late)
            elif executor.lingers(now):
                log.warning("an executor that was to end did not and is killed: a thread of a job is left, perhaps")
                executor.kill()
            elif executor.stuck(now):
                executor.slow()
                self._deal_again()
        if self.backlog and now - self._backlog_since > STUCK and not (self.on_demand and not self._stopping):
            self.give_back()
        self._unburied = [executor for executor in self._unburied if not executor.gone]
        self._hire(now)

    def _look_after_guards(self, now: float) -> None:
        self._guards_at = now + GUARDS
        for executor in self.executors.values():
            if executor.ready and not executor.leaving and not executor.guarded:
                log.warning("the guard of an executor was killed; the executor is replaced after what it runs")
                self._wait_in_line(executor.take_back())
                executor.ask_to_stop()

    def next_look(self, now: float) -> float | None:
        """Return the seconds until something may have to be looked after, None when nothing will."""
        times = [executor.next_look(now, self._timeout) for executor in self.executors.values() if executor.jobs]
        if self.backlog:
            times.append(self._backlog_since + STUCK - now)
        if self._wanted() > len(self.executors):
            times.append(self._hire_at - now)
        if self._unburied or any(not executor.ready or executor.leaving for executor in self.executors.values()):
            times.append(0.25)
        return max(0.001, min(times)) if times else None

    def _wanted(self) -> int:
        if self._stopping:
            return 0
        return self._size if self.backlog or not self.on_demand else len(self.executors)

    def _hire(self, now: float) -> None:
        if self.busy:
            self._busy_at = now
        elif self.on_demand and self.executors and now - self._busy_at > IDLE:
            for executor in self.executors.values():
                executor.ask_to_stop()
        if now < self._hire_at:
            return
        for number in range(self._wanted()):
            if number not in self.executors:
                try:
                    executor = Executor(self._hosts(number), self._settings)
                except OSError as error:  # no process, no descriptor, no memory to be had
                    log.error("an executor cannot be started, trying again: %s", error)
                    self._hire_at = now + 1.0
                    return
                self.executors[number] = executor
                self.on_hire(executor)

    def _overran(self, executor: Executor, late: list[Sent]) -> None:
        for job in late:
            limit = job.timeout or self._timeout or 0.0
            log.warning("job %s ran longer than its timeout of %g s; its executor is killed", job.id, limit)
            del executor.jobs[job.id]
            self._outbox.error(job, Kind.ERROR, "JobTimeout", f"it ran longer than its timeout of {limit:g} s", limit)
        executor.kill()

    def _bury(self, executor: Executor, how: str) -> None:
        """An executor has ended: see to the jobs it held. The kernel still has those that it had not begun."""
        self.hear_last(executor)
        self._wait_in_line(executor.take_back())
        trace = executor.last_words()
        error_type, message = executor.verdict or ("ExecutorCrash", f"its executor {_was(how)}")
        self.on_leave(executor)
        for job in executor.jobs.values():
            if executor.killed:
                self._outbox.release(job)  # it was not this one's fault
            else:
                log.error("job %s crashed: %s", job.id, message)
                seconds = time.monotonic() - executor.began
                self._outbox.error(job, Kind.CRASH, error_type, message, seconds, trace)
        executor.jobs.clear()
        if not executor.ready:
            self._failed_starts = max(1, self._failed_starts)
            self._hire_at = time.monotonic() + min(30.0, 0.25 * 2**self._failed_starts)
            if not executor.killed:
                said = f"; the last it said:\n{trace.decode(errors='replace')}" if trace.strip() else ""
                if self.ever_ready or self.on_demand:
                    log.error("an executor cannot start, trying again: it %s%s", _was(how), said.rstrip())
                else:
                    self._cannot_start = Misuse(f"the worker cannot start: its executor {_was(how)}{said.rstrip()}")
            self.give_back()  # it will take a while until somebody can run these
        executor.close()
        if not executor.gone:
            self._unburied.append(executor)
        self.dispatch()

    def hear_last(self, executor: Executor) -> None:
        """Read what an executor said before it ended."""
        executor.reader.drained = False
        while not (executor.reader.ended or executor.reader.drained):
            self.hear(executor)

    def give_back(self) -> None:
        """Give back what waits here and is with no executor."""
        while self.backlog:
            self._outbox.release(self.backlog.popleft())

    def drop(self, held: Held) -> None:
        """Let go of an attempt that is no longer ours; if it runs, it is killed."""

        def is_it(job: Sent | None) -> bool:
            return job is not None and job.token == held.token

        for executor in self.executors.values():
            if is_it(executor.jobs.get(held.id)):
                self._wait_in_line(executor.take_back())
                if is_it(executor.jobs.get(held.id)):
                    del executor.jobs[held.id]
                    executor.kill()
        self.backlog = deque(job for job in self.backlog if job.id != held.id or not is_it(job))
        self.dispatch()

    # --- stopping --------------------------------------------------------------------------------------------------
    def stop(self) -> None:
        """Give back what has not begun and let what runs finish."""
        self._stopping, self._cannot_start = True, None
        for executor in self.executors.values():
            self._wait_in_line(executor.take_back())
            executor.ask_to_stop()
        self.give_back()

    def kill(self) -> None:
        """End the executors at once and give back what they were running."""
        self.stop()
        for executor in self.executors.values():
            executor.kill()
        self.look_after(time.monotonic())

    def kill_busy(self) -> int:
        """End the executors that hold jobs and return how many. Any thread may call."""
        busy = [executor for executor in list(self.executors.values()) if executor.jobs and not executor.killed]
        for executor in busy:
            executor.kill()
        return len(busy)

    def forget(self) -> None:
        """End the executors at once and say nothing, at the end of the worker."""
        self.backlog.clear()
        for executor in self.executors.values():
            executor.take_back()
            executor.jobs.clear()
            executor.kill()


def _line(text: bytes) -> str:
    return text.decode(errors="replace").splitlines()[0][:200] if text.strip() else ""


def _was(how: str) -> str:
    return f"was {how}" if how.startswith("killed") else how
