"""Listeners of the fault tests: they leave a line for each run, outside of Redis."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from typing import Any


def note(file: str, text: str) -> None:
    """Append one line in one write."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def step(msg: Any, ctx: Any) -> Any:
    """Note begin and end of a run, say how far it is between them, and return what was asked for."""
    run = f"{ctx.id} {os.getpid()}"
    note(msg["file"], f"{run} begin {time.monotonic()}")
    ctx.update_progress(50)
    time.sleep(msg.get("seconds", 0))
    if msg.get("fail"):
        raise ValueError("as asked for")
    note(msg["file"], f"{run} end {time.monotonic()}")
    return msg.get("result")


def large(msg: Any) -> bytes:
    """Take its time and return as many bytes as asked for."""
    time.sleep(msg.get("seconds", 0))
    return b"r" * int(msg["size"])


def shift_wall_clock() -> None:
    """A setup for executors: their clock on the wall is an hour ahead."""
    real = time.time
    time.time = lambda: real() + 3600


def second(msg: Any) -> str:
    """Return at once what tells this run from that of `step`."""
    return "the second's"


async def hold(msg: Any, ctx: Any) -> None:
    """Hold a lock of this job for a while, many jobs at a time; note it when another run has it.

    The kernel lets go of the lock when the executor dies, at that very moment.
    """
    with open(f"{msg['folder']}/{ctx.id}", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"{msg['folder']}/overlaps", ctx.id)
        note(f"{msg['folder']}/runs", ctx.id)
        await asyncio.sleep(msg["seconds"])


def numbered(msg: Any) -> int:
    """Note the number of a message, wherever it is run, and return it."""
    note(msg["file"], str(msg["number"]))
    time.sleep(msg.get("seconds", 0))
    number: int = msg["number"]
    return number
