"""What a loop in the caller's own process has claimed, and its talk with Redis about it: a write a turn.

claim ─▶ unbegun ─▶ the loop's body ─▶ outbox ─▶ finish, in one write with the next claim

The loop takes from the left of `unbegun` and adds to the outbox without a lock, each in one step of the interpreter.
Everything else is done under `lock`: by the loop, and by the keeper's thread while the body is at work (`keeper.py`).
"""

from __future__ import annotations

import logging
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgpack

from mlq_cli.model.errors import MlqError
from mlq_cli.model.outcome import Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.store.base import Call, Claims, Held, Progress, Store
from mlq_cli.worker.claiming import MOST, new_token
from mlq_cli.worker.fence import MARGIN, boot_time
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.search import Search
from mlq_cli.worker.worker import BEAT_BUSY, BEAT_IDLE, MOST_BYTES, SILENCE

log = logging.getLogger("mlq.consume")


class Stock:
    """What one loop holds."""

    def __init__(
        self,
        store: Store,
        queues: Sequence[str],
        name: str,
        rules: Rules,
        about: dict[str, str | float],
        functions: Sequence[str] | None = None,
    ) -> None:
        """`about`: what `mlq workers` shows of this loop; `functions`: it can run, None: it takes whatever comes."""
        self._functions = functions
        self.search = Search()  # for those that are not only for others
        self._store, self._queues, self._name, self._rules, self._about = store, queues, name, rules, about
        self._talk = store.talk()
        self._token: str | None = None  # of a claim whose answer has not come: sent again, it answers the same jobs
        self._actions: list[tuple[Callable[[Any], None], Callable[[], None]]] = []  # for the answers that are due
        self._span = rules.lease * (1 - MARGIN)
        self.lock = threading.Lock()
        self.unbegun: deque[list[Any]] = deque()  # values as worker/context.py reads them
        self.held: dict[str, str] = {}  # tokens by the ids of what was claimed and is not settled
        self.outbox = Outbox()
        self.begun_at: float | None = None  # when the loop's body got its message, by boot_time; None: it has none
        self.fresh_until = 0.0  # what is unbegun is ours until then, by boot_time
        self.empty = False  # nothing was left in the queues
        self.passed = False  # there were some that only others can run
        self.looked_through = False  # and nothing else
        self.look_again = float("inf")  # seconds after which there may be something although no bell rings
        self.done = 0
        self._shown = False  # in `mlq workers`

    @property
    def under_way(self) -> bool:
        """Whether an answer is due."""
        return bool(self._actions)

    # --- turns -----------------------------------------------------------------------------------------------------
    def say(self, count: int) -> None:
        """Send what there is to say, and ask for up to `count` more, in one write. Raises StoreUnavailable, NotAllowed.

        Only when nothing is under way.
        """
        store, outbox, calls = self._store, self.outbox, list[Call[Any]]()
        if outcomes := outbox.take(MOST, MOST_BYTES):
            calls.append(store.finish(outcomes, rules=self._rules))
            self._actions.append((partial(self._settled, outcomes), partial(outbox.back, outcomes)))
        if releases := outbox.releases[:MOST]:
            calls.append(store.release(releases))
            self._actions.append((partial(self._released, len(releases)), _nothing))
        if progress := dict(outbox.progress):
            calls.append(store.progress(list(progress.values())))
            self._actions.append((partial(self._told, progress), _nothing))
        if count or self._token is not None:
            self._token = self._token or new_token()
            calls.append(
                store.claim(
                    self._queues,
                    max(1, min(count, MOST)),
                    worker=self._name,
                    lane=f"{self._name}:loop",
                    token=self._token,
                    rules=self._rules,
                    functions=self._functions,
                    cursors=self.search.cursors,
                )
            )
            self._actions.append((partial(self._claimed, boot_time()), _nothing))
        if calls:
            try:
                self._talk.say(*calls)
            except BaseException:
                self.forget()
                raise

    def hear(self) -> None:
        """Wait for the answers that are due, and act on them. Raises MlqError, also for an answer that is an error."""
        refused: MlqError | None = None
        try:
            while self._actions:
                for answers in self._talk.hear():
                    for answer in answers:
                        act, undo = self._actions.pop(0)
                        if isinstance(answer, MlqError):
                            refused = answer
                            undo()
                        else:
                            act(answer)
                if self._actions:
                    self._wait_for_answer()
        except BaseException:
            self.forget()
            raise
        if refused is not None:
            raise refused

    def _wait_for_answer(self) -> None:
        descriptor = self._talk.fileno()
        if descriptor is None or self._talk.answered:
            return
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(max(1.0, self._talk.silent_for(time.monotonic()) * 1000 + 1))

    def forget(self) -> None:
        """Wait for no answer any more: all that has none is said again with the next turn."""
        self._talk.close()
        self._actions.clear()
        self.outbox.all_back()

    # --- what the answers say --------------------------------------------------------------------------------------
    def _claimed(self, sent_at: float, claims: Claims) -> None:
        token, now = self._token or "", boot_time()
        if now - sent_at >= self._span:  # frozen between the question and here: these may be others' by now
            self.outbox.releases += [Held(job.id, token) for job in claims.jobs]
        elif claims.jobs:
            if not self.unbegun:
                self.fresh_until = max(self.fresh_until, sent_at + self._span)
            unpacker = msgpack.Unpacker(raw=True, max_buffer_size=0)
            unpacker.feed(b"".join([job.record for job in claims.jobs]))
            self.held.update(dict.fromkeys([job.id for job in claims.jobs], token))
            self.unbegun.extend(unpacker)
        self._token = None
        self.empty, self.passed = claims.empty, claims.passed
        self.looked_through = self.search.answered(claims)
        due = (seconds for seconds in (claims.next_due, claims.withheld) if seconds is not None)
        self.look_again = min(due, default=float("inf"))

    def _settled(self, outcomes: list[Outcome], refused: dict[str, str]) -> None:
        self.outbox.settled(outcomes)
        for outcome in outcomes:
            self.held.pop(outcome.id, None)
        self.done += len(outcomes) - len(refused)
        for job_id, state in refused.items():
            why = "" if state == "canceled" else ": it took too long to be finished here, and somebody else has it"
            log.warning("job %s is %s%s; what this loop did with it does not count", job_id, state, why)

    def _released(self, number: int, _: Any) -> None:
        del self.outbox.releases[:number]

    def _told(self, progress: dict[str, Progress], _: Any) -> None:
        self.outbox.told(progress)

    # --- leases ----------------------------------------------------------------------------------------------------
    def beat(self) -> float:
        """Renew the leases of all that is held; returns the seconds until the next time. Raises MlqError."""
        held, sent_at = [Held(*pair) for pair in list(self.held.items())], boot_time()
        about = {**self._about, "slots": 1, "running": len(held), "done": self.done}
        life = max(SILENCE, self._rules.lease)
        gone = self._store.ask(
            self._store.heartbeat(
                self._name,
                held,
                rules=self._rules,
                life=life,
                about=about,
                functions=self._functions or (),
                queues=self._queues,
            )
        )
        self.fresh_until, self._shown = sent_at + self._span, True
        if gone:
            self._let_go(gone)
        return min(BEAT_BUSY if held else BEAT_IDLE, self._rules.lease / 3)

    def _let_go(self, gone: dict[Held, str]) -> None:
        """Forget what is no longer ours. What the body is at, it goes on with: nobody can stop it."""
        lost = {held.id: why for held, why in gone.items() if self.held.get(held.id) == held.token}
        kept = [values for values in self._take_all() if values[0].decode() not in lost]
        self.unbegun.extendleft(reversed(kept))
        for job_id, why in lost.items():
            del self.held[job_id]
            log.warning("job %s is %s; what this loop still does with it does not count", job_id, why)

    def give_back_unbegun(self) -> int:
        """Give back what the body has not got; the next turn says so. Returns how many."""
        taken = self._take_all()
        for values in taken:
            self.give_back(values[0].decode())
        return len(taken)

    def give_back(self, job_id: str) -> None:
        """Give back one."""
        token = self.held.pop(job_id, None)
        if token is not None:
            self.outbox.releases.append(Held(job_id, token))
            self.outbox.progress.pop(job_id, None)

    def _take_all(self) -> list[list[Any]]:
        taken = []
        try:
            while True:  # the loop may take from the other end meanwhile: each goes to one of us
                taken.append(self.unbegun.pop())
        except IndexError:
            return taken[::-1]

    # --- the end ---------------------------------------------------------------------------------------------------
    def say_goodbye(self) -> None:
        """Tell Redis all that is left, give back what has no outcome, and be shown no more. Raises MlqError."""
        self.hear()
        if self._token is not None:
            self.say(1)  # what an unanswered claim has taken is to be given back as well
            self.hear()
        self.give_back_unbegun()
        told = {held.id for held in self.outbox.held()}
        for job_id in [job_id for job_id in self.held if job_id not in told]:
            self.give_back(job_id)
        while self.outbox.outcomes or self.outbox.releases:
            self.say(0)
            self.hear()
        if self._shown:
            self._store.ask(self._store.heartbeat(self._name, [], rules=self._rules, life=0.0, about=self._about))


def _nothing() -> None:
    """What is to be undone of a call that only takes from what is kept until it is answered."""
