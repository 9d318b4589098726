"""The headers that every answer carries, so that a browser does with it what was meant and nothing else."""

from __future__ import annotations

from mlq_cli.http.door.refusal import Headers

_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_DATA: Headers = [(b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'")]
_PAGE: Headers = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
        b"require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
]
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
    wanted = (*_ALWAYS, *(_PAGE if active and ours else _DATA), *extra)
    return [*headers, *(pair for pair in wanted if pair[0] not in names or pair[0] == b"vary")]
