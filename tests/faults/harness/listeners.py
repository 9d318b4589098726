"""The listeners of the fault tests: each run writes the ledger, then does what its message says."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from harness.ledger import Ledger

#: The environment variable that names the ledger; workers hand their environment on to executors.
LEDGER = "FAULTS_LEDGER"


@cache
def ledger() -> Ledger:
    return Ledger(os.environ[LEDGER])


class Refused(Exception):
    """What a job raises that is told to fail."""


def run(msg: dict[str, Any], ctx: Any) -> dict[str, str]:
    """Run `msg`: key, seconds, and perhaps what to do in its first `times` attempts: fail, crash, hold, leave."""
    who = (ctx.id, msg["key"], ctx.token, ctx.attempt, os.environ["MLQ_WORKER"])
    ledger().start(*who)
    deed = msg.get("do", "sleep") if ctx.attempt <= msg.get("times", ctx.attempt) else "sleep"
    DEEDS[deed](msg)
    ledger().end(*who)
    if deed == "fail":
        raise Refused(f"attempt {ctx.attempt} of {msg['key']}")
    return {"key": msg["key"], "token": ctx.token}


def sleep(msg: dict[str, Any]) -> None:
    time.sleep(msg.get("seconds", 0))


def crash(msg: dict[str, Any]) -> None:
    """Die without a word."""
    sleep(msg)
    os._exit(1)


def hold(msg: dict[str, Any]) -> None:
    """Sleep in C without giving the interpreter's lock away: no other thread of the executor runs meanwhile."""
    ctypes.PyDLL(None).usleep(int(msg["seconds"] * 1e6))


def leave(msg: dict[str, Any]) -> None:
    """Start a process that outlives the job, and say which."""
    child = subprocess.Popen(["sleep", "600"])
    with open(msg["file"], "w") as file:
        file.write(f"{child.pid}\n")
    sleep(msg)


DEEDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "sleep": sleep,
    "fail": sleep,
    "crash": crash,
    "hold": hold,
    "leave": leave,
}
