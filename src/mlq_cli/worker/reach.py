"""What a job reaches of its own namespace: it posts, stores and fetches values, and waits for other jobs.

The `MLQ` behind it is opened by the first job that asks for one: most never do, and executors start without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from contextvars import copy_context
from itertools import count
from typing import TYPE_CHECKING, Any

from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.model.generation import enter
from mlq_cli.model.job import State, result_of
from mlq_cli.worker.context import Job, Voice

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ


class Reach:
    """Serves all jobs of one executor; any thread of them may call."""

    def __init__(self, profile: Mapping[str, Any] | None, voice: Voice, opened: MLQ | None = None) -> None:
        """`profile`: as `model/carried.py` packs it; None: jobs have no namespace to reach, unless by `opened`."""
        self._profile = profile
        self._voice = voice
        self._pid = os.getpid()
        self._opened = opened
        self._serials = count(1)

    def _mlq(self) -> MLQ:
        # Without a lock, which a fork could inherit held: two threads that come at once may open two, and use either.
        if self._opened is None:
            if self._profile is None:
                raise Misuse("this job has no namespace to post to")
            from mlq_cli.mlq import MLQ
            from mlq_cli.model.carried import profile_of

            self._opened = MLQ(profile=profile_of(self._profile))
        return self._opened

    def close(self) -> None:
        """Close its connections."""
        if self._opened is not None:
            self._opened.close()

    def post(self, job: Job, msg: Any, **options: Any) -> str:
        """Post as `MLQ.post` does, one generation below a job, also from a thread that the job has started."""
        context = copy_context()
        context.run(enter, job.generation + 1)
        job_id: str = context.run(self._mlq().post, msg, **options)
        return job_id

    def store_data(self, data: Any, key: str | None, expiry: float | None) -> str:
        """Store a value as `MLQ.store_data` does."""
        return self._mlq().store_data(data, key, expiry)

    def fetch_data(self, key: str) -> Any:
        """Fetch a value as `MLQ.fetch_data` does."""
        return self._mlq().fetch_data(key)

    def block_until_result(self, job: Job, job_id: str, timeout: float | None) -> Any:
        """Wait for another job and return its result; meanwhile the worker lets a stand-in run others."""
        refuse_loop()
        if os.getpid() != self._pid:
            raise Misuse(
                "a process that the listener has forked cannot block", hint="wait in the one that runs the job"
            )
        from mlq_cli.waiting import wait_ended

        mlq = self._mlq()
        block = Block(mlq, self._voice, job, job_id, next(self._serials))
        try:
            wait_ended(mlq.store, job_id, timeout, look=block.look)
        finally:
            block.end()
        return result_of(mlq.get_job(job_id))


class Block:
    """One wait of a job for another one."""

    def __init__(self, mlq: MLQ, voice: Voice, job: Job, other: str, serial: int) -> None:
        self._waits = mlq.store.waits()
        self._voice = voice
        self._job = job
        self._other = other
        self._serial = serial
        self._asked = self._told = False

    def look(self) -> State | None:
        """Say in Redis what the job waits for, and to the worker that it waits. Raises Refused."""
        self._asked = True
        state = self._waits.wait(self._job.id, self._job.token, self._serial, self._other)
        if state is not None and not state.terminal and not self._told:
            self._told = True
            self._voice.tell(("blocked", self._job.id, self._job.token))
        return state

    def end(self) -> None:
        """Take back both, as far as anybody is there to hear it."""
        with suppress(MlqError, OSError):  # what is noted counts only as long as this attempt runs
            if self._told:
                self._voice.tell(("resumed", self._job.id, self._job.token))
            if self._asked:
                self._waits.over(self._job.id, self._job.token, self._serial)


def refuse_loop() -> None:
    """Raise Misuse on the thread of an event loop: everything on it would wait too."""
    if (asyncio := sys.modules.get("asyncio")) is None:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise Misuse(
        "block_until_result would hold up everything on this event loop",
        hint="await asyncio.to_thread(ctx.block_until_result, job_id)",
    )
