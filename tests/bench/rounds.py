"""Rounds over contestants, interleaved, so that a slow minute of the machine hits all of them alike."""

from __future__ import annotations

import signal
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from arena import Arena, Stuck
from contestants import Contestant
from measure import Load, Numbers, loads_of
from server import Server


class Results:
    """All numbers of each contestant, round by round, and what went wrong."""

    def __init__(self) -> None:
        self.numbers: dict[str, dict[str, list[float]]] = {}
        self.troubles: dict[str, list[str]] = {}

    def add(self, name: str, numbers: Numbers) -> None:
        """Add what one load has brought."""
        for key, value in numbers.items():
            self.numbers.setdefault(name, {}).setdefault(key, []).append(value)

    def trouble(self, name: str, text: str) -> None:
        """Add that a contestant could not do something; the same is kept once."""
        if text not in self.troubles.setdefault(name, []):
            self.troubles[name].append(text)

    def medians(self, name: str) -> Numbers:
        """Return the median of each number of a contestant."""
        return {key: statistics.median(values) for key, values in self.numbers.get(name, {}).items()}


def run_rounds(
    server: Server,
    contestants: Sequence[Contestant],
    folder: Path,
    results: Results,
    *,
    rounds: int,
    scale: float,
    more: dict[str, list[Load]] | None = None,
) -> None:
    """Let everybody have a turn in each round; `more` are loads of some of them beside those of all."""
    began = time.monotonic()
    for number in range(1, rounds + 1):
        for contestant in contestants:
            say(f"{time.monotonic() - began:5.0f} s  round {number} of {rounds}  {contestant.name}")
            arena = Arena(server, contestant, folder)
            for load in [*loads_of(contestant, number), *(more or {}).get(contestant.name, [])]:
                try:
                    results.add(contestant.name, load(arena, scale))
                except Stuck as stuck:
                    results.trouble(contestant.name, f"{load.__name__}: {stuck}")


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def stop_like_ctrl_c() -> None:
    """Let SIGTERM clean up as Ctrl-C does."""

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
