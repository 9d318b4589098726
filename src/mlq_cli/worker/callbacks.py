"""Deliver callbacks: jobs of the queue `_callbacks`, run like any other, by an executor of their own.

`finish` posts such a job together with the outcome it tells of; this is its listener. Lease, timeout, three attempts
with backoff and the dead-letter queue come from the machine that runs every job.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Self
from urllib.parse import quote, urlencode

from mlq_cli.model.addresses import Address, read_address
from mlq_cli.model.callback_policy import Policy, Target, read_target
from mlq_cli.model.errors import Misuse
from mlq_cli.model.outcome import Final
from mlq_cli.model.signing import signatures
from mlq_cli.worker.callback_hosts import Hosts
from mlq_cli.worker.callback_request import Answer, ask, request_of
from mlq_cli.worker.context import Context

TOTAL_SECONDS = 15.0  # from looking the name up to the first line of the answer
MOST_IN_URL = 1024  # bytes of a short result in a URL, before percents
MOST_TEXT = 4096  # bytes of a text in a body
LOOKUPS = 64  # names that are looked up at a time: a resolver that hangs must not hold up the others
NICE = 5  # of this process: deliveries have time, jobs come first

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class CallbackFailed(Exception):
    """The URL did not answer as it should; told once the attempts are used up."""


class CallbackRefused(Final):
    """The URL may not be called, or wants to be called no more."""


class Delivery:
    """The listener of the queue `_callbacks`."""

    def __init__(
        self,
        policy: Policy,
        keys: Sequence[bytes] = (),
        namespace: str = "",
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`keys` sign what is sent by POST; `resolve` and `tls` stand for the system's own."""
        self._policy = policy
        self._keys = keys
        self._namespace = namespace
        self._resolve = resolve or self._look_up
        self._given_tls = tls
        self._hosts = Hosts()

    @classmethod
    def of(cls, terms: Mapping[str, Any]) -> Self:
        """Return the delivery that a worker describes in the first frame to its executor."""
        os.nice(NICE)
        policy = Policy(terms["private"], tuple(terms["allow"]), frozenset(terms["shut"]))
        return cls(policy, terms["keys"], terms["namespace"])

    async def deliver(self, msg: dict[str, Any], ctx: Context) -> str:
        """Tell one URL how a job has ended, and return its status.

        A redirect counts as a failure: nobody chose that address.

        Raises:
            CallbackFailed: it did not work out this time.
            CallbackRefused: it never will.
            PutOff: the host has enough to do.
        """
        try:
            target = read_target(msg["url"])
            policy = self._policy.strict() if msg.get("public") else self._policy
            policy.check(target)
        except Misuse as error:
            raise CallbackRefused(str(error)) from None
        request = self._request(target, msg, ctx)
        name = f"{target.host}:{target.port}"
        async with self._hosts.place(name):
            try:
                async with asyncio.timeout(TOTAL_SECONDS):
                    answer = await self._tell(target, policy, request)
            except TimeoutError:
                raise CallbackFailed(f"{msg['url']}: no answer within {TOTAL_SECONDS:g} s") from None
            except (OSError, ValueError) as error:
                raise CallbackFailed(f"{msg['url']}: {error}") from None
            if answer.retry_after is not None:
                self._hosts.leave_alone(name, answer.retry_after)
        if answer.status == 410:
            raise CallbackRefused(f"{msg['url']}: status 410, it wants no more of this")
        if not 200 <= answer.status < 300:
            raise CallbackFailed(f"{msg['url']}: status {answer.status}")
        return str(answer.status)

    def _request(self, target: Target, msg: dict[str, Any], ctx: Context) -> bytes:
        if msg.get("method", "GET") == "GET":
            return request_of("GET", target, (), b"", parameters(msg))
        if not self._keys:
            raise CallbackFailed(
                "this worker has no secret to sign it with, and sends nothing unsigned: set secret in its profile"
            )
        full = ctx.full_message
        body = body_of(msg, full["timestamp"])
        # One outcome, one id: that of the job that tells of it, which stays the same over all tries.
        named = f"{self._namespace}\n{full['id']}\n{full['timestamp']!r}\n{msg['job_id']}"
        message_id = f"msg_{hashlib.sha256(named.encode()).hexdigest()[:32]}"
        now = int(time.time())
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("webhook-id", message_id),
            ("webhook-timestamp", str(now)),
            ("webhook-signature", signatures(self._keys, message_id, now, body)),
        ]
        return request_of("POST", target, headers, body, "")

    async def _tell(self, target: Target, policy: Policy, request: bytes) -> Answer:
        addresses = [target.address] if target.address is not None else await self._resolve(target.host, target.port)
        try:
            policy.check_addresses(target, addresses)  # all of them: which one would be used is for others to decide
        except Misuse as error:
            raise CallbackRefused(str(error)) from None
        return await ask(target, addresses, request, self._tls if target.scheme == "https" else None)

    async def _look_up(self, name: str, port: int) -> list[Address]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        )
        addresses = (read_address(str(each[4][0]).partition("%")[0]) for each in found)
        return list(dict.fromkeys(address for address in addresses if address is not None))

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(LOOKUPS, "mlq-lookup")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()  # once: it reads all certificates of the system


def parameters(msg: Mapping[str, Any]) -> str:
    """Return the original's three parameters of a URL."""
    short = cut(msg.get("short_result") or "", MOST_IN_URL)
    ours = {"success": msg["success"], "job_id": msg["job_id"], "short_result": short}
    return urlencode(ours, quote_via=quote)


def body_of(msg: Mapping[str, Any], ended: float) -> bytes:
    """Return the body of a POST: what happened to which job, and no more than 20 kB of it; `ended` in Unix seconds."""
    data = {name: msg.get(name) for name in ("state", "queue", "attempt", "short_result", "error", "error_type")}
    data = {name: cut(value, MOST_TEXT) if isinstance(value, str) else value for name, value in data.items()}
    when = dt.datetime.fromtimestamp(ended, dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if data["error_type"]:  # as the record has it
        data["error"] = f"{data['error_type']}: {data['error']}" if data["error"] else data["error_type"]
    document = {"type": f"job.{msg['state']}", "timestamp": when, "data": {"id": msg["job_id"], **data}}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def cut(text: str, most: int) -> str:
    """Return the beginning of a text, so much of it that it takes `most` bytes in UTF-8 and an ellipsis."""
    packed = text.encode("utf-8", "replace")
    return text if len(packed) <= most else packed[:most].decode("utf-8", "ignore") + "…"
