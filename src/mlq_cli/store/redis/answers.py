"""What the scripts answer, read into what `store/base.py` promises."""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgpack

from mlq_cli.model.errors import MlqError
from mlq_cli.model.job import State
from mlq_cli.store.base import Claimed, Claims, Entry, Held, Posted, Swept
from mlq_cli.store.redis import layout


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """Return the fields of a hash."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def read_posted(answer: list[Any], jobs: int) -> Posted:
    """Read the answer of `post` to so many messages without ids of their own."""
    _, created, before = answer
    return Posted([str(number) for number in range(before + 1, before + jobs + 1)], created)


def number(value: bytes | None) -> float | None:
    """Return a counter; None when there is none, or what somebody else has written there is no number."""
    try:
        read = float(value or "")
    except ValueError:
        return None
    return read if isfinite(read) else None


def counter(name: str, value: float) -> tuple[str, float]:
    """Return a counter as users see it: times in seconds."""
    return (f"{name.removesuffix('_us')}_seconds", value / 1e6) if name.endswith("_us") else (name, value)


def read_state(answer: bytes | None) -> State | None:
    """Read the field of a job's state."""
    return None if answer is None else layout.state_of(answer)


def read_claims(answer: list[Any]) -> Claims:
    """Read the answer of `claim`."""
    timeouts = [float(timeout) if timeout else None for timeout in answer[6::3]]
    jobs = list(map(Claimed, map(bytes.decode, answer[5::3]), timeouts, answer[7::3]))  # once a job: it shall be short
    next_due, withheld = (float(seconds) if seconds else None for seconds in answer[2:4])
    return Claims(jobs, answer[1] == 1, next_due, withheld, msgpack.unpackb(answer[4]) if answer[4] else None)


def read_reasons(answer: list[Any]) -> dict[str, str]:
    """Read the answer of `finish`: which were refused, and why."""
    return {job_id.decode(): _word(why) for job_id, why in zip(answer[1::2], answer[2::2], strict=True)}


def read_let_go(answer: list[Any]) -> dict[Held, str]:
    """Read the answer of `heartbeat`: which to let go, and why."""
    triples = zip(answer[1::3], answer[2::3], answer[3::3], strict=True)
    return {Held(job_id.decode(), token.decode()): why.decode() for job_id, token, why in triples}


def read_verdicts(answer: list[Any]) -> list[str]:
    """Read a word for each id."""
    return [_word(word) for word in answer[1:]]


def _word(word: bytes) -> str:
    """Return a word, or the state that stands there as a letter."""
    return word.decode() if len(word) > 1 else layout.state_of(word).value


def read_entry(entry_id: bytes, fields: list[bytes]) -> Entry:
    """Read an entry of a job's stream. Of a state stands its letter there, and behind it what went wrong.

    One that somebody else has written is `unreadable`: whoever follows goes on behind it.
    """
    try:
        kind, value, attempt = layout.entry_of(fields)
        if kind == "state":
            state = {"state": layout.state_of(value[:1]).value, "error": value[1:].decode(errors="replace") or None}
            value = msgpack.packb(state)
    except (KeyError, ValueError, MlqError):
        return Entry(entry_id.decode(), "unreadable", b"\xc0", 0)
    return Entry(entry_id.decode(), kind, value if kind != "reset" else b"\xc0", attempt)


def read_number(answer: list[Any]) -> int:
    """Read a number."""
    return int(answer[1])


def read_swept(answer: list[Any]) -> Swept:
    """Read the answer of `sweep`."""
    given_back, promoted, forgotten, grace, offset = answer[1:]
    return Swept(given_back, promoted, forgotten, float(grace), None if offset < 0 else offset)
