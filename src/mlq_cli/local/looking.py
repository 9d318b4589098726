"""Looking at the jobs of a local run, by the names that `MLQ` has for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlq_cli.local.book import Book
from mlq_cli.model.errors import JobFailed
from mlq_cli.model.job import WAITING, Record, State, progress_of, result_of


class Looking:
    """What is known of the jobs."""

    book: Book

    def get_job(self, job_id: str | int) -> Record:
        """Return the record of a job, as a queue would. Raises JobNotFound, which is also a KeyError."""
        with self.book.changed:
            entry = self.book.find(str(job_id))
            return entry.record(self.book.position(entry))

    def get_jobs(self, job_ids: Iterable[str | int]) -> list[Record | None]:
        """Return the records of many jobs, None for those that do not exist."""
        known = {entry.id: entry for entry in self.book.all()}
        found = (known.get(str(job_id)) for job_id in job_ids)
        return [None if entry is None else entry.record() for entry in found]

    def list_jobs(self, *, states: Iterable[State] | None = None, limit: int = 50) -> list[Record]:
        """Return records of jobs, the newest first, at most `limit`."""
        wanted = set(states or State)
        newest = [entry for entry in reversed(self.book.all()) if entry.state in wanted]
        return [entry.record() for entry in newest[:limit]]

    @property
    def failed(self) -> list[Record]:
        """The jobs that have failed for good, as far as they are known."""
        return [entry.record() for entry in self.book.all() if entry.state is State.DEAD]

    def get_result(self, job_id: str | int) -> Any:
        """Return the full result, None while there is none. Raises JobNotFound, JobFailed, JobCanceled."""
        return result_or_failure(self.get_job(job_id), self.book.find(str(job_id)).exception)

    def get_progress(self, job_id: str | int) -> Any:
        """Return what a running listener said last, or how the job stands, in the words of `MLQ.get_progress`."""
        return progress_of(self.get_job(job_id))

    def job_count(self) -> int:
        """Return how many jobs wait."""
        return sum(entry.state in WAITING for entry in self.book.all())


def result_or_failure(record: Record, cause: BaseException | None = None) -> Any:
    """Return the result of a record. Raises JobFailed: what the listener raised is its cause, or a note."""
    try:
        return result_of(record)
    except JobFailed as error:
        error.hint = None  # there is no dead-letter queue to look into
        if cause is None and error.traceback:
            error.add_note(error.traceback.rstrip())
        raise error from cause
