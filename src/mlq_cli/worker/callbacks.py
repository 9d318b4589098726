"""Deliver callbacks: jobs of the queue `_callbacks`, run like any other, by an executor of their own.

`finish` posts such a job together with the outcome it tells of; this is its listener. Lease, timeout, three attempts
with backoff and the dead-letter queue come from the machine that runs every job.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

TOTAL_SECONDS = 15.0  # from looking the name up to the first line of the answer
_LONGEST_LINE = 4096


class CallbackFailed(Exception):
    """The URL did not answer as it should; told once the attempts are used up."""


async def deliver(msg: dict[str, Any]) -> str:
    """Tell one URL: `GET <url>?success=0|1&job_id=…&short_result=…`. Returns its status. Raises CallbackFailed.

    A redirect counts as a failure: nobody chose that address.
    """
    url = callback_url(msg["url"], msg["success"], msg["job_id"], msg.get("short_result"))
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            status = await get(url)
    except TimeoutError:
        raise CallbackFailed(f"{url}: no answer within {TOTAL_SECONDS:g} s") from None
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        raise CallbackFailed(f"{url}: {error}") from None
    if not 200 <= status < 300:
        raise CallbackFailed(f"{url}: status {status}")
    return str(status)


def callback_url(url: str, success: int, job_id: str, short_result: str | None) -> str:
    """Return the URL with the original's three parameters behind those that it has."""
    parts = urlsplit(url)
    ours = urlencode({"success": success, "job_id": job_id, "short_result": short_result or ""}, quote_via=quote)
    query = f"{parts.query}&{ours}" if parts.query else ours
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


async def get(url: str) -> int:
    """Send a GET and return the status of its answer, of which nothing but the first line is read.

    On one event loop, for a client that blocks a thread for each request lets a slow host hold up everybody else's.
    Raises OSError, ValueError (the answer is no HTTP), asyncio.IncompleteReadError.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    name = parts.hostname or ""
    name = name if name.isascii() else name.encode("idna").decode()
    context = ssl.create_default_context() if secure else None
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(name, port, ssl=context, limit=_LONGEST_LINE)
    try:
        target = quote(urlunsplit(("", "", parts.path, parts.query, "")), safe="/?&=%:@!$'()*+,;~-._[]")
        host = f"[{name}]" if ":" in name else name
        host = host if parts.port is None else f"{host}:{port}"
        head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n"
        writer.write(f"{head}User-Agent: mlq\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("ascii"))
        first = (await reader.readuntil(b"\n")).split(maxsplit=2)
    except asyncio.LimitOverrunError:
        raise ValueError("the answer is no HTTP") from None
    finally:
        writer.transport.abort()  # whatever else it has to say, however much
    if len(first) < 2 or not first[0].startswith(b"HTTP/") or not first[1].isdigit():
        raise ValueError("the answer is no HTTP")
    return int(first[1])
