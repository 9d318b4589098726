"""What is asked of a store and what it answers: a call, who makes it, and the values that come back."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from mlq_cli.model.job import WAITING, State
from mlq_cli.model.tally import Tally
from mlq_cli.model.times import Times

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """A verb, its arguments, and how to read the answer."""

    verb: str
    args: list[Any]
    read: Callable[[list[Any]], T]


class Caller:
    """Who asks, and how often already. The newest answer of each is remembered: a caller asks one thing at a time."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid, self._name, self._serial = os.getpid(), os.urandom(8).hex(), 0

    def next(self) -> dict[str, Any]:
        """Return what tells this question from all others. A fork is somebody else."""
        if self._pid != os.getpid():
            self._begin()
        self._serial += 1
        return {"client": self._name, "serial": self._serial}


class Posted(NamedTuple):
    """Answer of `post`."""

    ids: list[str]  # in the order of the messages
    created: int  # fewer than ids when some of the caller's own ids existed


class Claimed(NamedTuple):
    """One job handed to a worker."""

    id: str
    timeout: float | None  # seconds one attempt may take
    record: bytes  # msgpack for the executor; the worker passes it on unread


class Claims(NamedTuple):
    """Answer of `claim`."""

    jobs: list[Claimed]
    empty: bool  # nothing is left in these queues; wait for the bell
    next_due: float | None  # seconds until a scheduled job is due
    withheld: float | None  # seconds for which jobs that look lost are still left alone, after an outage
    cursors: dict[str, str] | None = None  # where to go on looking, by queue; None: no job was passed over

    @property
    def passed(self) -> bool:
        """Whether there are jobs that only other workers can run."""
        return self.cursors is not None


class Held(NamedTuple):
    """A job that a worker holds: the pair that fences everything it says about it."""

    id: str
    token: str


class Progress(NamedTuple):
    """How far a listener says it is."""

    id: str
    token: str
    value: bytes  # msgpack


class Part(NamedTuple):
    """What a listener has emitted."""

    id: str
    token: str
    serial: int  # 1 for the first of the attempt, 2, …: a part that is sent again is known by it
    value: bytes  # msgpack


class Entry(NamedTuple):
    """What is kept of a job for those who follow it."""

    id: str  # grows from entry to entry
    kind: str  # state, progress, part or reset
    value: bytes  # msgpack; of a state a dict with `state` and `error`, of a reset None
    attempt: int


class Swept(NamedTuple):
    """Answer of `sweep`."""

    given_back: int = 0
    promoted: int = 0
    forgotten: int = 0
    grace: float = 0.0  # seconds for which jobs that look lost are still left alone, after an outage
    next_offset: int | None = None  # where to look on, None when all has been looked at

    def plus(self, other: Swept) -> Swept:
        """Return both together; where to look on is the other's."""
        return Swept(
            self.given_back + other.given_back,
            self.promoted + other.promoted,
            self.forgotten + other.forgotten,
            max(self.grace, other.grace),
            other.next_offset,
        )


class QueueCounts(NamedTuple):
    """One queue at a glance."""

    queue: str
    paused: bool
    states: dict[State, int]
    stats: dict[str, float]  # counters since the namespace began
    times: Times
    zero: tuple[float, float] = (0.0, 0.0)  # how many were posted, and succeeded, when the tally was set to zero

    @property
    def tally(self) -> Tally:
        """How far the work is since then."""
        running = self.states[State.RUNNING]
        waiting = sum(self.states[state] for state in WAITING)
        inserted = self.stats.get("posted", 0.0) - self.zero[0]
        completed = self.stats.get("succeeded", 0.0) - self.zero[1]
        return Tally(max(0, round(inserted)), waiting + running, max(0, round(completed)), running)


class Place(NamedTuple):
    """Where a page of ids has ended."""

    state: str
    queue: str
    at: str  # in the set of that state and queue, by its own reckoning
    id: str


class ServerInfo(NamedTuple):
    """What keeps the jobs, and what is wrong with it."""

    name: str  # "Valkey 9.1.2"
    doubts: list[str]  # sentences: what puts jobs at risk, and what to do
    details: dict[str, str]
