"""What a worker has to tell Redis, gathered until its next turn. It stays here until Redis has answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.store.base import Held, Progress
from mlq_cli.worker.parts import Parts
from mlq_cli.worker.slices import Sent


@dataclass(slots=True)
class Outbox:
    """Outcomes, jobs to give back, what running ones emit, and how far they are: only the newest word of each."""

    outcomes: list[Outcome] = field(default_factory=list)  # that have not been sent
    under_way: list[list[Outcome]] = field(default_factory=list)  # that have no answer yet, in the order of sending
    parts: Parts = field(default_factory=Parts)
    late: list[Outcome] = field(default_factory=list)  # of jobs with parts that Redis has not taken yet
    releases: list[Held] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.under_way or self.releases or self.progress or self.parts or self.late)

    @property
    def unsaid(self) -> bool:
        """Whether there is something to send."""
        return bool(self.outcomes or self.releases or self.progress or self.parts)

    def error(self, job: Sent, kind: Kind, error_type: str, message: str, seconds: float, trace: bytes = b"") -> None:
        """Add the outcome of an attempt that its executor could not tell of."""
        text = (error_type.encode(), message.encode(errors="replace"), trace)
        outcome = Outcome(job.id, job.token, kind.value, seconds, *text)
        (self.late if job.id in self.parts.of_jobs else self.outcomes).append(outcome)
        self.progress.pop(job.id, None)

    def release(self, job: Sent) -> None:
        """Add a job to give back with no attempt spent."""
        self.releases.append(Held(job.id, job.token))
        self.progress.pop(job.id, None)

    def stored(self, number: int) -> None:
        """Note that Redis has the first parts; outcomes that waited for them may go."""
        self.parts.stored(number)
        if self.late:
            waiting = self.parts.of_jobs
            self.outcomes += [outcome for outcome in self.late if outcome.id not in waiting]
            self.late = [outcome for outcome in self.late if outcome.id in waiting]

    def told(self, progress: Mapping[str, Progress]) -> None:
        """Note that Redis has this progress; what was said of a job since then is still to be told."""
        for job_id, said in progress.items():
            if self.progress.get(job_id) is said:
                del self.progress[job_id]

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
        outcomes = [outcome for taken in (*self.under_way, self.outcomes, self.late) for outcome in taken]
        return [Held(outcome.id, outcome.token) for outcome in outcomes]
