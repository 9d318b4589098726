"""What a worker has to tell Redis, gathered until its next turn. It stays here until Redis has answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.store.base import Held, Progress
from mlq_cli.worker.slices import Sent


@dataclass(slots=True)
class Outbox:
    """Outcomes, jobs to give back, and how far running ones are: only the newest word of each."""

    outcomes: list[Outcome] = field(default_factory=list)
    releases: list[Held] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.releases or self.progress)

    def error(self, job: Sent, kind: Kind, error_type: str, message: str, seconds: float, trace: bytes = b"") -> None:
        """Add the outcome of an attempt that its executor could not tell of."""
        text = (error_type.encode(), message.encode(errors="replace"), trace)
        self.outcomes.append(Outcome(job.id, job.token, kind.value, seconds, *text))
        self.progress.pop(job.id, None)

    def release(self, job: Sent) -> None:
        """Add a job to give back with no attempt spent."""
        self.releases.append(Held(job.id, job.token))
        self.progress.pop(job.id, None)

    def some(self, most: int, most_bytes: int) -> list[Outcome]:
        """Return the first outcomes, at most so many, and about so many bytes together: what one call may carry."""
        size = 0
        for number, outcome in enumerate(self.outcomes[:most]):
            if size > most_bytes:
                return self.outcomes[:number]
            size += len(outcome.second) + len(outcome.third)
        return self.outcomes[:most]

    def held(self) -> list[Held]:
        """Return the jobs whose leases have to last until Redis has taken their outcome."""
        return [Held(outcome.id, outcome.token) for outcome in self.outcomes]
