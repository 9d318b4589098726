"""What a listener gets beside the message: the job it belongs to, and ways to speak while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgpack

from mlq_cli.model.errors import TooLarge
from mlq_cli.model.values import pack, unpack

LONGEST = 1 << 20  # bytes of a part


def jobs_in(packed: bytes) -> Iterator[list[Any]]:
    """Yield the values of each job of a slice, unpacked when its turn has come."""
    unpacker = msgpack.Unpacker(raw=True, max_buffer_size=0)
    unpacker.feed(packed)
    jobs: Iterator[list[Any]] = iter(unpacker)
    return jobs


class Job:
    """One job as an executor receives it: what `claim.lua` packs, in its order, each value read when it is asked for.

    They are bytes where they hold text, and Lua, which has no nil inside a list, says false.
    """

    __slots__ = ("_values", "emitted", "generation", "id", "packed_msg")

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self.id: str = values[0].decode()
        self.packed_msg: bytes = values[1] or b"\xc0"
        self.generation = int(values[9] or 0)
        self.emitted = 0  # parts, so far

    @property
    def attempt(self) -> int:
        """1 for the first run."""
        return int(self._values[2])

    @property
    def timestamp(self) -> float:
        """When it was posted."""
        return float(self._values[3])

    @property
    def functions(self) -> list[str] | None:
        """The names of the listeners to run, when the post said so."""
        packed = self._values[4]
        names: list[str] | None = unpack(packed) if packed else None
        return names

    @property
    def callback(self) -> str | None:
        """The URL that is told of its end."""
        return self._values[5].decode() if self._values[5] else None

    @property
    def retries(self) -> int:
        """Attempts whose worker vanished."""
        return int(self._values[6] or 0)

    @property
    def queue(self) -> str:
        """The name of its queue."""
        name: str = self._values[7].decode()
        return name

    @property
    def token(self) -> str:
        """The fence of this attempt."""
        token: str = self._values[8].decode()
        return token


class Reaching(Protocol):
    """How a job gets at its namespace; see the methods of `Context` that do."""

    def post(self, job: Job, msg: Any, **options: Any) -> str:
        """Post a message one generation below a job; `options` are those of `MLQ.post`."""

    def store_data(self, data: Any, key: str | None, expiry: float | None) -> str:
        """Store a value."""

    def fetch_data(self, key: str) -> Any:
        """Fetch a value."""

    def block_until_result(self, job: Job, job_id: str, timeout: float | None) -> Any:
        """Wait for another job."""


class Voice(Protocol):
    """How what a listener says gets to the worker."""

    @property
    def reach(self) -> Reaching:
        """How its jobs get at their namespace."""

    def tell(self, frame: tuple[Any, ...]) -> None:
        """Send one frame."""

    def tell_part(self, job: Job, packed: bytes) -> None:
        """Send the next part of a job."""


class Context(Mapping[str, Any]):
    """The second argument of a listener; `ctx.update_progress(50)` and the original's `ctx["update_progress"](50)`."""

    def __init__(self, job: Job, msg: Any, worker: str, voice: Voice, began: float) -> None:
        """`began`: by time.monotonic."""
        self._job = job
        self._began = began
        self._started: float | None = None
        self._msg = msg
        self._worker = worker
        self._voice = voice
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
        if self._started is None:
            self._started = time.time() - (time.monotonic() - self._began)
        return {
            "id": job.id,
            "timestamp": job.timestamp,
            "worker": self._worker,
            "processing_started": self._started,
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
            self._voice.tell(("progress", self._job.id, self._job.token, packed))

    def emit(self, value: Any) -> None:
        """Give out a part of the result at once, to whoever follows the job: anything that a message can hold.

        Any thread of the listener may. Waits when Redis cannot keep up. Raises NotCarried; TooLarge over 1 MiB.
        """
        self.give(value)

    def give(self, value: Any) -> bytes:
        """Emit a value and return it as msgpack."""
        try:
            packed = pack(value, limit=LONGEST, what="part")
        except TooLarge as error:
            raise TooLarge(
                error.message, hint="emit it in smaller parts, or store it elsewhere and emit its address"
            ) from None
        self._voice.tell_part(self._job, packed)
        return packed

    def post(
        self,
        msg: Any,
        callback: str | None = None,
        functions: Sequence[str] | None = None,
        **options: Any,
    ) -> str:
        """Post another message into this namespace and return the id of its job; all as `MLQ.post` takes it.

        Raises Refused at the end of a chain of more than `limits.chain` jobs that post jobs, else as `MLQ.post` does.
        """
        return self._voice.reach.post(self._job, msg, callback=callback, functions=functions, **options)

    def store_data(self, data: Any, key: str | None = None, expiry: float | None = None) -> str:
        """Keep a value for other jobs of this namespace, and return its key: a random one when none is given.

        `expiry`: seconds until it is gone; None: it stays. Raises as `MLQ.store_data` does.
        """
        return self._voice.reach.store_data(data, key, expiry)

    def fetch_data(self, key: str) -> Any:
        """Return what was stored under a key. Raises DataNotFound, which is also a KeyError."""
        return self._voice.reach.fetch_data(key)

    def block_until_result(self, job_id: str | int, timeout: float | None = None) -> Any:
        """Wait until another job has ended and return its result. Meanwhile the worker runs others in a stand-in.

        Any thread of the listener may, but not one that runs an event loop: `await asyncio.to_thread(…)` there.

        Args:
            job_id: of any job of this namespace, in whatever state it is.
            timeout: seconds to wait; None: as long as this attempt may take.

        Raises:
            JobFailed: it is dead; JobCanceled; JobNotFound.
            WaitTimeout: it has not ended within `timeout` seconds, and goes on.
            Refused: it waits for this job itself, if by way of others; or this attempt was canceled or given back.
            Misuse: called on the thread of an event loop, or in a process that the listener has forked.
            StoreUnavailable: Redis stays away.
        """
        return self._voice.reach.block_until_result(self._job, str(job_id), timeout)

    def __getitem__(self, name: str) -> Any:
        if name in _KEYS:
            return getattr(self, name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_KEYS)

    def __len__(self) -> int:
        return len(_KEYS)


_KEYS = (
    "block_until_result",
    "emit",
    "fetch_data",
    "full_message",
    "post",
    "store_data",
    "update_progress",
)
