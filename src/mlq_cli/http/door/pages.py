"""What web pages may ask for. Browsers say where a request comes from; whoever says nothing of it is no browser.

A page of this server may do what its token may. A page elsewhere may link here, and nothing else, unless
`server.origins` names its origin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlq_cli.http.door.head import Head
from mlq_cli.http.door.refusal import Headers, Refusal

#: Methods that change nothing.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
NO_JSON = "content-type"  # the code of that problem
NOT_JSON = "the body of a request that changes something is JSON, and says so"
SAY_JSON = "send Content-Type: application/json"
OCTETS = b"application/octet-stream"
_FORM = b"application/x-www-form-urlencoded"  # what curl -d says of whatever it sends
_ALLOWED_HEADERS = b"authorization, content-type, idempotency-key, if-none-match, last-event-id, prefer, range"
_EXPOSED_HEADERS = (
    b"content-disposition, content-range, etag, idempotency-replayed, link, location, preference-applied, "
    b"retry-after, x-request-id"
)


class Pages:
    """Which origins may use the server beside its own."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origin.lower().encode() for origin in origins)

    def check(self, method: str, head: Head) -> None:
        """Raise Refusal for what no page may ask. The Host header is known to be right."""
        origin, site = head.get(b"origin"), head.get(b"sec-fetch-site")
        if origin is None and site is None:
            return
        listed = origin is not None and origin in self._origins
        if origin is not None and not listed and origin not in _own(head[b"host"]):
            raise _foreign()
        if site is None or site == b"same-origin" or listed:
            return
        if method in SAFE and (site == b"none" or _is_link(head)):
            return
        raise _foreign()

    def cors(self, head: Head) -> Headers:
        """Return what lets a page of a listed origin read the answer; nothing for all others."""
        origin = head.get(b"origin")
        if origin is None or origin not in self._origins:
            return [(b"vary", b"origin")] if self._origins else []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED_HEADERS),
            (b"vary", b"origin"),
        ]

    def preflight(self, method: str, head: Head) -> Headers | None:
        """Return the answer to a browser that asks before it sends; None: this is no such question."""
        if method != "OPTIONS" or b"access-control-request-method" not in head:
            return None
        if head.get(b"origin") not in self._origins:
            return None
        return [
            (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
            (b"access-control-allow-headers", _ALLOWED_HEADERS),
            (b"access-control-max-age", b"600"),
        ]


def check_content(method: str, head: Head, *, octets: bool = False) -> None:
    """Raise Refusal (415) unless a request that changes something is JSON, or has no body.

    `octets`: bytes that say that they are some will do as well, for browsers ask before they send such to others.
    """
    encoding = head.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise Refusal(415, "content-encoding", "a request is sent as it is, not compressed", close=True)
    if method in SAFE:
        return
    empty = b"transfer-encoding" not in head and not head.get(b"content-length", b"0").strip(b"0")
    if octets and kind_of(head) == OCTETS:
        return
    if not (is_json(head) or (empty and b"content-type" not in head)):
        raise Refusal(415, NO_JSON, NOT_JSON, hint=SAY_JSON, close=True)


def is_json(head: Mapping[bytes, bytes]) -> bool:
    """Whether a body is said to be JSON: no page elsewhere can make a browser say that without being asked.

    What curl sends by default is taken for JSON too, when no browser sends it: browsers name the origin of a form.
    """
    kind = kind_of(head)
    return kind == b"application/json" or (kind == _FORM and b"origin" not in head and b"sec-fetch-site" not in head)


def kind_of(head: Mapping[bytes, bytes]) -> bytes:
    """Return what a body is said to be."""
    return head.get(b"content-type", b"").partition(b";")[0].strip().lower()


def _own(host: bytes) -> tuple[bytes, bytes]:
    """Return our own origin: by TLS too, which a proxy before us may speak."""
    name = host.lower()
    return b"http://" + name, b"https://" + name


def _is_link(head: Head) -> bool:
    """Whether a person followed a link: a whole page comes, in a window of its own."""
    return head.get(b"sec-fetch-mode") == b"navigate" and head.get(b"sec-fetch-dest") == b"document"


def _foreign() -> Refusal:
    return Refusal(
        403,
        "foreign-page",
        "a web page of another origin may not ask for this",
        hint="name its origin in server.origins of the profile",
        close=True,
    )
