"""Functions that the tests call by messages."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from typing import Any

from os import getcwd  # noqa: F401  imported here, so none of this module's own  isort: skip


def add(first: Any, second: Any = 1, *, times: int = 1) -> Any:
    return (first + second) * times


def total(array: Any) -> tuple[str, float]:
    return str(array.dtype), float(array.sum())


def tell(text: str, *, ctx: Any) -> list[Any]:
    ctx.update_progress(50)
    return [text, ctx.id, ctx.full_message["functions"]]


async def slowly(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def count(number: int) -> Iterator[int]:
    yield from range(number)


async def count_slowly(number: int) -> AsyncIterator[int]:
    for each in range(number):
        yield each


def loud(function: Callable[..., str]) -> Callable[..., str]:
    @wraps(function)
    def louder(*args: Any) -> str:
        return function(*args).upper()

    return louder


@loud
def shout(text: str) -> str:
    return text


def fail(message: str) -> None:
    raise ValueError(message)


def plain(msg: Any) -> Any:
    """A listener."""
    return ["plain", msg]


def other(msg: Any) -> Any:
    """Another listener."""
    return ["other", msg, os.environ.get("MLQ_WORKER")]


def _private() -> str:
    return "nobody shall call this"


class Tool:
    """Its methods are attributes of an attribute."""

    @staticmethod
    def method() -> str:
        return "only when the worker was told so"


table = {"get": "no function"}
instance = Tool()
