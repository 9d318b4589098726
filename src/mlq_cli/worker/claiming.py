"""Claiming: how a worker asks Redis for jobs, and how long it sleeps when there are none."""

from __future__ import annotations

import os

from mlq_cli.model.rules import Rules
from mlq_cli.store.base import Call, Claims, Held, Store
from mlq_cli.worker.bells import Bells
from mlq_cli.worker.fence import Fence
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.outbox import Outbox

MOST = 500  # jobs in one call: Redis serves nobody else while a script runs
TICK = 12.0  # seconds an idle lane sleeps at most, and no longer than 0.4 of a lease; bells wake it long before


class Claiming:
    """Asks for the lanes of one worker, one question at a time for each."""

    def __init__(
        self, store: Store, name: str, rules: Rules, fence: Fence, bells: Bells, outbox: Outbox, *, burst: bool
    ) -> None:
        """`name`: of the worker, which ends when nothing is left if it is a `burst`."""
        self._burst = burst
        self._store = store
        self._name = name
        self._rules = rules
        self._fence = fence
        self._bells = bells
        self._outbox = outbox
        self._tokens: dict[str, str] = {}  # of claims whose answer has not come

    def claim(self, lane: Lane, count: int) -> Call[Claims]:
        """Ask for as many jobs as there is room for."""
        # The token of an unanswered claim is used again: should the claim have worked, it answers the same jobs.
        token = self._tokens.setdefault(lane.name, new_token())
        return self._store.claim(
            lane.queues,
            min(count, MOST),
            worker=self._name,
            lane=f"{self._name}:{lane.name}",
            token=token,
            rules=self._rules,
            functions=lane.names,
            cursors=lane.search.cursors,
        )

    def take_in(self, lane: Lane, sent_at: float, claims: Claims) -> str | None:
        """Note an answer; returns the token of its jobs, None when there are none that are ours to run."""
        token = self._tokens.pop(lane.name)
        lane.empty = lane.search.answered(claims, hurry=self._burst) and claims.withheld is None
        if self._fence.too_late(sent_at):  # frozen between the question and here: these may be others' by now
            self._outbox.releases += [Held(job.id, token) for job in claims.jobs]
            return None
        return token if claims.jobs else None

    def listen(self, lane: Lane, claims: Claims) -> None:
        """Let the bell wake a lane that has room and got less than that.

        Not where others' jobs wait: it would take the tokens of those that can run them, again and again.
        """
        if claims.empty and not claims.passed and lane.room() > 0 and not self._bells.listening(lane):
            # Callbacks that were lost are looked for more seldom: their bells ring as well.
            tick = min(TICK, self._rules.lease * 0.4) * (3 if lane.on_demand else 1)
            due = (seconds for seconds in (claims.next_due, claims.withheld) if seconds is not None)
            self._bells.listen(lane, min([tick, *(seconds + 0.001 for seconds in due)]))


def new_token() -> str:
    """Return a random token: 63 bits as a decimal number, which Redis stores in half the bytes of a text."""
    return str(int.from_bytes(os.urandom(8)) >> 1)
