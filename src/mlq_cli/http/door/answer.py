"""The headers that every answer carries, so that a browser does with it what was meant and nothing else."""

from __future__ import annotations

from mlq_cli.http.door.refusal import Headers
from mlq_cli.http.guards import PAGE, SANDBOX

_DATA: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", SANDBOX.encode()),
]
_PAGE: Headers = [(name.encode(), value.encode()) for name, value in PAGE.items()]
#: What a browser may run a script in.
_ACTIVE = (b"text/html", b"application/xhtml", b"image/svg", b"text/xml", b"application/xml")
_INERT: Headers = [(b"content-type", b"application/octet-stream"), (b"content-disposition", b"attachment")]


def dress(headers: Headers, extra: Headers, *, ours: bool) -> Headers:
    """Return the headers of an answer with those that keep it safe; what the app says itself stands.

    `ours`: the path leads to files that came with mlq. Whatever else would be a page becomes a file to download.
    """
    kind, names = b"", set()
    for name, value in headers:
        names.add(name)
        if name == b"content-type":
            kind = value.lower()
    active = kind.startswith(_ACTIVE)
    if active and not ours:
        inert = {name for name, _ in _INERT}
        headers = [pair for pair in headers if pair[0] not in inert] + _INERT
    wanted = (*(_PAGE if active and ours else _DATA), *extra)
    return [*headers, *(pair for pair in wanted if pair[0] not in names or pair[0] == b"vary")]
