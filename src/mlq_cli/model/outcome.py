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


class Outcome(NamedTuple):
    """The end of one attempt of one job, fenced by the token of its claim; in the order in which `finish.lua` reads.

    For `done`, `first` is the short result as `=` and its UTF-8, or empty for none, and `second` the result as msgpack.
    Otherwise `first` is the type of the error, `second` its message and `third` the traceback, all UTF-8.
    """

    id: str
    token: str
    kind: str  # one of Kind
    seconds: float  # how long the listener ran
    first: bytes
    second: bytes
    third: bytes = b""
