"""The world: one clock, one server, a network that loses words, and dice that decide everything."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from mlq_cli.model.errors import MlqError
from mlq_cli.model.rules import Rules
from mlq_cli.store.base import Call, Held
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.connect import UrlEndpoint
from simulation.witness import Said, Witness
from timed_store import START, TimedStore

QUEUES = ("default", "other")
RULES = Rules(lease=30.0, retries=1, backoff=2.0, backoff_max=20.0, max_crashes=1, max_retries=3)


class SilenceError(Exception):
    """No answer came. Whether the words arrived, nobody can tell."""


class World:
    """What all actors share. `time` is everybody's true time; Redis' clock may be off by `skew`."""

    def __init__(self, url: str, namespace: str, dice: random.Random) -> None:
        self.dice = dice
        self.time = 0.0
        self.skew = 0.0
        self.stepped_at = -1e9  # when Redis' clock was last set forward
        self.down_until = 0.0
        self.lossy = True
        self._url, self._namespace = url, namespace
        self._stores: list[TimedStore] = []
        self.witness = Witness(self.connect(), QUEUES, RULES)
        self._forget_scripts()  # so that a seed finds the same server each time
        self.diary: deque[str] = deque(maxlen=60)
        self.running: dict[str, dict[str, str]] = {}  # by job: workers that run it right now, and their tokens
        self.taken: set[tuple[str, str]] = set()  # attempts that an operator or a reaper's timeout took away

    def connect(self) -> TimedStore:
        """Return a store for one actor: what a client posts twice is recognised by who it is."""
        store = TimedStore(UrlEndpoint(self._url), self._namespace)
        self._stores.append(store)
        return store

    def close(self) -> None:
        """Leave nothing behind."""
        (keys,) = self._stores[0]._read([("KEYS", layout.prefix(self._namespace) + "*")])
        if keys:
            self._stores[0]._read([("DEL", *keys)])
        for store in self._stores:
            store.close()

    @property
    def server_time(self) -> float:
        return START + self.time + self.skew

    def note(self, words: str) -> None:
        self.diary.append(f"{self.time:9.2f}  {words}")

    def chance(self, probability: float) -> bool:
        """Throw dice that are loaded against us only while the world is lossy."""
        return self.lossy and self.dice.random() < probability

    def say(self, who: str, store: TimedStore, calls: list[Call[Any]], said: Said) -> list[Any]:
        """Send calls in one write. Raises SilenceError when the words, or only the answers, are lost."""
        if self.time < self.down_until or self.chance(0.02):
            raise SilenceError
        if self.chance(0.02):
            self.note("Redis forgets its scripts")
            self._forget_scripts()
        said.now = store.now = self.server_time
        store.jitter = self.dice.random()
        said.verbs = tuple(call.verb for call in calls)
        everybody = said.release_all or said.allowed is not None
        for job_id in self.witness.live if everybody else said.asked_for & self.witness.live:
            self.taken.add((job_id, self.witness.jobs[job_id].token))
        answers = store.run(*calls)
        assert not any(isinstance(answer, MlqError) for answer in answers), answers
        for call, answer in zip(calls, answers, strict=True):
            if call.verb == "finish":
                self.witness.refusals(said.finished, answer)
        self.witness.look(said)
        lost = self.chance(0.08)
        self.note(f"{who}: {' '.join(said.verbs)}{' — the answer is lost' if lost else ''}")
        if lost:
            raise SilenceError
        return answers

    def _forget_scripts(self) -> None:
        self._stores[0]._read([("SCRIPT", "FLUSH")])

    # --- who runs what ---------------------------------------------------------------------------------------------
    def begins(self, worker: str, held: Held) -> None:
        """A worker begins to run a job: nobody else who is awake may still be running it.

        Unless its right was cut short: by an operator, or by a clock that was set forward.
        """
        others = self.running.setdefault(held.id, {})
        clock_was_set = self.time - self.stepped_at < RULES.lease
        for other, token in others.items():
            excused = clock_was_set or (held.id, token) in self.taken or other == worker
            assert excused, f"{other} and {worker} both run job {held.id}"
        others[worker] = held.token

    def ends(self, worker: str, job_id: str) -> None:
        self.running.get(job_id, {}).pop(worker, None)

    def set_clock(self, seconds: float) -> None:
        self.skew += seconds
        if seconds > 0:
            self.stepped_at = self.time
        self.note(f"Redis' clock is set by {seconds:+g} s")
