"""What a job is called, which states it can be in, and what its record holds."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, TypedDict

from mlq_cli.model.errors import JobCanceled, JobFailed, Misuse

#: Jobs that `finish` posts to tell a callback URL; only mlq itself may post there.
CALLBACKS = "_callbacks"

#: What namespaces and queues may be called; queues of ours have a `_` before that.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OWN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")


class State(StrEnum):
    """The seven states. Each is a sorted set or list per queue in Redis, and a field of the job's record."""

    SCHEDULED = "scheduled"  # waits for a time: delayed, or between two attempts
    BLOCKED = "blocked"  # waits for other jobs
    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"  # a worker holds its lease
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    DEAD = "dead"  # gave up, waits for a person

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens to such a job by itself."""
        return self in TERMINAL


WAITING = (State.SCHEDULED, State.BLOCKED, State.QUEUED)
TERMINAL = (State.SUCCEEDED, State.CANCELED, State.DEAD)


class Record(TypedDict):
    """One job as users see it: the original's twelve fields, then ours. Instants are Unix seconds on Redis' clock."""

    id: str
    timestamp: float  # posted at
    worker: str | None  # name of the worker that runs it, or ran it last
    processing_started: float | None
    processing_finished: float | None
    progress: Any  # None queued, 0 started, what the listener set, 100 done, -1 failed
    short_result: str | None
    result: Any
    callback: str | None
    retries: int  # how often it was given back because its worker vanished
    functions: list[str] | None
    msg: Any
    state: State
    queue: str
    priority: int
    attempt: int  # runs so far
    due_at: float | None  # when a scheduled job becomes queued
    lease_until: float | None  # while running
    timeout: float | None  # seconds one attempt may take
    callback_method: str | None  # GET or POST; None without a callback
    retries_allowed: int | None  # reruns after an exception; None: the worker's default
    failures: int  # attempts that ended in an exception or a timeout
    crashes: int  # attempts whose executor died
    error: str | None  # "ValueError: no such image"
    error_type: str | None
    traceback: str | None
    position: int | None  # how many stand before it in its queue, None unless it is queued
    estimated_wait: float | None  # seconds until it begins, None when that cannot be told


def check_name(name: str, what: str, *, ours: bool = False) -> str:
    """Return `name` if it may name a namespace or a queue, raise Misuse otherwise. `ours` admits a leading `_`."""
    if ours and name == CALLBACKS:
        return name
    if not NAME.fullmatch(name):
        raise Misuse(
            f"{name!r} cannot name a {what}",
            hint="letters, digits, '.', '_' and '-', at most 64, beginning with a letter or a digit",
        )
    return name


def check_own_id(job_id: str) -> str:
    """Return an id that a caller brings along if it may be one, raise Misuse otherwise.

    A number alone is refused: those are handed out by the counter inside `post`, and the two must never meet. So is
    `count`: at /jobs/count there is the number of jobs.
    """
    if not _OWN_ID.fullmatch(job_id) or job_id.isdigit() or job_id == "count":
        raise Misuse(
            f"{job_id!r} cannot be a job id of your own",
            hint="letters, digits and . _ : @ -, at most 128, at least one of them no digit; and not 'count'",
        )
    return job_id


def result_of(record: Record) -> Any:
    """Return the result of a record, None while there is none. Raises JobFailed or JobCanceled."""
    if record["state"] is State.DEAD:
        raise JobFailed(record["id"], record["error"] or "no reason is known", record["traceback"])
    if record["state"] is State.CANCELED:
        raise JobCanceled(record["id"])
    return record["result"]


def progress_of(record: Record) -> Any:
    """Return what a running listener said last, or how the job stands, in the original's words."""
    if record["state"] is State.RUNNING:
        progress = record["progress"]
        return "[started]" if type(progress) is int and progress == 0 else progress
    words = {State.SUCCEEDED: "[completed]", State.DEAD: "[failed]", State.CANCELED: "[canceled]"}
    return words.get(record["state"], "[queued; not started]")
