"""What a listener gets beside the message: the job it belongs to, and ways to speak while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgpack

from mlq_cli.model.values import pack, unpack


class Job:
    """One job as an executor receives it: the values that `claim.lua` packs, in its order."""

    __slots__ = (
        "attempt", "callback", "functions", "generation", "id", "packed_msg", "queue", "retries", "started_at",
        "timestamp", "token",
    )  # fmt: skip

    def __init__(self, frame: bytes) -> None:
        # Lua has no nil inside a list and says false.
        values: list[Any] = [None if value is False else value for value in msgpack.unpackb(frame, raw=True)]
        job_id, packed, attempt, timestamp, functions, callback, retries, queue, token, generation = values
        self.id: str = job_id.decode()
        self.packed_msg: bytes = packed or b"\xc0"
        self.attempt: int = int(attempt)
        self.timestamp = float(timestamp)
        self.functions: list[str] | None = unpack(functions) if functions else None
        self.callback: str | None = callback.decode() if callback else None
        self.retries = int(retries or 0)
        self.queue: str = queue.decode()
        self.token: str = token.decode()
        self.generation = int(generation or 0)
        self.started_at = time.time()


class Context(Mapping[str, Any]):
    """The second argument of a listener; `ctx.update_progress(50)` and the original's `ctx["update_progress"](50)`."""

    def __init__(self, job: Job, msg: Any, worker: str, tell: Callable[[tuple[Any, ...]], None]) -> None:
        self._job = job
        self._msg = msg
        self._worker = worker
        self._tell = tell
        self._said: bytes | None = None

    @property
    def id(self) -> str:
        """The id of the job."""
        return self._job.id

    @property
    def attempt(self) -> int:
        """1 for the first run, 2 for the first rerun, …"""
        return self._job.attempt

    @property
    def token(self) -> str:
        """The fence of this run: no other run of this job has the same, so it may name what the run writes."""
        return self._job.token

    @property
    def full_message(self) -> dict[str, Any]:
        """The job's record as it stands while it runs, with the original's field names."""
        job = self._job
        return {
            "id": job.id,
            "timestamp": job.timestamp,
            "worker": self._worker,
            "processing_started": job.started_at,
            "processing_finished": None,
            "progress": 0 if self._said is None else unpack(self._said),
            "short_result": None,
            "result": None,
            "callback": job.callback,
            "retries": job.retries,
            "functions": job.functions,
            "msg": self._msg,
            "queue": job.queue,
            "attempt": job.attempt,
        }

    def update_progress(self, value: Any) -> None:
        """Say how far the job is: usually 0 to 100, but anything that a message can hold. Raises NotCarried."""
        packed = pack(value, limit=4096, what="progress")
        if packed != self._said:
            self._said = packed
            self._tell(("progress", self._job.id, packed))

    def __getitem__(self, name: str) -> Any:
        if name in _KEYS:
            return getattr(self, name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_KEYS)

    def __len__(self) -> int:
        return len(_KEYS)


_KEYS = ("full_message", "update_progress")
