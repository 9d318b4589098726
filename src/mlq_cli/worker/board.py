"""The board: memory that a worker and one executor share, on which the executor notes what it has begun.

It also keeps the outcomes that the executor has not sent yet. So whatever becomes of the executor, and even while a job
holds the interpreter's lock in C code, the worker knows what runs, since when, and what has ended before it.

Every word has one writer, and is written whole. Only taking back what was not begun needs both sides (`recall`): there
the worker waits for longer than any processor keeps a store to itself.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from typing import NamedTuple

WIDTH = 100  # jobs that one executor may run at a time, async ones
#: A mark names a job: the number of its slice, and its place in it.
PLACE_BITS = 8
MOST = 1 << PLACE_BITS  # a slice has fewer jobs

_RECALL, _LIMIT, _LEAVE, _UNSENT = range(4)  # words (`_LIMIT`: the first mark that must not be run); then the slots
_SLOTS = 4  # a mark and an instant each
_OUTCOMES = 4096  # where the unsent outcomes begin, in bytes
_SIZE = _OUTCOMES + (1 << 16)
_COUNT_BITS = 32  # of `_UNSENT`: the bytes; above them, which lot of outcomes they are
_LOTS = 1 << 31  # then they are counted from the beginning
_SETTLED = 0.001  # seconds after which each side surely sees what the other wrote


class Begun(NamedTuple):
    """What an executor runs, or ran last, in one of its places."""

    mark: int
    at: float  # by time.monotonic, which processes of one machine share


class Board:
    """Both ends of it: the worker makes one, the executor opens it by its descriptor."""

    def __init__(self, descriptor: int | None = None) -> None:
        """Raises OSError."""
        self._file = _nameless() if descriptor is None else descriptor
        self._memory = mmap.mmap(self._file, _SIZE)
        whole = memoryview(self._memory)
        self._words, self._instants = whole[:_OUTCOMES].cast("q"), whole[:_OUTCOMES].cast("d")
        self._lot = 0
        self._used = 0

    def fileno(self) -> int:
        """The descriptor to open it by."""
        return self._file

    def close_file(self) -> None:
        """Let go of the descriptor; the memory stays until nobody holds this object any more."""
        os.close(self._file)

    # --- the executor's side ---------------------------------------------------------------------------------------
    def begin(self, mark: int, at: float, slot: int = 0) -> None:
        """Note that a job begins."""
        place = _SLOTS + 2 * slot
        self._instants[place + 1] = at
        self._words[place] = mark

    def recalled(self, mark: int) -> bool:
        """Whether the job at `mark`, noted as begun, was taken back in this moment and must not be run."""
        number = mark >> PLACE_BITS
        if self._words[_RECALL] != number:
            return False
        # The worker is about to say where it has drawn the line. Nobody else knows, so one that is frozen just now is
        # waited for; one that dies takes us along.
        while self._words[_LIMIT] >> PLACE_BITS != number:
            time.sleep(_SETTLED / 4)
        limit: int = self._words[_LIMIT]
        return mark >= limit

    @property
    def asked_to_leave(self) -> bool:
        """Whether the executor shall end after the slice it has."""
        return self._words[_LEAVE] != 0

    def keep(self, frame: bytes) -> bool:
        """Keep an outcome until it is sent; False when there is no room for it."""
        begin = _OUTCOMES + self._used
        end = begin + len(frame)
        if end > _SIZE:
            return False
        self._memory[begin:end] = frame
        self._used = end - _OUTCOMES
        self._words[_UNSENT] = self._lot << _COUNT_BITS | self._used
        return True

    def sent(self) -> None:
        """Note that all outcomes that were kept have been sent."""
        self._lot = (self._lot + 1) % _LOTS
        self._used = 0
        self._words[_UNSENT] = self._lot << _COUNT_BITS

    # --- the worker's side -----------------------------------------------------------------------------------------
    def begun(self, slot: int = 0) -> Begun:
        """Return what runs in one place, or ran last."""
        place = _SLOTS + 2 * slot
        mark = self._words[place]
        return Begun(mark, self._instants[place + 1])

    def recall(self, number: int) -> int | None:
        """Take back what has not begun of a slice, wherever the executor is.

        Returns the mark of the last job that has begun, None when it is not at that slice and will run none of it.
        """
        before = self._words[_RECALL]
        if before and number != before == self._words[_SLOTS] >> PLACE_BITS:
            return None  # it may still be at a slice that was recalled before, and that must stay so
        self._words[_RECALL] = number
        time.sleep(_SETTLED)
        last: int = self._words[_SLOTS]
        at_it = last >> PLACE_BITS == number
        # Never the mark of another slice: when that is recalled one day, its line would seem to be drawn already.
        self._words[_LIMIT] = last + 1 if at_it else number << PLACE_BITS
        return last if at_it else None

    def ask_to_leave(self) -> None:
        """Let the executor end after the slice it has."""
        self._words[_LEAVE] = 1

    def unsent(self) -> bytes:
        """Return the outcomes that are kept, or nothing when they are being sent right now."""
        before = self._words[_UNSENT]
        used = before & ((1 << _COUNT_BITS) - 1)
        if not 0 < used <= _SIZE - _OUTCOMES:
            return b""
        time.sleep(_SETTLED)
        kept = bytes(self._memory[_OUTCOMES : _OUTCOMES + used])
        return kept if self._words[_UNSENT] >> _COUNT_BITS == before >> _COUNT_BITS else b""


def _nameless() -> int:
    """Return the descriptor of a file without a name, as long as a board."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("mlq-board")
    else:
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    os.ftruncate(number, _SIZE)
    return number
