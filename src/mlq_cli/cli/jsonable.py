"""Any value a message or a result can be, as JSON that every reader takes: no NaN, no broken Unicode, no lost bytes."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from mlq_cli.model.durations import show_instant

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


def plain(value: Any) -> Any:
    """Return a value made of what JSON has. Bytes become {"$bytes": base64}, dates ISO 8601, arrays nested lists."""
    # One frame a level, since messages are nested up to 512 deep: loops, no comprehensions.
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            pairs = {}
            for key, each in value.items():
                pairs[_key(key)] = plain(each)
            return pairs
        case tuple() if type(value).__name__ == "ExtType":  # a msgpack type that nobody here knows
            return {"$ext": value[0], "$bytes": base64.b64encode(value[1]).decode()}
        case list() | tuple() | set() | frozenset():
            items = []
            for each in value:
                items.append(plain(each))
            return items
        case bytes() | bytearray() | memoryview():
            return {"$bytes": base64.b64encode(value).decode()}
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
    if hasattr(value, "tolist"):  # numpy, which is not imported to find out
        listed = value.tolist()
        return str(value) if type(listed) is type(value) else plain(listed)
    return str(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, bytes):
        return key.decode("utf-8", "backslashreplace")
    return json.dumps(key) if key is None or isinstance(key, (bool, int)) else str(key)
