"""Any value a message or a result can be, as what JSON has: no NaN, no lost bytes."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

from mlq_cli.model.call import Call

_DIGITS = 14_000  # bits of an integer that Python still writes in decimal by itself; beyond takes quadratic time


def to_json(value: Any) -> bytes:
    """Return one JSON document in UTF-8. An integer of more than some 4000 digits is {"$int": hexadecimal}."""
    try:
        return _encode(plain(value))
    except ValueError:  # it holds such an integer
        return _encode(_in_hexadecimal(plain(value)))


def _encode(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # a lone surrogate is no Unicode


def _in_hexadecimal(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > _DIGITS:
        return {"$int": hex(value)}
    if isinstance(value, dict):
        for key in value:
            value[key] = _in_hexadecimal(value[key])
    elif isinstance(value, list):
        for index in range(len(value)):
            value[index] = _in_hexadecimal(value[index])
    return value


def plain(value: Any) -> Any:
    """Return a value made of what JSON has. Bytes become {"$bytes": base64}, dates ISO 8601, arrays nested lists.

    A call becomes {"call": its path, "args": …, "kwargs": …}.
    """
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
        case Call():
            return {"call": str(value.path), "args": plain(value.args), "kwargs": plain(value.kwargs)}
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
