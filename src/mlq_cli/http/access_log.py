"""The access log: one line a request, when its answer is out."""

from __future__ import annotations

import logging
import time

from mlq_cli.http.door.visit import Visit

log = logging.getLogger("mlq.access")

_GONE = 499  # nobody was there any more to be answered, as nginx has it


def note(visit: Visit) -> None:
    """Log a visit. The query stays out: it may hold what is nobody's business."""
    if not log.isEnabledFor(logging.INFO):
        return
    scope, client = visit.scope, visit.scope.get("client")
    write(
        client[0] if client else "unix",
        scope["method"],
        scope["raw_path"].decode("ascii", "backslashreplace") if scope.get("raw_path") else scope["path"],
        visit.status or _GONE,
        (time.perf_counter() - visit.began) * 1000,
        visit.sent,
        visit.token.id if visit.token is not None else None,
        visit.request_id,
    )


def note_refused(peer: str, status: int) -> None:
    """Log what could not be read as a request."""
    if log.isEnabledFor(logging.INFO):
        write(peer, "-", "-", status, 0.0, 0, None, None)


def write(
    peer: str, method: str, path: str, status: int, ms: float, sent: int, token: str | None, request_id: str | None
) -> None:
    """Log one line; for a program the same as fields."""
    fields = {
        "peer": peer,
        "method": method,
        "path": path,
        "status": status,
        "ms": round(ms, 2),
        "bytes": sent,
        "token": token,
        "request_id": request_id,
    }
    log.info(
        "%s %s %s %d %.2f ms %d B %s %s", peer, method, path, status, ms, sent, token or "-", request_id or "-",
        extra={"fields": fields},
    )  # fmt: skip
