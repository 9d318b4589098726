"""Any value as JSON that every reader and every terminal takes: no broken Unicode, nothing that is obeyed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from mlq_cli.model.durations import show_instant
from mlq_cli.model.jsonable import plain

INSTANTS = frozenset({"timestamp", "processing_started", "processing_finished", "due_at", "lease_until"})


#: JSON leaves these as they are; a terminal obeys some of them, and turns text around for others.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return one JSON document; on one line unless `indent` says otherwise."""
    # A result may be an integer of any size, or nested as deep as msgpack goes; it exists, so it is shown.
    sys.set_int_max_str_digits(0)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 5000))
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    text = _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.encode("utf-8", "replace").decode()  # a lone surrogate is no Unicode


def record(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a job with its instants as ISO 8601."""
    return {name: instant(value) if name in INSTANTS else value for name, value in job.items()}


def instant(value: float | None) -> str | None:
    """Return Unix seconds as ISO 8601 in UTC."""
    return None if value is None else show_instant(value)
