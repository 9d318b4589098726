"""Listeners for the tests: good ones, slow ones, and ones that misbehave."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

LOADED: list[int] = []


def load() -> None:
    LOADED.append(os.getpid())


def fail_to_load() -> None:
    raise RuntimeError("no model here")


def echo(msg: Any) -> Any:
    return msg


def multiply(msg: Any, *args: Any) -> Any:
    return msg["arg1"] * msg["arg2"]


def with_context(msg: Any, ctx: Any) -> Any:
    ctx.update_progress(50)
    ctx["update_progress"](60)
    return ctx["full_message"]


def token(msg: Any, ctx: Any) -> str:
    return str(ctx.token)


def with_setting(msg: Any, scale: int = 3) -> Any:
    return msg * scale


def short_and_long(msg: Any) -> Any:
    return ("short", msg)


def pair(msg: Any) -> Any:
    return ["short", msg]


def first(msg: Any, ctx: Any) -> Any:
    return "first"


def second(msg: Any, ctx: Any) -> Any:
    return "second"


def loads(msg: Any) -> Any:
    return LOADED


def pid(msg: Any) -> int:
    return os.getpid()


async def pid_async(msg: Any) -> int:
    return os.getpid()


def environment(msg: Any) -> Any:
    return {
        name: os.environ.get(name) for name in ("MLQ_WORKER", "MLQ_EXECUTOR", *(msg if isinstance(msg, list) else ()))
    }


async def nap(msg: Any) -> Any:
    await asyncio.sleep(msg)
    return msg


def sleep(msg: Any) -> Any:
    time.sleep(msg)
    return msg


def touch_then_sleep(msg: Any) -> Any:
    """Say that it began by a file, then take its time; the file also counts the runs."""
    with open(msg["file"], "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(msg["seconds"])
    return "slept"


def begun_at(msg: Any) -> float:
    """Return when it began; every so manieth takes a while, and holds the interpreter's lock in C."""
    began = time.time()
    if msg["long"]:
        ctypes.PyDLL(None).usleep(200_000)
    return began


def hold_the_lock(msg: Any) -> Any:
    """Say that it began by a file, then hold the interpreter's lock in C; the file also counts the runs."""
    with open(msg["file"], "a") as file:
        file.write(f"{os.getpid()}\n")
    ctypes.PyDLL(None).sleep(msg["seconds"])
    return "held"


def report_forever(msg: Any, ctx: Any) -> Any:
    for done in range(100):
        ctx.update_progress({"done": done})
        time.sleep(0.02)
    return "done"


def leave_a_thread(msg: Any) -> int:
    threading.Thread(target=time.sleep, args=(60,)).start()
    return os.getpid()


def leave_a_process(msg: Any) -> int:
    """Start a process, say its number by a file, and do as told."""
    child = subprocess.Popen(["sleep", "60"])
    Path(msg["file"]).write_text(str(child.pid))
    if msg["crash"]:
        os._exit(1)
    time.sleep(60)
    return 0


def wait_for_children(msg: Any) -> str:
    """Start a process and wait until none is left, as some libraries do."""
    child = subprocess.Popen(["true"])
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return f"none is left, not even {child.args}"


async def hang(msg: Any) -> None:
    await asyncio.sleep(60)


async def nap_or_die(msg: Any) -> None:
    await asyncio.sleep(60 if msg is None else msg)
    os._exit(3)


def flaky(msg: Any) -> Any:
    """Fail until the file has as many lines as asked for."""
    path = Path(msg["file"])
    runs = len(path.read_text().splitlines()) if path.exists() else 0
    with path.open("a") as file:
        file.write("run\n")
    if runs < msg["failures"]:
        raise ConnectionError(f"run {runs} failed")
    return runs


def misbehave(msg: Any) -> Any:
    match msg:
        case "segfault":
            ctypes.string_at(0)
        case "exit 0":
            os._exit(0)
        case "exit 3":
            os._exit(3)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sys.exit":
            raise SystemExit(1)
        case "interrupt":
            raise KeyboardInterrupt
        case "raise":
            raise ValueError("a bad image\nwith a second line")
        case "unspeakable":
            raise Unspeakable
        case "lambda":
            return lambda: None
        case "endless":
            endless: list[Any] = []
            endless.append(endless)
            return endless
        case "surrogate":
            return "\ud800"
        case "large":
            return b"x" * 2_000_000
        case "hold the lock":
            ctypes.PyDLL(None).sleep(60)
        case "close all":
            os.closerange(3, 256)
        case "grow":
            globals()["ballast"] = bytearray(os.urandom(1) * (80 << 20))
            return os.getpid()
    return "fine"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even my name")


def act(msg: Any) -> Any:
    """Say by a line in a file which job begins, and in which process, and do as told."""
    with open(msg["file"], "a") as file:
        file.write(f"{msg['name']} {os.getpid()}\n")
    match msg.get("do"):
        case "sleep":
            if "goodbye" in msg:
                atexit.register(Path(msg["goodbye"]).touch)
            time.sleep(msg["seconds"])
        case "hold the lock":
            ctypes.PyDLL(None).usleep(int(msg["seconds"] * 1e6))
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "close all":
            os.closerange(3, 256)
        case "fork":
            return "the original" if os.fork() else "the copy"
        case "leave slowly":
            atexit.register(time.sleep, msg["seconds"])
    return msg["name"]
