"""A job's hash in Redis, read into the record that users see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlq_cli.model.job import Record, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.values import pack, unpack


def option_fields(options: PostOptions) -> list[str | int | float | bytes]:
    """Return the hash fields that a post's options become: name, value, …; what is not said takes no space."""
    fields: list[str | int | float | bytes] = []
    for name, value in (
        ("priority", options.priority or None),
        ("retries_allowed", options.retries),
        ("timeout", options.timeout),
        ("callback", options.callback),
        ("generation", options.generation or None),
    ):
        if value is not None:
            fields += [name, value]
    if options.functions is not None:
        fields += ["functions", pack(list(options.functions))]
    return fields


def read_record(job_id: str, fields: Mapping[bytes, bytes]) -> Record:
    """Return the record of a job from the fields of its hash, message and result among them.

    `score`, which no hash has, is the job's in its state set: until when it runs or waits.
    """
    state = State(fields[b"state"].decode())
    return Record(
        id=job_id,
        timestamp=float(fields.get(b"timestamp", b"0")),
        worker=_text(fields, b"worker"),
        processing_started=_number(fields, b"processing_started"),
        processing_finished=_number(fields, b"processing_finished"),
        progress=_progress(state, fields),
        short_result=_text(fields, b"short_result"),
        # The original puts the error where the result would be, so that a loop which waits for one comes to an end.
        result=_text(fields, b"error") if state is State.DEAD else _value(fields, b"result"),
        callback=_text(fields, b"callback"),
        retries=_count(fields, b"retries"),
        functions=_value(fields, b"functions"),
        msg=_value(fields, b"msg"),
        state=state,
        queue=_text(fields, b"queue") or "default",
        priority=_count(fields, b"priority"),
        attempt=_count(fields, b"attempt"),
        due_at=_number(fields, b"score") if state is State.SCHEDULED else None,
        lease_until=_number(fields, b"score") if state is State.RUNNING else None,
        timeout=_number(fields, b"timeout"),
        retries_allowed=int(fields[b"retries_allowed"]) if b"retries_allowed" in fields else None,
        failures=_count(fields, b"failures"),
        crashes=_count(fields, b"crashes"),
        error=_error(fields),
        error_type=_text(fields, b"error_type"),
        traceback=_text(fields, b"traceback") or None,
    )


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = fields.get(name)
    return None if value is None else value.decode(errors="replace")


def _number(fields: Mapping[bytes, bytes], name: bytes) -> float | None:
    value = fields.get(name)
    return None if value is None else float(value)


def _count(fields: Mapping[bytes, bytes], name: bytes) -> int:
    return int(fields.get(name, b"0"))


def _value(fields: Mapping[bytes, bytes], name: bytes) -> Any:
    packed = fields.get(name)
    return unpack(packed) if packed else None


def _progress(state: State, fields: Mapping[bytes, bytes]) -> Any:
    match state:
        case State.SUCCEEDED:
            return 100
        case State.DEAD:
            return -1
        case State.RUNNING:
            return unpack(fields[b"progress"]) if b"progress" in fields else 0
    return None


def _error(fields: Mapping[bytes, bytes]) -> str | None:
    """`ValueError: no such image`; None when nothing went wrong, or when it went right in the end."""
    kind, message = _text(fields, b"error_type"), _text(fields, b"error")
    if kind is None and message is None:
        return None
    return f"{kind}: {message}" if message else kind
