"""What a job in an executor of a local run reaches: it asks the process that started the run, over the executor's pipe.

["ask", serial, job, token, verb, packed]  ─▶       ◀─ [serial, None, packed]   or   [serial, class, arguments, hint]
"""

from __future__ import annotations

import builtins
import os
import queue
import socket
import threading
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any

import msgpack

from mlq_cli.model import errors
from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.model.values import pack, unpack
from mlq_cli.worker.context import Job, Voice
from mlq_cli.worker.reach import refuse_loop


class Asking:
    """Serves all jobs of one executor; any thread of them may call."""

    def __init__(self, answers: socket.socket, voice: Voice, limit: int | None) -> None:
        """`limit`: bytes of a result; what is asked may be as large."""
        self._answers = answers
        self._limit = limit
        self._voice = voice
        self._pid = os.getpid()
        self._serials = count(1)
        self._waiting: dict[int, queue.SimpleQueue[list[Any]]] = {}
        self._starting = threading.Lock()
        self._reading = False

    def close(self) -> None:
        """The pipe is the executor's to close."""

    def post(self, job: Job, msg: Any, **options: Any) -> str:
        """Post one generation below a job."""
        if isinstance(msg, partial):
            from mlq_cli.worker.travelling import own_call

            msg = own_call(msg)
        job_id: str = self._ask(job, "post", msg=msg, **options)
        return job_id

    def store_data(self, data: Any, key: str | None, expiry: float | None) -> str:
        """Store a value."""
        stored: str = self._ask(None, "store", data=data, key=key, expiry=expiry)
        return stored

    def fetch_data(self, key: str) -> Any:
        """Fetch a value."""
        return self._ask(None, "fetch", key=key)

    def block_until_result(self, job: Job, job_id: str, timeout: float | None) -> Any:
        """Wait for another job and return its result; meanwhile a stand-in runs others."""
        refuse_loop()
        self._voice.tell(("blocked", job.id, job.token))
        try:
            return self._ask(job, "wait", other=job_id, timeout=timeout)
        finally:
            self._voice.tell(("resumed", job.id, job.token))

    def _ask(self, job: Job | None, verb: str, **named: Any) -> Any:
        if os.getpid() != self._pid:
            raise Misuse("a process that the listener has forked cannot ask", hint="do it in the one that runs the job")
        packed = pack(named, limit=self._limit and 2 * self._limit, what="value")
        serial, answer = next(self._serials), queue.SimpleQueue[list[Any]]()
        self._waiting[serial] = answer
        self._voice.tell(("ask", serial, job.id if job else "", job.token if job else "", verb, packed))
        with self._starting:
            if not self._reading:
                self._reading = True
                threading.Thread(target=self._read, daemon=True, name="mlq-answers").start()
        name, value, *rest = answer.get()
        if name is None:
            return unpack(value)
        raise error_of(name, value, *rest)

    def _read(self) -> None:
        unpacker = msgpack.Unpacker(max_buffer_size=0)
        while data := self._answers.recv(1 << 16):
            unpacker.feed(data)
            for serial, *answer in unpacker:
                self._waiting.pop(serial).put(answer)


def told(error: Exception) -> list[Any]:
    """Return an error as msgpack can carry it; one that is not ours as a TypeError or a ValueError."""
    if not isinstance(error, MlqError):
        return [(TypeError if isinstance(error, TypeError) else ValueError).__name__, [str(error)], None]
    match error:
        case errors.JobFailed():
            arguments = [error.job_id, error.error, error.traceback]
        case errors.JobCanceled() | errors.JobNotFound():
            arguments = [error.job_id]
        case errors.DataNotFound():
            arguments = [error.key]
        case _ if "__init__" in vars(type(error)):  # one that makes its message of something else
            return ["MlqError", [error.message], error.hint]
        case _:
            arguments = [error.message]
    return [type(error).__name__, arguments, error.hint]


def error_of(name: str, arguments: Sequence[Any], hint: str | None) -> Exception:
    """Return the error that `told` was given."""
    error: Exception = (getattr(errors, name, None) or getattr(builtins, name))(*arguments)
    if isinstance(error, MlqError):
        error.hint = hint
    return error
