"""The book of a local run: its jobs, which of them is next, and how they go on when an attempt has ended.

The last is what `finish.lua` and `lib/settle.lua` decide for a queue, by the same rules.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count

from mlq_cli.local.entry import Entry, new_token
from mlq_cli.model.errors import JobNotFound
from mlq_cli.model.job import State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.store.waits import refusal

KEPT = 10_000  # jobs of bulk posts that have ended and are still known
KEPT_BYTES = 256 << 20  # of them together
_JITTER = 0.2  # of a wait, at most added to it by chance
_FIRST = -(1 << 20)  # before every priority


class Book:
    """All jobs of one local run. Whoever reads or writes it holds `changed`, a condition told of every ending."""

    def __init__(self, rules: Rules, *, patient: bool = True) -> None:
        """`patient`: whether a time to come is waited for; otherwise it only says who comes first."""
        self.changed = threading.Condition(threading.RLock())
        self._rules = rules
        self._patient = patient
        self._entries: dict[str, Entry] = {}
        self._queued: list[tuple[int, int, int, Entry]] = []  # lower is sooner; who is queued no more is passed over
        self._scheduled: list[tuple[float, int, Entry]] = []
        self._serial = count()  # so that no two places are alike
        self._waits: list[tuple[str, str]] = []  # of a running job for another one
        self._ended: deque[Entry] = deque()  # those that may be forgotten, the oldest first
        self._ended_bytes = 0
        self._numbers = 0
        self.open = 0  # jobs that have not ended
        self.done = 0  # jobs that have ended
        self.bytes = 0  # that all of them take, about

    # --- in ----------------------------------------------------------------------------------------------------------
    def post(self, message: bytes, options: PostOptions, own_id: str | None = None, *, lasting: bool = True) -> Entry:
        """Take a job in. One with an id that exists is that one."""
        with self.changed:
            if own_id is not None and own_id in self._entries:
                return self._entries[own_id]
            now = time.time()
            self._numbers += 1
            entry = Entry(own_id or str(self._numbers), self._numbers, message, options, now, lasting)
            self._entries[entry.id] = entry
            self.open += 1
            self.bytes += entry.size
            due = now + options.delay if options.delay else options.at
            if due is not None and due > now:
                self._schedule(entry, due)
            else:
                self._queue(entry)
            self.changed.notify_all()
            return entry

    def _queue(self, entry: Entry, *, first: bool = False) -> None:
        entry.state, entry.due_at = State.QUEUED, None
        band = _FIRST if first else -entry.options.priority
        heappush(self._queued, (band, entry.number, next(self._serial), entry))

    def _schedule(self, entry: Entry, due: float) -> None:
        entry.state, entry.due_at = State.SCHEDULED, due
        heappush(self._scheduled, (due, next(self._serial), entry))

    # --- waits of jobs for each other --------------------------------------------------------------------------------
    @contextmanager
    def wait_of(self, job_id: str, other_id: str) -> Iterator[Entry]:
        """Note in this block that a running job waits for another one, which comes first from now on.

        Raises JobNotFound; Refused when the other one waits for this job.
        """
        with self.changed:
            other = self.find(other_id)
            if not other.state.terminal and (way := self._way(other_id, job_id)):
                raise refusal(job_id, other_id, "cycle", way)
            self._waits.append((job_id, other_id))
            if other.state is State.QUEUED:
                self._queue(other, first=True)
        try:
            yield other
        finally:
            with self.changed:
                self._waits.remove((job_id, other_id))

    def _way(self, begin: str, end: str, seen: frozenset[str] = frozenset()) -> list[str]:
        """Return the jobs by way of which one waits for another, both included; none when it does not."""
        if begin == end:
            return [end]
        ways = (
            self._way(other, end, seen | {begin}) for job, other in self._waits if job == begin and other not in seen
        )
        return next(([begin, *way] for way in ways if way), [])

    # --- out ---------------------------------------------------------------------------------------------------------
    def next(self, worker: str, token: str | None = None) -> Entry | None:
        """Return the next job, its attempt begun under this token or one of its own; None when none is due."""
        with self.changed:
            now = time.time()
            self._pass_over()
            while self._scheduled and (self._scheduled[0][0] <= now or not (self._patient or self._waiting())):
                self._queue(heappop(self._scheduled)[2])
                self._pass_over()
            while self._queued:
                entry = heappop(self._queued)[3]
                if entry.state is State.QUEUED:
                    entry.begin(worker, token or new_token(), now)
                    return entry
            return None

    def take(self, entry: Entry, worker: str) -> bool:
        """Begin an attempt of this job, whoever else waits; False when it is not its time."""
        with self.changed:
            now = time.time()
            due = entry.state is State.SCHEDULED and (not self._patient or (entry.due_at or 0.0) <= now)
            if entry.state is not State.QUEUED and not due:
                return False
            entry.begin(worker, new_token(), now)
            return True

    def _waiting(self) -> bool:
        """Whether anything is queued."""
        while self._queued and self._queued[0][3].state is not State.QUEUED:
            heappop(self._queued)
        return bool(self._queued)

    def due_in(self) -> float | None:
        """Return the seconds until the next job is due; 0.0 when one is queued, None when nobody waits."""
        with self.changed:
            if self._waiting():
                return 0.0
            self._pass_over()
            if not self._scheduled:
                return None
            return max(0.0, self._scheduled[0][0] - time.time()) if self._patient else 0.0

    def _pass_over(self) -> None:
        """Forget the places of jobs that are scheduled no more, or for another time, as far as they come first."""
        while self._scheduled:
            due, _, entry = self._scheduled[0]
            if entry.state is State.SCHEDULED and entry.due_at == due:
                return
            heappop(self._scheduled)

    # --- what becomes of attempts ------------------------------------------------------------------------------------
    def running(self, job_id: str, token: str) -> Entry | None:
        """Return the job of an attempt; None when that does not run any more."""
        entry = self._entries.get(job_id)
        return entry if entry is not None and entry.state is State.RUNNING and entry.token == token else None

    def settle(self, outcome: Outcome, exception: BaseException | None = None) -> None:
        """Take in how an attempt has ended."""
        with self.changed:
            entry = self.running(outcome.id, outcome.token)
            if entry is None:
                return
            now = time.time()
            self.bytes -= entry.size
            entry.exception = exception
            if outcome.kind == Kind.DONE:
                entry.short_result = outcome.first[1:].decode() if outcome.first else None
                entry.result, entry.began_at = outcome.second, now - outcome.seconds
                entry.error_type = entry.error = entry.traceback = None
                self._end(entry, State.SUCCEEDED)
            elif outcome.kind == Kind.LATER:
                self._schedule(entry, now + float(outcome.first or 1))
            else:
                entry.error_type, entry.error = outcome.first.decode(), outcome.second.decode()
                entry.traceback = outcome.third.decode(errors="replace") or None
                entry.spent += 1
                self._try_again(entry, outcome.kind, now)
            self.bytes += entry.size
            self.changed.notify_all()

    def _try_again(self, entry: Entry, kind: str, now: float) -> None:
        rules = self._rules
        if kind == Kind.CRASH:
            entry.crashes += 1
            tries, most = entry.crashes, rules.max_crashes
        elif kind == Kind.ERROR:
            entry.failures += 1
            tries, most = entry.failures, rules.retries if entry.options.retries is None else entry.options.retries
        else:  # for good, or asked for functions that nobody here will ever have
            tries, most = 1, 0
        if tries > most:
            self._end(entry, State.DEAD)
            return
        wait: float = min(rules.backoff * 2 ** (tries - 1), rules.backoff_max)
        self._schedule(entry, now + wait + wait * _JITTER * random.random())

    def give_back(self, job_id: str, token: str) -> None:
        """Let a job wait again that nobody has begun, or whose executor was taken from under it."""
        with self.changed:
            if (entry := self.running(job_id, token)) is not None:
                self._queue(entry)

    def cancel(self, entry: Entry) -> None:
        """End a job that has not ended; what its attempt still says does not count."""
        with self.changed:
            self._end(entry, State.CANCELED)
            self.changed.notify_all()

    def _end(self, entry: Entry, state: State) -> None:
        entry.state, entry.ended_at, entry.due_at = state, time.time(), None
        self.open -= 1
        self.done += 1
        if entry.lasting:
            return
        self._ended.append(entry)
        self._ended_bytes += entry.size
        while len(self._ended) > KEPT or (self._ended_bytes > KEPT_BYTES and len(self._ended) > 1):
            self.forget(self._ended[0])

    # --- looking -----------------------------------------------------------------------------------------------------
    def find(self, job_id: str) -> Entry:
        """Return a job. Raises JobNotFound."""
        with self.changed:
            try:
                return self._entries[job_id]
            except KeyError:
                raise JobNotFound(job_id) from None

    def all(self) -> list[Entry]:
        """Return the jobs that are known, in the order of posting."""
        with self.changed:
            return sorted(self._entries.values(), key=lambda entry: entry.number)

    def position(self, entry: Entry) -> int | None:
        """Return how many stand before a queued job."""
        with self.changed:
            if entry.state is not State.QUEUED:
                return None
            before: dict[Entry, int] = {}
            for *_, each in sorted(self._queued, key=lambda place: place[:3]):
                if each.state is State.QUEUED:
                    before.setdefault(each, len(before))
            return before[entry]

    def forget(self, entry: Entry) -> None:
        """Know nothing of an ended job any more."""
        with self.changed:
            if self._entries.pop(entry.id, None) is None:
                return
            self.bytes -= entry.size
            if not entry.lasting:
                if self._ended[0] is entry:
                    self._ended.popleft()
                else:
                    self._ended.remove(entry)
                self._ended_bytes -= entry.size
