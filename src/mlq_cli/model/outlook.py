"""How long a job will wait, told from what stands before it and from who is there to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Crew(NamedTuple):
    """One worker: what it serves, and how much at a time."""

    queues: tuple[str, ...]  # the first ones come first
    slots: int  # jobs that it runs at a time


class Line(NamedTuple):
    """One queue."""

    queued: int
    running: int  # those claimed ahead of their turn included
    paused: bool
    recent_run: float | None  # seconds that an attempt takes of late, None when none has ended


def estimated_wait(queue: str, position: int, crews: Sequence[Crew], lines: Mapping[str, Line]) -> float | None:
    """Return the seconds until the job at `position` of a queue begins, 0 is the next one; None: nobody can tell.

    Assumed: jobs take as long as of late, no worker comes or goes, and nothing is posted before it. What runs is about
    half done. Workers look at their queues in order, so one that comes first with all of them stands before this one.
    """
    line, serving = lines.get(queue), [crew for crew in crews if queue in crew.queues]
    slots = sum(crew.slots for crew in serving)
    if line is None or line.paused or line.recent_run is None or not slots:
        return None
    jobs, work = float(position), position * line.recent_run
    for name in {name for crew in serving for name in crew.queues}:
        other = lines.get(name)
        if other is None:
            continue
        before = other.running
        if not other.paused and all(_comes_before(name, queue, crew) for crew in serving):
            before += other.queued
        share = _slots(name, serving) / max(1, _slots(name, crews))
        jobs += before * share
        work += before * share * (line.recent_run if other.recent_run is None else other.recent_run)
    ends = jobs + 1 - slots  # of other jobs, until it is this one's turn
    return max(0.0, ends - 0.5) * work / jobs / slots if ends > 0 else 0.0


def _slots(queue: str, crews: Sequence[Crew]) -> int:
    return sum(crew.slots for crew in crews if queue in crew.queues)


def _comes_before(name: str, queue: str, crew: Crew) -> bool:
    return name in crew.queues and crew.queues.index(name) < crew.queues.index(queue)
