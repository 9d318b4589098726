"""One job of a local run, and its record as a store would give it."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgpack

from mlq_cli.model.job import Record, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.values import pack, unpack

PARTS = 10_000  # of what a job emits, the newest are kept


def new_token() -> str:
    """Return a random token for an attempt."""
    return str(int.from_bytes(os.urandom(8)) >> 1)


@dataclass(slots=True, eq=False)
class Entry:
    """One job; messages, results and progress as msgpack."""

    id: str
    number: int  # in the order of posting
    message: bytes
    options: PostOptions
    posted_at: float
    lasting: bool = True  # kept until the run is closed, for somebody was given its id by itself
    state: State = State.QUEUED
    due_at: float | None = None
    token: str = ""  # the fence of the attempt that runs
    worker: str | None = None
    spent: int = 0  # attempts that are over and did not succeed
    failures: int = 0
    crashes: int = 0
    began_at: float | None = None
    ended_at: float | None = None
    progress: bytes | None = None
    short_result: str | None = None
    result: bytes | None = None
    error_type: str | None = None
    error: str | None = None
    traceback: str | None = None
    exception: BaseException | None = None  # what the listener raised, where that happened in this process
    parts: deque[bytes] = field(default_factory=lambda: deque(maxlen=PARTS))
    emitted: int = 0  # parts of the attempt that runs, or ran last

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        texts = (self.error, self.traceback, self.short_result)
        return 500 + len(self.message) + len(self.result or b"") + sum(len(text) for text in texts if text)

    def frame(self) -> bytes:
        """Return what an executor is given, as `lib/frame.lua` packs it and `Job` reads it."""
        options = self.options
        functions = False if options.functions is None else pack(list(options.functions))
        values: list[Any] = [
            self.id, self.message, self.spent + 1, self.posted_at, functions, options.callback or False, False,
            options.queue, self.token, options.generation or False,
        ]  # fmt: skip
        framed: bytes = msgpack.packb(values)
        return framed

    def begin(self, worker: str, token: str, now: float) -> None:
        """Note that an attempt begins."""
        self.state, self.worker, self.token, self.began_at = State.RUNNING, worker, token, now
        self.progress, self.emitted = None, 0
        self.parts.clear()

    def record(self, position: int | None = None) -> Record:
        """Return what users see."""
        options, state = self.options, self.state
        running = unpack(self.progress) if self.progress is not None else 0
        progress = {State.SUCCEEDED: 100, State.DEAD: -1, State.RUNNING: running}.get(state)
        error = f"{self.error_type}: {self.error}" if self.error else self.error_type
        return Record(
            id=self.id,
            timestamp=self.posted_at,
            worker=self.worker,
            processing_started=self.began_at,
            processing_finished=self.ended_at,
            progress=progress,
            short_result=self.short_result,
            result=self.error if state is State.DEAD else None if self.result is None else unpack(self.result),
            callback=options.callback,
            retries=0,
            functions=None if options.functions is None else list(options.functions),
            msg=unpack(self.message),
            state=state,
            queue=options.queue,
            priority=options.priority,
            attempt=self.spent + (state in (State.RUNNING, State.SUCCEEDED)),
            due_at=self.due_at if state is State.SCHEDULED else None,
            lease_until=None,
            timeout=options.timeout,
            callback_method=options.callback_method if options.callback else None,
            retries_allowed=options.retries,
            failures=self.failures,
            crashes=self.crashes,
            error=error,
            error_type=self.error_type,
            traceback=self.traceback,
            position=position,
            estimated_wait=None,
        )
