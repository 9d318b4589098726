"""The headers that the door looks at, read in one pass. What says one thing and stands there twice is refused."""

from __future__ import annotations

from collections.abc import Iterable

from mlq_cli.http.door.refusal import Refusal

Head = dict[bytes, bytes]

#: Each means one thing: two of them are a mistake, or somebody who hopes that two readers take different ones.
_ONCE = frozenset(
    {
        b"host", b"origin", b"authorization", b"content-type", b"content-length", b"content-encoding",
        b"transfer-encoding", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"access-control-request-method",
        b"x-request-id",
    }
)  # fmt: skip
#: What proxies add. Whoever wrote it, such a request does not come from whom it seems to.
_BY_PROXIES = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
FORWARDED = b"forwarded"


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Return the headers that matter here by their names, which are lower case. Raises Refusal (400)."""
    head: Head = {}
    for name, value in headers:
        if name in _ONCE:
            if name in head:
                raise Refusal(400, "header-twice", f"the header {name.decode()} is there twice", close=True)
            head[name] = value
        elif name in _BY_PROXIES:
            head[FORWARDED] = value
    return head
