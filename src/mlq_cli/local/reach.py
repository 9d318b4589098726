"""What a job that runs in this process reaches of its run: it posts, stores values, and runs what it waits for."""

from __future__ import annotations

import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from mlq_cli.model.errors import WaitTimeout
from mlq_cli.model.generation import enter
from mlq_cli.worker.context import Job
from mlq_cli.worker.reach import refuse_loop

if TYPE_CHECKING:
    from mlq_cli.local.local import Local


class LocalReach:
    """Serves the jobs of one local run."""

    def __init__(self, local: Local) -> None:
        self._local = local

    def post(self, job: Job, msg: Any, **options: Any) -> str:
        """Post one generation below a job."""
        context = copy_context()
        context.run(enter, job.generation + 1)
        job_id: str = context.run(self._local.post_from_job, msg, **options)
        return job_id

    def store_data(self, data: Any, key: str | None, expiry: float | None) -> str:
        """Store a value."""
        return self._local.store_data(data, key, expiry)

    def fetch_data(self, key: str) -> Any:
        """Fetch a value."""
        return self._local.fetch_data(key)

    def block_until_result(self, job: Job, job_id: str, timeout: float | None) -> Any:
        """Run another job here and now, unless it has ended, and return its result."""
        refuse_loop()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._local.book.wait_of(job.id, job_id) as entry:
            self._local.runner.finish(entry, deadline)
            if not entry.state.terminal:
                raise WaitTimeout(f"job {job_id} has not ended in time; it goes on")
        return self._local.get_result(job_id)
