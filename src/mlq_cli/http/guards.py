"""Headers that keep a browser from doing more with an answer than was meant: with data, and with pages of ours."""

from __future__ import annotations

#: A browser that opens an answer by itself runs nothing of it, and nobody frames it.
SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"

#: Scripts, styles and requests only from this server; no markup from text, whatever a script tries.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
#: Of pages that came with mlq, and of their files.
PAGE = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-cache",  # asked about each time, answered by 304: a new version is never mixed with an old one
}
