"""Results as answers: which type they get, and headers that keep a browser from ever running one as a page of ours."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.http.guards import SANDBOX
from mlq_cli.http.problems import Problem
from mlq_cli.model.errors import JobCanceled, JobFailed
from mlq_cli.model.job import Record, State
from mlq_cli.model.jsonable import to_json

BYTES = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

#: What may be shown by a browser as it is, by extension. All else and what is unknown is downloaded as bytes: a page,
#: a script, a drawing in SVG or a document could act in the name of whoever looks at it.
SHOWN = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "avif": "image/avif", "bmp": "image/bmp",
    "mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "flac": "audio/flac", "m4a": "audio/mp4",
    "mp4": "video/mp4", "webm": "video/webm",
    "txt": TEXT, "csv": "text/csv; charset=utf-8", "json": JSON, "ndjson": "application/x-ndjson",
}  # fmt: skip

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_MEDIA = ("image/", "audio/", "video/")
_NO_MEDIA = (b"<", b"%PDF", b"MZ", b"\x7fELF", b"#!", b"PK\x03\x04")  # what passes for something else than it is named
_BLANK = b" \t\r\n\v\f\0\xef\xbb\xbf\xff\xfe"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

GUARDS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": SANDBOX,
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-cache",
    "referrer-policy": "no-referrer",
}


class Result(NamedTuple):
    """A result as bytes, and what they are."""

    data: bytes
    type: str
    etag: str


def result_of(record: Record) -> Result:
    """Return the result of a job that succeeded. Raises Problem when there is none, JobFailed, JobCanceled."""
    state = record["state"]
    if state is State.DEAD:
        raise JobFailed(record["id"], record["error"] or "no reason is known")
    if state is State.CANCELED:
        raise JobCanceled(record["id"])
    if state is not State.SUCCEEDED:
        raise Problem(
            409, "not-finished", f"job {record['id']} is {state}",
            hint="GET /jobs/{id}/events tells when it ends, and so does Prefer: wait=N of POST /jobs",
            headers={"retry-after": "1"}, job_id=record["id"], state=state.value,
        )  # fmt: skip
    data, kind = _as_bytes(record["result"])
    version = f"{record['id']} {record['processing_finished']} {record['attempt']} {len(data)}"
    return Result(data, kind, f'"{blake2b(version.encode(), digest_size=12).hexdigest()}"')


def _as_bytes(value: Any) -> tuple[bytes, str]:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), BYTES
    if isinstance(value, str):
        return value.encode("utf-8", "replace"), TEXT
    return to_json(value), JSON


def check_extension(extension: str) -> None:
    """Look whether this can be an extension. Raises Problem."""
    if not _EXTENSION.fullmatch(extension):
        raise Problem(404, "no-such-extension", "an extension has 1 to 8 small letters or digits")


def shown_as(result: Result, extension: str | None) -> tuple[str, bool]:
    """Return the content type, and whether a browser may show it, not only download it."""
    if extension is None:
        return result.type, result.type != BYTES
    kind = SHOWN.get(extension, BYTES)
    if kind.startswith(_MEDIA) and result.data[:64].lstrip(_BLANK).startswith(_NO_MEDIA):
        return BYTES, False
    return kind, kind != BYTES


def respond(request: Request, job_id: str, result: Result, extension: str | None = None, **more: str) -> Response:
    """Return a result as the answer to a request, or the part of it that is asked for."""
    kind, inline = shown_as(result, extension)
    name = f"{job_id}.{extension}" if extension else job_id
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    headers = GUARDS | more | {
        "content-disposition": f'{"inline" if inline else "attachment"}; filename="{name}"',
        "accept-ranges": "bytes",
        "etag": result.etag,
    }  # fmt: skip
    asked = request.headers
    if is_known(asked.get("if-none-match"), result.etag):
        return Response(None, 304, headers)
    part = _part(asked.get("range"), asked.get("if-range"), result)
    if part is None:
        return Response(result.data, 200, headers, kind)
    size = len(result.data)
    if part.start >= size:
        raise Problem(
            416, "range-not-satisfiable", f"the result has {size} bytes", headers={"content-range": f"bytes */{size}"}
        )
    headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return Response(result.data[part.start : part.stop], 206, headers, kind)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether a client has this version already."""
    if if_none_match is None:
        return False
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return etag in given or given == ["*"]


def _part(asked: str | None, if_range: str | None, result: Result) -> range | None:
    """Return which bytes are asked for; None: all, as also for several ranges at once, which nobody has to serve."""
    if asked is None or (if_range is not None and if_range != result.etag):
        return None
    found = _RANGE.fullmatch(asked.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    size = len(result.data)
    if not first:
        return range(max(size - int(last), 0), size) if int(last) else range(size, size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)
