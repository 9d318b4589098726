"""Listeners that give their results out part by part."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any


def emits(msg: Any, ctx: Any) -> Any:
    for value in msg:
        ctx.emit(value)
    return "all"


def emits_like_the_original(msg: Any, args: Any) -> None:
    args["emit"](msg)


def counts(msg: int) -> Iterator[int]:
    yield from range(msg)


def counts_and_returns(msg: int) -> Iterator[int]:
    yield from range(msg)
    return ("short", msg)


async def counts_async(msg: int) -> AsyncIterator[int]:
    for number in range(msg):
        await asyncio.sleep(0)
        yield number


async def emits_async(msg: Any, ctx: Any) -> None:
    for value in msg:
        ctx.emit(value)


def wrapped(msg: int) -> Any:
    """No generator function, but gives one back."""
    return (number * number for number in range(msg))


def emits_from_threads(msg: int, ctx: Any) -> None:
    def some(name: int) -> None:
        for number in range(msg):
            ctx.emit([name, number])

    threads = [threading.Thread(target=some, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def emits_one_by_one(msg: dict[str, Any], ctx: Any) -> int:
    """Emit numbers, each when the file has that many letters, and leave a note of how many were emitted."""
    for number in range(msg["parts"]):
        while Path(msg["file"]).stat().st_size <= number:
            time.sleep(0.005)
        ctx.emit(number)
    return number


def floods(msg: dict[str, Any], ctx: Any) -> None:
    """Emit without end, and say now and then in a file how many."""
    part = bytes(msg["bytes"])
    for number in itertools.count(1):
        ctx.emit(part)
        if number % 50 == 0:
            Path(msg["file"]).write_text(str(number))


def fails_first(msg: str, ctx: Any) -> Iterator[str]:
    yield f"{msg} {ctx.attempt}"
    if ctx.attempt == 1:
        raise ValueError("the first one fails")


def too_large(msg: int) -> Iterator[bytes]:
    yield bytes(msg)


def too_many(msg: int) -> Iterator[bytes]:
    for _ in range(msg):
        yield bytes(1000)


def leaves_a_note(msg: str) -> Iterator[Any]:
    try:
        yield 1
        yield object()
    finally:
        Path(msg).write_text("closed")


def emits_in_a_fork(msg: Any, ctx: Any) -> str:
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            ctx.emit(1)
        except Exception as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.wait()
    return os.read(reader, 1000).decode()


def brief_then_slow(msg: dict[str, Any], ctx: Any) -> Any:
    """Short jobs that end at once, and one that emits at its begin and then takes its time."""
    if msg.get("slow"):
        ctx.emit("begun")
        time.sleep(msg["slow"])
    return None
