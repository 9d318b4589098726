"""What decides how attempts go on and how long jobs are kept; a worker or a reaper brings these along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlq_cli.model.profile import Profile


@dataclass(frozen=True, slots=True)
class Retention:
    """How long ended jobs are kept; None: indefinitely."""

    age: float | None = None  # seconds, succeeded and canceled
    count: int | None = None  # the newest of each queue, succeeded and canceled
    dead_age: float | None = None  # seconds, dead


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits and times of an attempt."""

    lease: float = 30.0  # seconds a worker may stay silent before its jobs are given to others
    retries: int = 0  # reruns after an exception or a timeout, for jobs that say nothing
    max_crashes: int = 2  # reruns after the executor died
    max_retries: int = 5  # reruns after the worker vanished
    backoff: float = 1.0  # seconds before the first rerun, doubled for each further one
    backoff_max: float = 3600.0
    retention: Retention = field(default_factory=Retention)


def rules_of(profile: Profile, *, max_retries: int | None = None) -> Rules:
    """Return the rules of a profile; `max_retries` wins over the reaper's."""
    worker, kept = profile.worker, profile.retention
    return Rules(
        lease=worker.lease,
        retries=worker.retries,
        max_crashes=worker.max_crashes,
        max_retries=profile.reaper.retries if max_retries is None else max_retries,
        backoff=worker.backoff,
        retention=Retention(kept.age, kept.count, kept.dead_age),
    )
