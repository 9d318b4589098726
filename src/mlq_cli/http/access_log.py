"""The access log: one line a request, when its answer is out.

A visit is only noted; the lines are made a few times a second, many at once, so that no request waits for a log and
the thread that writes it is not woken for each.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from mlq_cli.http.door.visit import Visit

log = logging.getLogger("mlq.access")

_SOON = 0.1  # seconds
_MOST = 1000  # visits that are noted before lines are made of them
_GONE = 499  # nobody was there any more to be answered, as nginx has it
_NAMES = ("peer", "method", "path", "status", "ms", "bytes", "token", "request_id")
_TEXT = "%s %s %s %d %.2f ms %d B %s %s"

_Line = tuple[float, str, str, str, int, float, int, str | None, str | None]


class AccessLog:
    """Notes visits and makes lines of them."""

    def __init__(self) -> None:
        self._noted: list[_Line] = []
        self._timer: asyncio.TimerHandle | None = None

    def note(self, visit: Visit) -> None:
        """Note a visit. The query stays out: it may hold what is nobody's business."""
        scope, client, raw = visit.scope, visit.scope.get("client"), visit.scope.get("raw_path")
        self._add((
            time.time(),
            client[0] if client else "unix",
            scope["method"],
            raw.decode("ascii", "backslashreplace") if raw else scope["path"],
            visit.status or _GONE,
            (time.perf_counter() - visit.began) * 1000,
            visit.sent,
            visit.token.id if visit.token is not None else None,
            visit.request_id,
        ))  # fmt: skip

    def note_refused(self, peer: str, status: int) -> None:
        """Note what could not be read as a request."""
        self._add((time.time(), peer, "-", "-", status, 0.0, 0, None, None))

    def _add(self, line: _Line) -> None:
        self._noted.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SOON, self.flush)
        elif len(self._noted) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Log what was noted."""
        if self._timer is not None:
            self._timer.cancel()
        noted, self._noted, self._timer = self._noted, [], None
        if log.isEnabledFor(logging.INFO):
            for line in noted:
                log.handle(_record(line))


def _record(line: _Line) -> logging.LogRecord:
    """Return the line as text, and as fields for a program."""
    when, peer, method, path, status, ms, sent, token, request_id = line
    said = (peer, method, path, status, ms, sent, token or "-", request_id or "-")
    record = logging.LogRecord(log.name, logging.INFO, "", 0, _TEXT, said, None)
    record.created, record.msecs = when, (when - int(when)) * 1000
    fields: dict[str, Any] = dict(zip(_NAMES, line[1:], strict=True))
    fields["ms"] = round(ms, 2)
    record.fields = fields
    return record
