"""What a keeper of waits promises: which running job blocks on which, so that none waits for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mlq_cli.model.errors import Refused
from mlq_cli.model.job import State

SHOWN = 10  # ids of a cycle


class Waits(Protocol):
    """Knows what running jobs block on."""

    def wait(self, job_id: str, token: str, serial: int, other: str) -> State | None:
        """Note that a job blocks on another one, and return the other's state; None: there is no such job.

        To be said again now and then, with the same serial: it brings the other one to the front of its line, and
        tells whether the attempt still is the present one. An end of the other one ends the wait. Raises Refused when
        it is not, or when the other one waits for this job.
        """

    def over(self, job_id: str, token: str, serial: int) -> None:
        """Note that a wait is over."""


def refusal(job_id: str, other: str, word: str, way: Sequence[str]) -> Refused:
    """Return why a job may not block on another one: word and way as `await.lua` answers."""
    if word == "lost":
        return Refused(f"job {job_id} may not go on: it was canceled, or given back to another worker")
    if word == "deep":
        return Refused(f"job {job_id} may not wait for job {other}: too many jobs wait for each other")
    ids = [job_id, *way]
    shown = ids if len(ids) <= SHOWN else [*ids[: SHOWN - 2], "…", ids[-1]]
    why = "a job cannot wait for itself" if len(ids) == 2 else f"it would wait for itself: {' → '.join(shown)}"
    return Refused(
        f"job {job_id} may not wait for job {other}: {why}",
        hint="let one of them end without the other's result",
    )
