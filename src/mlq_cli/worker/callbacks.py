"""Deliver callbacks: jobs of the queue `_callbacks`, run like any other, by an executor of their own.

`finish` posts such a job together with the outcome it tells of; this is its listener. Lease, timeout, three attempts
with backoff and the dead-letter queue come from the machine that runs every job.
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

CONNECT_SECONDS = 5.0  # for each step of the connection
TOTAL_SECONDS = 15.0  # for all of it


class CallbackFailed(Exception):
    """The URL did not answer as it should; told once the attempts are used up."""


async def deliver(msg: dict[str, Any]) -> str:
    """Tell one URL: `GET <url>?success=0|1&job_id=…&short_result=…`. Returns its status. Raises CallbackFailed."""
    url = callback_url(msg["url"], msg["success"], msg["job_id"], msg.get("short_result"))
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            status = await asyncio.to_thread(get, url)
    except TimeoutError:
        raise CallbackFailed(f"{url}: no answer within {TOTAL_SECONDS:g} s") from None
    if not 200 <= status < 300:
        raise CallbackFailed(f"{url}: status {status}")
    return str(status)


def callback_url(url: str, success: int, job_id: str, short_result: str | None) -> str:
    """Return the URL with the original's three parameters behind those that it has."""
    parts = urlsplit(url)
    ours = urlencode({"success": success, "job_id": job_id, "short_result": short_result or ""}, quote_via=quote)
    query = f"{parts.query}&{ours}" if parts.query else ours
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A callback that is sent elsewhere has not been delivered: nobody chose that address."""

    def redirect_request(self, *_: Any) -> None:
        return None


# No proxies from the environment, no redirects, no other schemes than these two.
_OPENER = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.HTTPHandler(),
    urllib.request.HTTPSHandler(),
    urllib.request.HTTPDefaultErrorHandler(),
    urllib.request.HTTPErrorProcessor(),
    _NoRedirects(),
):
    _OPENER.add_handler(_handler)


def get(url: str) -> int:
    """Send one GET and return the status; the body is not read. Raises CallbackFailed."""
    request = urllib.request.Request(url, headers={"User-Agent": "mlq", "Connection": "close"})
    try:
        with _OPENER.open(request, timeout=CONNECT_SECONDS) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except Exception as error:  # http.client has many ways to say that a server makes no sense
        reason = getattr(error, "reason", None) or error
        raise CallbackFailed(f"{url}: {reason or type(error).__name__}") from None
