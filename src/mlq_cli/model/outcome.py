"""What became of one attempt. `finish` turns it into the job's next state."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """How an attempt ended; `finish.lua` decides by this word."""

    DONE = "done"  # the listener returned
    ERROR = "error"  # it raised, overran its timeout, or returned what cannot be carried
    CRASH = "crash"  # its executor died without an outcome
    UNKNOWN = "unknown"  # this worker has none of the functions that the job asks for
    LATER = "later"  # it was put off before it began in earnest: no attempt is spent
    FINAL = "final"  # it raised, and no rerun would help


class PutOff(Exception):
    """Raised by a listener of our own: the job shall be run again in so many seconds, and this was no attempt."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"put off for {seconds:g} s")
        self.seconds = seconds


class Final(Exception):
    """Raised by a listener of our own: the job has failed for good, whatever retries are left."""


class Outcome(NamedTuple):
    """The end of one attempt of one job, fenced by the token of its claim; in the order in which `finish.lua` reads.

    For `done`, `first` is the short result as `=` and its UTF-8, or empty for none, and `second` the result as msgpack.
    For `later`, `first` is the number of seconds to wait. Otherwise `first` is the type of the error, `second` its
    message and `third` the traceback, all UTF-8.
    """

    id: str
    token: str
    kind: str  # one of Kind
    seconds: float  # how long the listener ran
    first: bytes
    second: bytes
    third: bytes = b""
