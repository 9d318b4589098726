"""What a worker has to tell Redis, gathered until its next turn. It stays here until Redis has answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.store.base import Held, Progress
from mlq_cli.worker.slices import Sent


@dataclass(slots=True)
class Outbox:
    """Outcomes, jobs to give back, and how far running ones are: only the newest word of each."""

    outcomes: list[Outcome] = field(default_factory=list)  # that have not been sent
    under_way: list[list[Outcome]] = field(default_factory=list)  # that have no answer yet, in the order of sending
    releases: list[Held] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.under_way or self.releases or self.progress)

    @property
    def unsaid(self) -> bool:
        """Whether there is something to send."""
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

    def take(self, most: int, most_bytes: int) -> list[Outcome]:
        """Return the first outcomes, at most so many, and about so many bytes together: what one call may carry.

        They are under way from now on; `settled` or `back` says how that went.
        """
        size, number = 0, 0
        for outcome in self.outcomes[:most]:
            if size > most_bytes:
                break
            size += len(outcome.second) + len(outcome.third)
            number += 1
        taken, self.outcomes[:number] = self.outcomes[:number], []
        if taken:
            self.under_way.append(taken)
        return taken

    def settled(self, taken: list[Outcome]) -> None:
        """Note that Redis has these."""
        self.under_way = [outcomes for outcomes in self.under_way if outcomes is not taken]

    def back(self, taken: list[Outcome]) -> None:
        """Note that Redis has refused these for now; they come first the next time."""
        self.settled(taken)
        self.outcomes[:0] = taken

    def all_back(self) -> None:
        """Note that of nothing under way it is known whether it has arrived."""
        for taken in reversed(self.under_way):
            self.outcomes[:0] = taken
        self.under_way.clear()

    def held(self) -> list[Held]:
        """Return the jobs whose leases have to last until Redis has taken their outcome."""
        outcomes = [outcome for taken in (*self.under_way, self.outcomes) for outcome in taken]
        return [Held(outcome.id, outcome.token) for outcome in outcomes]
