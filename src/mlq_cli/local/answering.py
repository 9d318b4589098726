"""What jobs in executors of a local run ask of it, and the answers: the parent's end of `worker/asking.py`.

An answer goes down the socket that the executor's words come up; what it does not take at once waits here.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

from mlq_cli.local.entry import Entry
from mlq_cli.model.errors import MlqError, WaitTimeout
from mlq_cli.model.generation import enter
from mlq_cli.model.values import pack, unpack
from mlq_cli.store.waits import refusal
from mlq_cli.worker.asking import told
from mlq_cli.worker.executor import Executor

if TYPE_CHECKING:
    from mlq_cli.local.local import Local

_VERBS = ("post", "store", "fetch", "wait")
PATIENCE = 0.01  # seconds until an executor that did not take all of an answer is offered the rest


@dataclass(slots=True, eq=False)
class _Waiting:
    """A job that blocks on another one."""

    executor: Executor
    serial: int
    job: Entry
    token: str
    other: Entry
    deadline: float | None
    over: Callable[[], object]


class Answering:
    """Answers executors, in the thread that listens to them."""

    def __init__(self, local: Local) -> None:
        self._local = local
        self._waiting: list[_Waiting] = []
        self._unsent: dict[Executor, bytearray] = {}

    def hear(self, executor: Executor, serial: int, job_id: str, token: str, verb: str, packed: bytes) -> None:
        """Take in a question. Raises ValueError for what is none."""
        asked = unpack(packed)
        if not isinstance(asked, dict) or verb not in _VERBS:
            raise ValueError("not a question")
        try:
            match verb:
                case "post":
                    context = copy_context()
                    context.run(enter, self._job(job_id, token).options.generation + 1)
                    answer = context.run(self._local.post_from_job, **asked)
                case "store":
                    answer = self._local.store_data(**asked)
                case "fetch":
                    answer = self._local.fetch_data(**asked)
                case _:
                    self._wait(executor, serial, self._job(job_id, token), **asked)
                    return
        except Exception as error:  # noqa: BLE001  what the job gave did not fit: it hears that, and goes on or fails
            self._send(executor, serial, told(error))
        else:
            self._send(executor, serial, [None, pack(answer)])

    def _job(self, job_id: str, token: str) -> Entry:
        job = self._local.book.running(job_id, token)
        if job is None:
            raise refusal(job_id, "", "lost", ())
        return job

    def _wait(self, executor: Executor, serial: int, job: Entry, *, other: str, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        wait = self._local.book.wait_of(job.id, other)
        awaited = wait.__enter__()  # left when the answer is sent
        self._waiting.append(
            _Waiting(executor, serial, job, job.token, awaited, deadline, lambda: wait.__exit__(None, None, None))
        )

    def look_after(self, now: float) -> None:
        """Answer those whose wait is over, and send what is left of answers."""
        for waiting in self._waiting[:] if self._waiting else ():
            late = waiting.deadline is not None and now >= waiting.deadline
            gone = waiting.job.token != waiting.token or waiting.job.state.terminal
            if not (waiting.other.state.terminal or late or gone):
                continue
            self._waiting.remove(waiting)
            waiting.over()
            if gone:
                continue  # nobody waits for it any more
            if not waiting.other.state.terminal:
                late_error = WaitTimeout(f"job {waiting.other.id} has not ended in time; it goes on")
                self._send(waiting.executor, waiting.serial, told(late_error))
                continue
            try:
                result = self._local.get_result(waiting.other.id)
                self._send(waiting.executor, waiting.serial, [None, pack(result)])
            except MlqError as error:
                self._send(waiting.executor, waiting.serial, told(error))
        for executor in list(self._unsent):
            self._send_rest(executor)

    def next_look(self, now: float) -> float | None:
        """Return the seconds until something has to be done, None when nothing has."""
        if self._unsent:
            return PATIENCE
        deadlines = [waiting.deadline for waiting in self._waiting if waiting.deadline is not None]
        return max(0.0, min(deadlines) - now) if deadlines else None

    def _send(self, executor: Executor, serial: int, answer: list[Any]) -> None:
        self._unsent.setdefault(executor, bytearray()).extend(msgpack.packb([serial, *answer]))
        self._send_rest(executor)

    def _send_rest(self, executor: Executor) -> None:
        rest = self._unsent[executor]
        try:
            while rest:
                del rest[: executor.reader.socket.send(rest, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            return
        except OSError:
            pass  # it has ended
        del self._unsent[executor]
