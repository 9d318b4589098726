"""A job's hash in Redis, read into the record that users see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlq_cli.model.job import Record, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.rules import Retention
from mlq_cli.model.values import pack, unpack
from mlq_cli.store.redis.layout import field, state_of


def option_fields(options: PostOptions) -> list[str | int | float | bytes]:
    """Return the hash fields that a post's options become: name, value, …; what is not said takes no space."""
    fields: list[str | int | float | bytes] = []
    for name, value in (
        ("priority", options.priority or None),
        ("retries_allowed", options.retries),
        ("timeout", options.timeout),
        ("callback", options.callback),
        ("callback_method", options.callback_method if options.callback and options.callback_method != "GET" else None),
        ("callback_public", 1 if options.callback and options.callback_public else None),
        ("generation", options.generation or None),
    ):
        if value is not None:
            fields += [field(name), value]
    if options.functions is not None:
        fields += [field("functions"), pack(list(options.functions))]
    return fields


def call_fields(paths: Sequence[str | None]) -> dict[str, Any]:
    """Return what `post` is told of messages that are calls: what each asks for, None where it is no call."""
    kinds = [path for path in dict.fromkeys(paths) if path is not None]
    places = {path: place for place, path in enumerate(kinds, 1)}
    return {"asked": [pack([path]) for path in kinds], "kinds": [places.get(path, 0) if path else 0 for path in paths]}


def read_record(job_id: str, fields: Mapping[str, bytes]) -> Record:
    """Return the record of a job from the fields of its hash by readable names, message and result among them.

    What no hash has: `score` is the job's in its state set, until when it runs or waits, and `rank` its place there.
    """
    state = state_of(fields.get("state", b""))
    return Record(
        id=job_id,
        timestamp=_instant(fields, "timestamp") or 0.0,
        worker=_text(fields, "worker"),
        processing_started=_instant(fields, "processing_started"),
        processing_finished=_instant(fields, "processing_finished"),
        progress=_progress(state, fields),
        short_result=_text(fields, "short_result"),
        # The original puts the error where the result would be, so that a loop which waits for one comes to an end.
        result=_text(fields, "error") if state is State.DEAD else _value(fields, "result"),
        callback=_text(fields, "callback"),
        retries=_count(fields, "retries"),
        functions=_value(fields, "functions"),
        msg=_value(fields, "msg"),
        state=state,
        queue=_text(fields, "queue") or "default",
        priority=_count(fields, "priority"),
        attempt=attempt_of(fields),
        due_at=_instant(fields, "score") if state is State.SCHEDULED else None,
        lease_until=_instant(fields, "score") if state is State.RUNNING else None,
        timeout=_number(fields, "timeout"),
        callback_method=_text(fields, "callback_method") or ("GET" if "callback" in fields else None),
        retries_allowed=int(fields["retries_allowed"]) if "retries_allowed" in fields else None,
        failures=_count(fields, "failures"),
        crashes=_count(fields, "crashes"),
        error=_error(fields),
        error_type=_text(fields, "error_type"),
        traceback=_text(fields, "traceback") or None,
        position=int(fields["rank"]) if "rank" in fields else None,
        estimated_wait=None,
    )


def attempt_of(fields: Mapping[str, bytes]) -> int:
    """Return how often a job was claimed: the attempt that runs, or has succeeded, is not counted as spent."""
    state = state_of(fields.get("state", b""))
    return _count(fields, "spent") + (state in (State.RUNNING, State.SUCCEEDED))


def _text(fields: Mapping[str, bytes], name: str) -> str | None:
    value = fields.get(name)
    return None if value is None else value.decode(errors="replace")


def _number(fields: Mapping[str, bytes], name: str) -> float | None:
    value = fields.get(name)
    return None if value is None else float(value)


def _instant(fields: Mapping[str, bytes], name: str) -> float | None:
    """Seconds, of what is kept as whole microseconds."""
    value = fields.get(name)
    return None if value is None else float(value) / 1e6


def _count(fields: Mapping[str, bytes], name: str) -> int:
    return int(fields.get(name, b"0"))


def _value(fields: Mapping[str, bytes], name: str) -> Any:
    packed = fields.get(name)
    return unpack(packed) if packed else None


def _progress(state: State, fields: Mapping[str, bytes]) -> Any:
    match state:
        case State.SUCCEEDED:
            return 100
        case State.DEAD:
            return -1
        case State.RUNNING:
            return unpack(fields["progress"]) if "progress" in fields else 0
    return None


def _error(fields: Mapping[str, bytes]) -> str | None:
    """`ValueError: no such image`; None when nothing went wrong, or when it went right in the end."""
    kind, message = _text(fields, "error_type"), _text(fields, "error")
    if kind is None and message is None:
        return None
    return f"{kind}: {message}" if message else kind


def retention_fields(rule: Retention) -> dict[str, float]:
    """Return the limits that a rule of retention has, as scripts take them."""
    limits = {"age": rule.age, "count": rule.count, "dead_age": rule.dead_age}
    return {name: value for name, value in limits.items() if value is not None}
