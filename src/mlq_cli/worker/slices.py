"""The jobs that were handed to executors, slice by slice, until their outcomes are known.

A slice is what one executor takes at a time: a single job, or as many as take a moment together.
"""

from __future__ import annotations

from typing import NamedTuple

from mlq_cli.worker.board import MOST, PLACE_BITS

_SWEEP = 64  # slices after which those that are over are forgotten


def number_of(mark: int) -> int:
    """Return the number of the slice that a mark is in."""
    return mark >> PLACE_BITS


class Sent(NamedTuple):
    """A job that is with this worker."""

    id: str
    token: str
    timeout: float | None  # seconds one attempt may take
    record: bytes
    place: int  # in the order of claiming


class Slices:
    """Knows each job by its id, and by the mark that an executor notes."""

    def __init__(self) -> None:
        self.jobs: dict[str, Sent] = {}  # that have no outcome yet, in the order in which they were handed out
        self._slices: dict[int, list[Sent]] = {}
        self._number = 0
        self._sweep_at = _SWEEP

    def new_number(self) -> int:
        """Return a number for the next slice."""
        self._number += 1
        return self._number

    def add(self, number: int, jobs: list[Sent]) -> None:
        """Note that a slice was handed over."""
        if len(self._slices) >= self._sweep_at:
            self._slices = {n: jobs for n, jobs in self._slices.items() if any(self._open(job) for job in jobs)}
            self._sweep_at = max(_SWEEP, 2 * len(self._slices))  # or many slices of one job are swept for each
        self._slices[number] = jobs
        self.jobs.update((job.id, job) for job in jobs)

    def _open(self, job: Sent) -> bool:
        return self.jobs.get(job.id) is job

    def at(self, mark: int) -> Sent | None:
        """Return the job at a mark, None when its outcome is known already."""
        jobs = self._slices.get(number_of(mark), ())
        place = mark % MOST
        return jobs[place] if place < len(jobs) and self._open(jobs[place]) else None

    def behind(self, mark: int) -> list[Sent]:
        """Return the jobs of a slice that come after the one at a mark."""
        return [job for job in self._slices.get(number_of(mark), ())[mark % MOST + 1 :] if self._open(job)]

    def take_behind(self, mark: int) -> list[Sent]:
        """Take the jobs behind a mark out of their slice and return them: nobody has begun them."""
        jobs = self.behind(mark)
        if number_of(mark) in self._slices:
            del self._slices[number_of(mark)][mark % MOST + 1 :]
        return self._out(jobs)

    def up_to(self, mark: int) -> list[Sent]:
        """Return the jobs of a slice up to the one at a mark that have no outcome."""
        return [job for job in self._slices.get(number_of(mark), ())[: mark % MOST + 1] if self._open(job)]

    def take(self, number: int) -> list[Sent]:
        """Take a whole slice out and return its jobs: nobody has begun it."""
        return self._out([job for job in self._slices.pop(number, []) if self._open(job)])

    def _out(self, jobs: list[Sent]) -> list[Sent]:
        for job in jobs:
            del self.jobs[job.id]
        return jobs

    def numbers(self) -> set[int]:
        """Return the slices that are not over."""
        return {number for number, jobs in self._slices.items() if any(self._open(job) for job in jobs)}
