"""Looking: what is known of jobs, workers and queues, and waiting for a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mlq_cli.api.connected import Connected
from mlq_cli.events import events, parts
from mlq_cli.following import Event
from mlq_cli.model.errors import JobNotFound
from mlq_cli.model.job import WAITING, Record, State, check_name, progress_of, result_of
from mlq_cli.model.tally import Tally
from mlq_cli.store.base import QueueCounts
from mlq_cli.waiting import wait_ended, wait_until_empty


class Looking(Connected):
    """The ways to see how things are. Nothing here changes a job."""

    def get_job(self, job_id: str | int) -> Record:
        """Return the record of a job. Raises JobNotFound, which is also a KeyError."""
        (record,) = self.store.records([str(job_id)])
        if record is None:
            raise JobNotFound(str(job_id))
        return record

    def get_jobs(self, job_ids: Iterable[str | int]) -> list[Record | None]:
        """Return the records of many jobs in one go, None for those that do not exist."""
        return self.store.records([str(job_id) for job_id in job_ids])

    def get_result(self, job_id: str | int) -> Any:
        """Return the full result, None while there is none. Raises JobNotFound, JobFailed, JobCanceled."""
        return result_of(self.get_job(job_id))

    def get_progress(self, job_id: str | int) -> Any:
        """Return what a running listener said last, or how the job stands.

        That is one of `[queued; not started]`, `[started]`, `[completed]`, `[failed]`, `[canceled]`.
        """
        return progress_of(self.get_job(job_id))

    def job_count(self) -> int:
        """Return how many jobs wait in this namespace: queued, scheduled or blocked, our own callbacks not counted."""
        ours = (counts for counts in self.store.counts() if not counts.queue.startswith("_"))
        return sum(counts.states[state] for counts in ours for state in WAITING)

    def list_jobs(
        self, *, states: Iterable[State] | None = None, queue: str | None = None, limit: int = 50
    ) -> list[Record]:
        """Return records of jobs, the newest first, at most `limit`.

        Of a long line with more than two priorities, those in the middle may be left out.
        """
        queues = None if queue is None else [check_name(queue, "queue", ours=True)]
        ids = self.store.ids(queues, list(states or State), limit)
        posted = ((at, len(job_id), job_id) for job_id, at in zip(ids, self.store.posted_at(ids), strict=True) if at)
        newest = [job_id for _, _, job_id in sorted(posted, reverse=True)[:limit]]
        return [record for record in self.store.records(newest) if record is not None]

    def states(self, job_ids: Iterable[str | int]) -> list[State | None]:
        """Return only the states of jobs, None for those that do not exist."""
        return self.store.states([str(job_id) for job_id in job_ids])

    def counts(self) -> list[QueueCounts]:
        """Return every queue with its jobs by state and its counters."""
        return self.store.counts()

    def tally(self, queue: str = "default") -> Tally:
        """Return how many jobs of a queue were inserted, are enqueued (leased ones too), completed and leased.

        Inserted and completed count from the last `rezero`.
        """
        check_name(queue, "queue", ours=True)
        return next((counts.tally for counts in self.store.counts() if counts.queue == queue), Tally(0, 0, 0, 0))

    def wait_until_empty(self, queue: str = "default", timeout: float | None = None) -> None:
        """Return when no job of a queue waits or runs. Raises WaitTimeout after `timeout` seconds."""
        wait_until_empty(self.store, check_name(queue, "queue", ours=True), timeout)

    def workers(self) -> list[dict[str, str]]:
        """Return what the living workers say of themselves."""
        return self.store.workers()

    def wait(self, job_id: str | int, timeout: float | None = None) -> Any:
        """Wait for a job and return its result.

        Raises:
            JobFailed: it is dead; JobCanceled; JobNotFound.
            WaitTimeout: it has not ended within `timeout` seconds, and goes on.
        """
        self.wait_ended(str(job_id), timeout)
        return self.get_result(job_id)

    def wait_ended(
        self, job_id: str, timeout: float | None = None, on_progress: Callable[[], None] | None = None
    ) -> None:
        """Return when the job has ended, however. `on_progress` is called when the listener said how far it is."""
        wait_ended(self.store, job_id, timeout, on_progress)

    def events(self, job_id: str | int, after: str | None = None, timeout: float | None = None) -> Iterator[Event]:
        """Yield what happens to a job, from its beginning as far as that is kept, until it has ended, however.

        That is its state, its place in the line, progress, and the parts that its listener emits; see `Event`. Goes on
        through a restart of Redis. `after`: the `id` of an event, to begin behind it. Raises JobNotFound, WaitTimeout.
        """
        for page in events(self.store, str(job_id), after, timeout):
            yield from page

    def stream(
        self, job_id: str | int, timeout: float | None = None, on_reset: Callable[[], object] | None = None
    ) -> Iterator[Any]:
        """Yield the parts that a job's listener emits, as they come, until it has ended.

        `on_reset` is called when another attempt begins: the parts so far do not count any more, and those of the new
        attempt follow from its first. Raises at the end as `wait` does.
        """
        yield from parts(self.store, str(job_id), timeout, on_reset)
        (record,) = self.store.records([str(job_id)], values=False)
        if record is not None:
            result_of(record)
