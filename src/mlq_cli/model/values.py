"""Values on the wire: msgpack, and extension types for what msgpack leaves out.

A message or result travels as bytes through worker and Redis; only the two ends call `pack` and `unpack`.
numpy is never imported here unless its values are met, or unpacked where it is installed.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from enum import IntEnum
from operator import itemgetter
from typing import Any

import msgpack

from mlq_cli.model.call import Call
from mlq_cli.model.errors import Misuse, NotCarried, TooLarge


class _Ext(IntEnum):
    """Numbers of the extension types. They are stored, so a number is never given a second meaning."""

    BIGINT = 1
    DATETIME = 2
    DATE = 3
    TIME = 4
    TIMEDELTA = 5
    ARRAY = 6
    SCALAR = 7
    CALL = 8
    DECIMAL = 9


# Packers that nobody uses now: to make one takes four times as long as to pack a small value. Whoever packs takes one
# out, so threads, and values that pack another value when they are asked for theirs, never share one; one that has
# raised is not put back.
_packers: list[msgpack.Packer] = []
_KEPT = 1 << 20  # bytes


def pack(value: Any, *, limit: int | None = None, what: str = "message") -> bytes:
    """Return `value` as msgpack.

    Raises:
        NotCarried: it holds something that cannot be carried; the message names its type.
        TooLarge: the bytes are over `limit`.
    """
    try:
        packer = _packers.pop()
    except IndexError:
        packer = msgpack.Packer(default=_extend, use_bin_type=True)
    try:
        packed: bytes = packer.pack(value)
    except NotCarried:
        raise
    except UnicodeEncodeError:
        raise NotCarried(f"the {what} holds text that is not valid Unicode", hint="send bytes instead") from None
    except (ValueError, OverflowError, RecursionError) as error:
        deep = isinstance(error, RecursionError) or "recursion" in str(error)
        reason = "is nested too deeply, or holds itself" if deep else f"cannot be carried: {error}"
        raise NotCarried(f"the {what} {reason}") from None
    if len(packed) < _KEPT:  # else its buffer would stay that large
        _packers.append(packer)
    if limit is not None and len(packed) > limit:
        raise TooLarge(
            f"the {what} is {len(packed):,} bytes, over the limit of {limit:,}",
            hint="store it elsewhere and send its address, or raise the limit in the profile (limits)",
        )
    return packed


def unpack(packed: bytes) -> Any:
    """Return the value of msgpack made by `pack`, or by any other msgpack library. Raises Misuse when it is none."""
    try:
        return msgpack.unpackb(packed, ext_hook=_shrink, strict_map_key=False, raw=False)
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:  # a list as a key, say
        raise Misuse(f"these {len(packed)} bytes are not msgpack: {error}") from None


def _extend(value: Any) -> msgpack.ExtType:
    """Give msgpack an extension type for a value that it does not know."""
    match value:
        case int():
            size = (value.bit_length() + 8) // 8
            return msgpack.ExtType(_Ext.BIGINT, value.to_bytes(size, "big", signed=True))
        case dt.datetime():
            return msgpack.ExtType(_Ext.DATETIME, value.isoformat().encode())
        case dt.date():
            return msgpack.ExtType(_Ext.DATE, value.isoformat().encode())
        case dt.time():
            return msgpack.ExtType(_Ext.TIME, value.isoformat().encode())
        case dt.timedelta():
            parts = (value.days, value.seconds, value.microseconds)
            return msgpack.ExtType(_Ext.TIMEDELTA, msgpack.packb(parts))
        case Call():
            called = [value.path, list(value.args), value.kwargs]
            return msgpack.ExtType(_Ext.CALL, msgpack.packb(called, default=_extend_argument, use_bin_type=True))
    if (decimal := sys.modules.get("decimal")) is not None and isinstance(value, decimal.Decimal):
        return msgpack.ExtType(_Ext.DECIMAL, str(value).encode())
    if (numpy := sys.modules.get("numpy")) is not None:
        if _is_masked(value):
            raise NotCarried(
                "a masked array cannot be carried: its mask would be lost", hint="carry data and mask, or filled()"
            )
        if isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
            shape = (numpy.lib.format.dtype_to_descr(value.dtype), value.shape, value.tobytes())
            return msgpack.ExtType(_Ext.ARRAY, msgpack.packb(shape))
        if isinstance(value, numpy.generic) and not value.dtype.hasobject:
            descr = numpy.lib.format.dtype_to_descr(value.dtype)
            return msgpack.ExtType(_Ext.SCALAR, msgpack.packb((descr, value.tobytes())))
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    raise NotCarried(
        f"a value of type {name} cannot be carried",
        hint="return what msgpack knows: None, bool, numbers, text, bytes, lists, dicts, dates, decimals, numpy arrays",
    )


def _is_masked(value: Any) -> bool:
    masked = sys.modules.get("numpy.ma")  # who has made one has imported it
    return masked is not None and isinstance(value, masked.MaskedArray)


def _extend_argument(value: Any) -> msgpack.ExtType:
    if isinstance(value, Call):
        raise NotCarried(f"a call cannot be an argument of a call: {value}", hint="post it by itself")
    return _extend(value)


def _shrink(code: int, data: bytes) -> Any:
    """Turn an extension type back into its value; an unknown one stays as msgpack gives it."""
    match code:
        case _Ext.BIGINT:
            return int.from_bytes(data, "big", signed=True)
        case _Ext.DATETIME:
            return dt.datetime.fromisoformat(data.decode())
        case _Ext.DATE:
            return dt.date.fromisoformat(data.decode())
        case _Ext.TIME:
            return dt.time.fromisoformat(data.decode())
        case _Ext.TIMEDELTA:
            days, seconds, microseconds = msgpack.unpackb(data)
            return dt.timedelta(days, seconds, microseconds)
        case _Ext.DECIMAL:
            return _decimal(data)
        case _Ext.ARRAY | _Ext.SCALAR:
            return _numpy_value(code, data)
        case _Ext.CALL:
            return _call(data)
    return msgpack.ExtType(code, data)


def _decimal(data: bytes) -> Any:
    from decimal import Decimal, InvalidOperation  # rarely met

    try:
        return Decimal(data.decode())
    except InvalidOperation:
        return msgpack.ExtType(_Ext.DECIMAL, data)


def _shrink_argument(code: int, data: bytes) -> Any:
    """The same within a call, where there is no other: or a few bytes would nest deeper than the stack is."""
    return msgpack.ExtType(code, data) if code == _Ext.CALL else _shrink(code, data)


def _call(data: bytes) -> Any:
    match msgpack.unpackb(data, ext_hook=_shrink_argument, strict_map_key=False, raw=False):
        case [str() as path, list() as args, dict() as kwargs] if all(isinstance(name, str) for name in kwargs):
            return Call(path, tuple(args), kwargs)
    return msgpack.ExtType(_Ext.CALL, data)


_first = itemgetter(0)
_TYPE_AT = {0xD4: 1, 0xD5: 1, 0xD6: 1, 0xD7: 1, 0xD8: 1, 0xC7: 2, 0xC8: 3, 0xC9: 5}  # by the first byte of an extension
_HEADS = frozenset(_TYPE_AT)
_CALL_HEAD = bytes((_Ext.CALL, 0x93))  # its type, and the head of a list of three
_LENGTH_AT = {0xD9: (1, 2), 0xDA: (1, 3)}  # of a longer text, by its first byte


def called_path(packed: bytes) -> str | None:
    """Return the path of the call that a packed message is, None when it is something else."""
    at = _TYPE_AT.get(packed[0]) if packed else None
    if at is None or packed[at : at + 2] != _CALL_HEAD or len(packed) < at + 5:
        return None
    at += 2
    kind = packed[at]
    if kind & 0xE0 == 0xA0:
        length, first = kind & 31, at + 1
    elif kind in _LENGTH_AT:
        start, end = _LENGTH_AT[kind]
        length, first = int.from_bytes(packed[at + start : at + end]), at + end
    else:
        return None
    try:
        return packed[first : first + length].decode()
    except UnicodeDecodeError:
        return None


def called_paths(messages: Sequence[bytes]) -> list[str | None] | None:
    """Return the path of each packed message that is a call, None where there is none among them, which is swift."""
    if _HEADS.isdisjoint(map(_first, filter(None, messages))):
        return None
    paths = [called_path(message) for message in messages]
    return paths if any(paths) else None


def _numpy_value(code: int, data: bytes) -> Any:
    try:
        import numpy
    except ImportError:  # the other end had it, we do not: hand the bytes on rather than fail
        return msgpack.ExtType(code, data)
    try:
        return _numpy_array(numpy, code, msgpack.unpackb(data))
    except (LookupError, SyntaxError, SystemError) as error:  # numpy parses what it is told, and looks into it later
        raise ValueError(f"no numpy value: {type(error).__name__}") from None


def _numpy_array(numpy: Any, code: int, parts: Any) -> Any:
    descr = [tuple(field) for field in parts[0]] if isinstance(parts[0], list) else parts[0]
    dtype = numpy.lib.format.descr_to_dtype(descr)
    array = numpy.frombuffer(parts[-1], dtype=dtype)
    return array.reshape(parts[1]).copy() if code == _Ext.ARRAY else array[0]
