"""Listeners and hooks of the tests of consuming."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mlq_cli import MLQ


def gather(msg: dict[str, str]) -> list[Any]:
    """Consume a queue inside of a job."""
    with MLQ.from_profile(redis_url=msg["url"], namespace=msg["namespace"]) as mlq:
        return list(mlq.consume(msg["queue"], timeout=0))


def echo(msg: Any) -> Any:
    if msg == "fail":
        raise ValueError("as told")
    return msg


async def echo_async(msg: Any) -> Any:
    return echo(msg)


def note(line: str) -> None:
    with Path(os.environ["HOOKED"]).open("a") as file:
        file.write(f"{line}\n")


def before(job: Any) -> None:
    note(f"before {job.id}")


def after(job: Any, ended: Any) -> None:
    note(f"after {job.id} {ended.ok} {type(ended.error).__name__}")


def after_success(job: Any) -> None:
    note(f"done {job.id}")


def after_three(executed: int) -> bool:
    return executed >= 3


def after_a_second(elapsed_time: float, tries: int) -> bool:
    return elapsed_time > 1.0 and tries > 0


def refuse(job: Any) -> None:
    raise PermissionError("not this one")


def burst(*args: Any, **named: Any) -> bool:
    raise RuntimeError("a hook that is broken")


def wants_too_much(something_else: int) -> bool:
    return time.time() > something_else


def add(left: int, right: int, more: int = 0) -> int:
    return left + right + more


def named(ctx: Any, word: str) -> str:
    return f"{word} {ctx.id}"
