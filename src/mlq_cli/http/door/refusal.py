"""What is said to whom the door does not let in: a problem, the same for the same reason."""

from __future__ import annotations

from mlq_cli.http.problems import PROBLEM, document_of
from mlq_cli.model.jsonable import to_json

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
        self.body = to_json(document_of(status, code, detail, hint))
        self.headers: Headers = [
            (b"content-type", PROBLEM.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"no-store"),
            *(headers or []),
        ]
        if close:
            self.headers.append((b"connection", b"close"))


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """Return the header that says when to come again."""
    return b"retry-after", b"%d" % max(1, round(seconds + 0.5))
