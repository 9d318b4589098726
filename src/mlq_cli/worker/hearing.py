"""What executors say of jobs, made into outcomes, parts and progress for Redis.

A job may write to the pipe what it likes: nothing of a wrong type must get any further.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.store.base import Part, Progress
from mlq_cli.worker.context import LONGEST
from mlq_cli.worker.executor import Executor
from mlq_cli.worker.failure import first_line
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.pipe import read_frames
from mlq_cli.worker.supply import Supply

log = logging.getLogger("mlq.worker")

AGES = 1e10  # seconds that an attempt may have taken
MANY = 1 << 53  # parts that an attempt may emit
READS = 64  # of a pipe, after which all is heard that was in it: whoever emits without end is not waited for
_FAILED = frozenset((Kind.ERROR.value, Kind.FINAL.value))
_ENDS = _FAILED | {Kind.DONE.value, Kind.UNKNOWN.value, Kind.LATER.value}  # that an executor can tell of


class Hearing:
    """Listens to the executors of one lane."""

    def __init__(self, supply: Supply, outbox: Outbox, on_word: Callable[[Executor, list[Any]], None]) -> None:
        """`on_word` is told what an executor says of itself, and raises ValueError when that is nothing of the kind."""
        self._supply = supply
        self._outbox = outbox
        self._on_word = on_word
        self.done = 0

    def hear(self, executor: Executor) -> None:
        """Take in what an executor has sent."""
        self._take_in(executor, executor.reader.read())

    def hear_all(self, executor: Executor) -> None:
        """Take in all that an executor has sent."""
        executor.reader.drained = False
        for _ in range(READS):
            if executor.reader.ended or executor.reader.drained:
                break
            self.hear(executor)

    def hear_last(self, executor: Executor) -> None:
        """Take in all that an executor had to say before it ended."""
        self.hear_all(executor)
        self.hear_unsent(executor)

    def hear_unsent(self, executor: Executor) -> None:
        """Take in the outcomes that an executor has not sent yet; when it sends them they are known already."""
        if not (unsent := executor.board.unsent()):
            return
        self.hear_all(executor)  # what these jobs have emitted was sent before they ended
        unpacker = msgpack.Unpacker()
        unpacker.feed(unsent)
        self._take_in(executor, read_frames(unpacker))

    def _take_in(self, executor: Executor, frames: Iterable[list[Any]]) -> None:
        settled, progress, add = self._supply.settled, self._outbox.progress, self._outbox.outcomes.append
        emitting, late = self._outbox.parts.of_jobs, self._outbox.late.append
        try:
            for frame in frames:
                if len(frame) != 7:
                    self._other(executor, frame)
                    continue
                kind, job_id, token, seconds, first, second, third = frame  # an attempt has ended: this shall be short
                texts = type(first) is type(second) is type(third) is bytes
                if not (texts and kind in _ENDS and type(seconds) is float and 0.0 <= seconds < AGES):
                    raise ValueError("not an outcome")
                if settled(job_id, token, seconds) is None:
                    continue  # it was taken away from this worker, is known already, or is of an earlier attempt
                outcome = Outcome(job_id, token, kind, seconds, first, second, third)
                late(outcome) if job_id in emitting else add(outcome)
                self.done += 1
                if progress:
                    progress.pop(job_id, None)
                if kind in _FAILED:
                    log.warning("job %s failed: %s: %s", job_id, first.decode(), first_line(second))
        except (ValueError, TypeError, KeyError) as error:
            log.error("an executor sent a broken frame and is killed: %s", error)
            executor.condemn("ExecutorCrash", f"something else than outcomes was written to its pipe: {error}")
            executor.reader.ended = True

    def _other(self, executor: Executor, frame: list[Any]) -> None:
        match frame:
            case ["progress", str() as job_id, str() as token, bytes() as value]:
                if (job := self._supply.slices.jobs.get(job_id)) is not None and job.token == token:
                    self._outbox.progress[job_id] = Progress(job_id, token, value)
            case ["part", str() as job_id, str() as token, int() as serial, bytes() as value]:
                if not (0 < serial < MANY and len(value) <= LONGEST):
                    raise ValueError("not a part")
                if (job := self._supply.slices.jobs.get(job_id)) is not None and job.token == token:
                    self._outbox.parts.add(Part(job_id, token, serial, value), executor.load)
            case _:
                self._on_word(executor, frame)
