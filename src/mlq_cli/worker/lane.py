"""A lane: some queues, the executors that run their jobs, and the jobs claimed for them.

Called by `worker.py`, which does all the talking to Redis; what the lane has to say goes into the outbox.
A worker has one lane for the user's queues and one for callbacks, so that a slow URL never holds up a job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from mlq_cli.model.outcome import Kind
from mlq_cli.store.base import Claimed, Held
from mlq_cli.worker.behind import Behind
from mlq_cli.worker.executor import TAKES, Executor, HostMaker, was
from mlq_cli.worker.hearing import Hearing
from mlq_cli.worker.memory import MemoryLimit
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.search import Search
from mlq_cli.worker.shelf import Shelf
from mlq_cli.worker.slices import Sent
from mlq_cli.worker.staff import Staff
from mlq_cli.worker.standins import StandIns
from mlq_cli.worker.supply import STUCK, Supply

log = logging.getLogger("mlq.worker")

AHEAD = 20  # jobs claimed for a lane that starts its executor only when there are any
MOST_NAMES, LONGEST_NAME = 10_000, 1000  # of functions that executors can run
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
        shelf: Shelf | None = None,
    ) -> None:
        """`shelf`: registered functions that its executors take up."""
        self.name = name
        self.queues = queues
        self._outbox = outbox
        self._size = size
        self._timeout = timeout
        self._memory = memory
        self.on_demand = on_demand
        self.shelf = shelf
        self.staff = Staff(hosts, settings, lasting=not on_demand)
        self.executors = self.staff.executors
        self._stand_ins = StandIns(size, self.executors)
        self._supply = Supply(size)
        self._hearing = Hearing(self._supply, outbox, self._heard)
        self._behind = Behind(self._supply, self._hearing)
        self.search = Search()
        self.empty = False  # the last claim left nothing in the queues
        self.names: list[str] | None = None  # what its executors can run; None: not known yet, or whatever comes
        self.learned = False  # that is news to others
        self._busy_at = time.monotonic()
        self._stopping = False
        self.on_leave: Callable[[Executor], None] = lambda executor: None

    # --- jobs in ---------------------------------------------------------------------------------------------------
    def room(self) -> int:
        """Return how many jobs to claim."""
        if self._stopping or self._has_nothing_to_run():
            return 0
        if self.on_demand and not self.executors:
            return AHEAD - len(self._supply) if time.monotonic() >= self.staff.hire_at else 0
        now, supply = time.monotonic(), self._supply
        if self._stand_ins:
            return self._stand_ins.room(len(supply))
        depth, elsewhere = 0, 0
        for executor in self.executors.values():
            if executor.leaving:
                elsewhere += len(executor.begun())
            elif executor.able:
                depth += supply.depth(executor, now)
        return max(0, depth + elsewhere - len(supply))

    def _has_nothing_to_run(self) -> bool:
        """Whether there is no function at all, as may be where all are registered ones."""
        if self.names != []:
            return False
        self.empty = self.empty or self.shelf is None or self.shelf.bare  # for a burst: there is nothing to wait for
        return True

    def take(self, jobs: list[Claimed], token: str) -> None:
        """Take claimed jobs in and hand them to executors."""
        self._busy_at = time.monotonic()
        # An older attempt of one of these, given back behind our back, must not be taken for the new one.
        for older in self._supply.known([job.id for job in jobs]):
            self.drop(Held(older.id, older.token))
        self._supply.add(jobs, token)
        if any(executor.width > 1 or not executor.busy for executor in self.staff.able()):
            self.dispatch()  # otherwise there is time until the next turn is under way

    def dispatch(self) -> None:
        """Hand the backlog to executors."""
        if self._supply.backlog:
            self._supply.hand_out(self.staff.able())

    def _back_to_backlog(self) -> None:
        """Take back whatever has not begun."""
        self._supply.take_back()
        for executor in self.executors.values():
            if executor.ready:
                self._supply.recall(executor)

    def held(self) -> list[Held]:
        """Return all jobs that are with this lane."""
        return [Held(job.id, job.token) for job in self._supply.all()]

    @property
    def slots(self) -> int:
        """How many jobs it can run at a time; executors that are still to start count as one each."""
        if self._stand_ins:
            return self._stand_ins.slots()
        return max(self._size, sum(executor.width for executor in self.staff.able()))

    @property
    def busy(self) -> bool:
        """Whether any job is with this lane."""
        return len(self._supply) > 0

    def pids(self) -> list[int | None]:
        """Return the processes of all executors, those included that have ended and are not buried."""
        return self.staff.pids()

    @property
    def winding_down(self) -> bool:
        """Whether executors have been asked to stop, have nothing left to do, and have not ended."""
        return any(each.leaving and each.ready and not each.busy for each in self.executors.values())

    # --- words out -------------------------------------------------------------------------------------------------
    @property
    def done(self) -> int:
        """How many attempts have ended here."""
        return self._hearing.done

    def hear(self, executor: Executor) -> None:
        """Read what an executor says."""
        self._hearing.hear(executor)
        self.dispatch()

    def _heard(self, executor: Executor, frame: list[Any]) -> None:
        """Act on what an executor says of itself. Raises ValueError when it is nothing that one says."""
        match frame:
            case ["ready", _, int() as width, list() as names] if width > 0 and not executor.ready:
                executor.became_ready(width, _checked(names))
                self.staff.ready()
                self._learn()
                if width > 1:
                    self._supply.take_back()  # slices of many are not for it
                self.dispatch()
            case ["enough"]:
                self.staff.on_enough()
            case ["taking", str() as name, int() as version] if self.shelf is not None:
                executor.takes(name, version)
            case ["functions", list() as names, dict() as why_not]:
                executor.took(_checked(names))
                self._learn()
                if self.shelf is not None:
                    self.shelf.said(why_not)
                    self.shelf.hand_out([executor])
            case ["leaving", reason]:
                if not self._stand_ins.is_going(executor):
                    log.info("an executor is replaced: %s", reason)
                executor.leave()
                if executor.width == 1:
                    self._supply.wait(self._supply.slices.take_behind(executor.board.begun().mark))
            case ["broken", str() as text, (str() | None) as hint] if not executor.ready:
                self.staff.broken(executor, text.rstrip(), hint)
            case ["blocked" | "resumed" as word, str() as job_id, str() as token]:
                self._stand_ins.heard(executor, word, self._supply.slices.jobs.get(job_id), token)
            case _:
                raise ValueError("an unknown frame")

    def _learn(self) -> None:
        """Learn what can be run here, if anybody is there to tell. Callbacks ask for nothing."""
        if not self.on_demand and self.staff.able() and (names := self.staff.names()) != self.names:
            self.names, self.learned = names, True
            self.search.anew()

    # --- looking after executors -----------------------------------------------------------------------------------
    def look_after(self, now: float) -> None:
        """Replace what has ended, end what overruns, take back what waits too long.

        Raises Misuse when no executor has ever been able to start: no job would ever run.
        """
        if self.staff.cannot_start is not None:
            raise self.staff.cannot_start
        if self._memory is not None:
            self._memory.enforce(now, self.executors.values())
        if self.shelf is not None:
            self.shelf.hand_out(self.executors.values())
        self.staff.look_after_guards(now)
        for number, executor in list(self.executors.items()):
            if executor.rests(now):
                continue
            unsure = executor.reader.ended or executor.leaving or not executor.ready or executor.busy
            if unsure and (how := executor.ended()) is not None:
                del self.executors[number]
                self._bury(executor, how)
            elif late := executor.overrun(now, self._timeout):
                self._overran(executor, late)
            elif executor.takes_longer(now, TAKES) and executor.verdict is None:
                executor.condemn("ExecutorCrash", f"its executor was killed after {TAKES:g} s")
            elif executor.lingers(now):
                log.warning("an executor that was to end did not and is killed: a thread of a job is left, perhaps")
                executor.kill()
            elif self._behind.look(executor, now):
                self.dispatch()
        self._give_back_late(now)
        self.staff.bury_gone()
        self._hire(now)

    def _give_back_late(self, now: float) -> None:
        """Give back what nobody here will begin soon: another worker may be free."""
        supply = self._supply
        if self.on_demand and not self._stopping:
            return
        able = self.staff.able()
        if not able and self._unbegun():
            supply.take_back()  # from the line of those that leave, who do not receive any more
        if able and self._unbegun() and all(executor.stuck(now, STUCK) for executor in able):
            supply.slow()
            supply.take_back()
            self.give_back()
        elif supply.backlog and now - supply.waiting_since > STUCK:
            self.give_back()

    def next_look(self, now: float) -> float | None:
        """Return the seconds until something may have to be looked after, None when nothing will."""
        supply, times = self._supply, []
        if len(supply):
            for executor in self.executors.values():
                if executor.width > 1 or executor.busy:
                    times += [executor.next_look(now, self._timeout), *self._behind.next_look(executor, now)]
            if not self.on_demand and self._unbegun():
                times.append(STUCK / 2)  # nobody tells when an executor begins the next job, and it may be a long one
        if self._stand_ins.missing(self._wanted(), now):
            times.append(self.staff.hire_at - now)
        times += self._stand_ins.next_look(now)
        if self.staff.unsettled:
            times.append(0.25)
        return max(0.001, min(times)) if times else None

    def _unbegun(self) -> bool:
        """Whether there are jobs here that no executor has begun."""
        return len(self._supply) > self._supply.begun(self.executors.values())

    def _wanted(self) -> int:
        if self._stopping:
            return 0
        return self._size if self.busy or not self.on_demand else len(self.executors)

    def _hire(self, now: float) -> None:
        if self.busy:
            self._busy_at = now
        elif self.on_demand and self.executors and now - self._busy_at > IDLE:
            self._ask_to_stop()
        if now >= self.staff.hire_at:
            if not self.executors and self._wanted():
                self._supply.start_anew()
            self.staff.hire(self._stand_ins.missing(self._wanted(), now), self._supply, now)
        self._stand_ins.look_after(now)

    def _overran(self, executor: Executor, late: list[Sent]) -> None:
        for job in late:
            limit = job.timeout or self._timeout or 0.0
            log.warning("job %s ran longer than its timeout of %g s; its executor is killed", job.id, limit)
            self._supply.discard(job)
            self._outbox.error(job, Kind.ERROR, "JobTimeout", f"it ran longer than its timeout of {limit:g} s", limit)
        executor.kill()

    def _bury(self, executor: Executor, how: str) -> None:
        """An executor has ended: see to the jobs it held. The kernel still has those that it had not begun."""
        self._hearing.hear_last(executor)
        begun = self._supply.reclaim(executor)
        self._supply.find(self.executors.values(), self._hearing.hear_all)
        trace = executor.last_words()
        error_type, message = executor.verdict or ("ExecutorCrash", f"its executor {was(how)}")
        self.on_leave(executor)
        self._stand_ins.forget(executor)
        if executor.taking is not None and self.shelf is not None and not executor.killed:
            self.shelf.blame(executor.taking, message.removeprefix("its executor "))
            executor.killed = True  # so it is neither a failure to start nor the fault of what it runs
        for job, since in begun:
            if executor.killed:
                self._outbox.release(job)  # it was not this one's fault
            else:
                log.error("job %s crashed: %s", job.id, message)
                seconds = max(0.0, time.monotonic() - since)
                self._outbox.error(job, Kind.CRASH, error_type, message, seconds, trace)
        if not executor.ready:
            self.staff.failed(executor, f"its executor {was(how)}", trace)
            self.give_back()  # it will take a while until somebody can run these
        self.staff.let_go(executor)
        self.dispatch()

    def give_back_unbegun(self) -> None:
        """Give back all that nobody has begun."""
        self._back_to_backlog()
        self.give_back()

    def give_back(self) -> None:
        """Give back what waits here and is with no executor."""
        while self._supply.backlog:
            self._outbox.release(self._supply.backlog.popleft())

    def drop(self, held: Held) -> None:
        """Let go of an attempt that is no longer ours; if it runs, it is killed."""
        job = next((job for job in self._supply.all() if (job.id, job.token) == held), None)
        if job is None:
            return
        executors = self.executors.values()
        for each in executors:
            self._hearing.hear_all(each)  # what was said of it must not be taken for a word on its next attempt
        if not self._runs(job):
            self._back_to_backlog()
            self._supply.find(executors, self._hearing.hear_all)
            for each in executors if self._supply.slices.jobs.get(job.id) is job else ():
                self._hearing.hear_unsent(each)  # it has ended, or begins just now
        if (executor := self._runs(job)) is not None:
            executor.kill()
        self._supply.discard(job)
        self.dispatch()

    def _runs(self, job: Sent) -> Executor | None:
        """Return the executor that runs a job, None when nobody does."""
        running = ((executor, one) for executor in self.executors.values() for one, _ in executor.begun())
        return next((executor for executor, one in running if one is job), None)

    # --- stopping --------------------------------------------------------------------------------------------------
    def stop(self) -> None:
        """Give back what has not begun and let what runs finish."""
        self._stopping, self.staff.cannot_start = True, None
        self.give_back_unbegun()
        self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        for executor in self.executors.values():
            if not executor.leaving:
                executor.leave()
                self._supply.line.stop()  # whoever takes it: there is one for each

    def kill(self) -> None:
        """End the executors at once and give back what they were running."""
        self.stop()
        for executor in self.executors.values():
            executor.kill()
        self.look_after(time.monotonic())

    def kill_busy(self) -> int:
        """End the executors when there are jobs that they might run; returns how many. Any thread may call."""
        alive = [executor for executor in list(self.executors.values()) if not executor.killed] if self.busy else []
        for executor in alive:
            executor.kill()
        return len(alive)

    def forget(self) -> None:
        """End the executors at once and say nothing, at the end of the worker."""
        self._supply.clear()
        for executor in self.executors.values():
            executor.kill()

    def close(self) -> None:
        """Close the line."""
        self._supply.line.close()


def _checked(names: list[Any]) -> list[str]:
    """Return what an executor says that it can run. Raises ValueError."""
    if len(names) > MOST_NAMES or not all(type(name) is str and 0 < len(name) <= LONGEST_NAME for name in names):
        raise ValueError("not names of functions")
    return names
