"""Durations, sizes and instants as people write them: `90`, `5m`, `512MiB`, `2026-11-21T08:00`."""

from __future__ import annotations

import datetime as dt
import re

from mlq_cli.model.errors import Misuse

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_BYTES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "k": 2**10, "m": 2**20, "g": 2**30,
    "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_NUMBER = r"(\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})"
_ONE = re.compile(rf"{_NUMBER}\s*([a-z]*)")
_SEVERAL = re.compile(rf"(?:{_NUMBER}\s*[a-z]+\s*)+")  # a unit ends each number, so there is one way to read it


def parse_duration(text: str | float) -> float:
    """Return seconds for `90`, `90s`, `1.5h` or `1h30m`. Raises Misuse."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if 0 <= text < 1e12:
            return float(text)
    elif isinstance(text, str):
        plain = text.strip().lower()
        if len(plain) <= 64 and (_ONE.fullmatch(plain) or _SEVERAL.fullmatch(plain)):
            parts = _ONE.findall(plain)
            if all(unit in _SECONDS for _, unit in parts):
                return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    raise Misuse(f"{_shown(text)} is no duration", hint="write 90, 90s, 5m, 2h or 1d")


def parse_size(text: str | int) -> int:
    """Return bytes for `1048576`, `512MiB`, `2GB`. Raises Misuse."""
    if isinstance(text, int) and not isinstance(text, bool) and 0 <= text < 2**63:
        return text
    if isinstance(text, str) and (match := _ONE.fullmatch(text.strip().lower())):
        number, unit = match.groups()
        if unit in _BYTES:
            return int(float(number) * _BYTES[unit])
    raise Misuse(f"{_shown(text)} is no size", hint="write 1048576, 512MiB or 2GB")


def _shown(value: object) -> str:
    """Return a value for an error message, however long it is."""
    text = repr(value) if isinstance(value, str) else "this number"
    return text if len(text) <= 80 else f"{text[:77]}…"


def parse_instant(text: str) -> float:
    """Return Unix seconds for an ISO 8601 instant; without an offset it means local time. Raises Misuse."""
    try:
        return dt.datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise Misuse(f"{text!r} is no instant", hint="write ISO 8601, such as 2026-11-21T08:00:00Z") from None


def show_duration(seconds: float) -> str:
    """Return seconds as a person would say them: `230 ms`, `4.2 s`, `3m 20s`, `2d 5h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, big, part, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if whole >= size:
            return f"{whole // size}{big} {whole % size // part}{small}"
    return f"{whole // 60}m {whole % 60}s"


def show_instant(instant: float) -> str:
    """Return Unix seconds as ISO 8601 in UTC, to the millisecond."""
    return dt.datetime.fromtimestamp(instant, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
