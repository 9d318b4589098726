"""Listeners that post other jobs, and that wait for them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any


def nest(depth: int, ctx: Any) -> list[str]:
    """Return the number of this executor and those of all jobs below this one."""
    mine = os.environ["MLQ_EXECUTOR"]
    if depth == 0:
        return [mine]
    return [mine, *ctx["block_until_result"](ctx["post"](depth - 1))]


async def nest_async(depth: int, ctx: Any) -> int:
    if depth == 0:
        return 0
    below = ctx.post(depth - 1)
    return 1 + int(await asyncio.to_thread(ctx.block_until_result, below))


async def block_on_the_loop(msg: Any, ctx: Any) -> Any:
    return ctx.block_until_result(ctx.post(msg))


def await_other(other: str, ctx: Any) -> Any:
    return ctx.block_until_result(other)


def await_or_tell(other: str, ctx: Any) -> Any:
    """Return what came, or what was raised."""
    try:
        return ctx.block_until_result(other, timeout=20)
    except Exception as error:
        return [type(error).__name__, str(error), getattr(error, "hint", None)]


def await_briefly(other: str, ctx: Any) -> Any:
    try:
        return ctx.block_until_result(other, timeout=0.2)
    except TimeoutError as error:
        return type(error).__name__


def await_and_say_so(msg: list[str], ctx: Any) -> Any:
    """Write down who runs this before it waits: [other, path of a file]."""
    other, path = msg
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()} {os.environ.get('MLQ_EXECUTOR')}\n")
    return ctx.block_until_result(other)


def say_and_sleep(seconds: float, ctx: Any) -> None:
    ctx.update_progress("begun")
    time.sleep(seconds)


def await_both(others: list[str], ctx: Any) -> Any:
    found: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda other=other: found.update({other: ctx.block_until_result(other)}))
        for other in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[other] for other in others]


def parent(msg: Any, ctx: Any) -> Any:
    job_id = ctx.post(msg, functions=["child"], queue="children")
    return ["parent", ctx.block_until_result(job_id)]


def child(msg: Any) -> Any:
    return ["child", msg]


def executor(msg: Any) -> str:
    return os.environ["MLQ_EXECUTOR"]


def post_again_from_a_thread(msg: int, ctx: Any) -> list[str]:
    """Post one job more each time, without end."""
    told: list[str] = []

    def post() -> None:
        try:
            told.append(ctx.post(msg + 1))
        except Exception as error:
            told.append(f"{type(error).__name__} at {msg}")

    thread = threading.Thread(target=post)
    thread.start()
    thread.join()
    return told


def fork_and_reach(msg: Any, ctx: Any) -> list[str]:
    """Use the context in a process that this one has forked, once it was used here."""
    ctx.store_data("before", "key")
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            ctx.store_data(ctx.fetch_data("key") + " and after", "key")
            ctx.block_until_result(ctx.id)
        except BaseException as error:
            os.write(writing, type(error).__name__.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return [ctx.fetch_data("key"), os.read(reading, 100).decode()]


def leave_word(msg: Any, ctx: Any) -> str:
    return str(ctx["store_data"](msg, expiry=60))


def take_word(key: str, ctx: Any) -> Any:
    return ctx["fetch_data"](key)


def find_in_memory(masked: bytes) -> list[str]:
    """Return where in this process a text is that is given with each of its letters changed, so as not to be found."""
    wanted = bytearray(letter ^ 0x55 for letter in masked)
    found = []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if rights.startswith("r") and "[v" not in line:
                begin, end = (int(number, 16) for number in place.split("-"))
                try:
                    memory.seek(begin)
                    content = memory.read(end - begin)
                except (OSError, ValueError, OverflowError):
                    continue
                at = content.find(wanted)
                while at >= 0:
                    if begin + at != _address(wanted):
                        found.append(line)
                    at = content.find(wanted, at + 1)
    return found


def _address(array: bytearray) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(array))


def tree(msg: list[int], ctx: Any) -> int:
    """Return how many jobs there are in a tree: [levels below this one, branches of each]."""
    levels, branches = msg
    if levels == 0:
        return 1
    jobs = [ctx.post([levels - 1, branches]) for _ in range(branches)]
    return 1 + sum(ctx.block_until_result(job) for job in jobs)
