"""A talk in which each call is answered before the next: for stores whose `run` does something on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlq_cli.store.base import Call


class OneByOne:
    """Says by `run`, and has the answer at once."""

    def __init__(self, run: Callable[..., list[Any]]) -> None:
        self._run = run
        self._answers: list[list[Any]] = []

    def fileno(self) -> int | None:
        return None

    @property
    def answered(self) -> bool:
        return bool(self._answers)

    @property
    def room(self) -> bool:
        return not self._answers

    def silent_for(self, now: float) -> float:
        return 1.0

    def say(self, *calls: Call[Any]) -> None:
        self._answers.append(self._run(*calls))

    def hear(self) -> list[list[Any]]:
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        self._answers.clear()
