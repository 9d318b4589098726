"""What is said to whom the door does not let in: a problem, the same for the same reason."""

from __future__ import annotations

import http
import json

Headers = list[tuple[bytes, bytes]]


class Refusal(Exception):
    """A request that goes no further."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        hint: str | None = None,
        headers: Headers | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.body = problem(status, code, detail, hint)
        self.headers: Headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"no-store"),
            *(headers or []),
        ]
        if close:
            self.headers.append((b"connection", b"close"))


def problem(status: int, code: str, detail: str, hint: str | None = None) -> bytes:
    """Return the JSON of a problem (RFC 9457)."""
    said = {
        "type": f"urn:mlq:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if hint is not None:
        said["hint"] = hint
    return json.dumps(said, separators=(",", ":")).encode()


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """Return the header that says when to come again."""
    return b"retry-after", b"%d" % max(1, round(seconds + 0.5))
