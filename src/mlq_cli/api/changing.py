"""Changing: what people do to jobs and queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from mlq_cli.api.connected import Connected
from mlq_cli.changing import change, retry_all
from mlq_cli.model.errors import Misuse
from mlq_cli.model.job import WAITING, State, check_name
from mlq_cli.model.rules import rules_of
from mlq_cli.progress_bar import progress_bar
from mlq_cli.store.base import Swept

if TYPE_CHECKING:
    from mlq_cli.model.finding import Finding


class Changing(Connected):
    """The ways to cancel, retry, pause, throw away, sweep and repair."""

    def cancel(self, *job_ids: str | int) -> None:
        """Cancel jobs. A running one is stopped by its worker within seconds. Raises JobNotFound, WrongState."""
        change(self.store, self.store.cancel, job_ids, wanted="waiting or running")

    def retry(self, *job_ids: str | int) -> None:
        """Run dead or canceled jobs again, with all their attempts back. Raises JobNotFound, WrongState."""
        change(self.store, self.store.requeue, job_ids, wanted="dead or canceled")

    def retry_all(self, queue: str | None = None, error_type: str | None = None) -> int:
        """Run all dead jobs again, of one queue or with one type of error if told so. Returns how many.

        Callbacks that nobody took are none of them; they are meant when their queue is named.
        """
        if queue is not None:
            check_name(queue, "queue", ours=True)
        return retry_all(self.store, queue, error_type)

    def pause(self, queue: str = "default") -> int:
        """Stop handing out the jobs of a queue; running ones go on. Returns how many wait."""
        return self.store.ask(self.store.pause(check_name(queue, "queue", ours=True), paused=True))

    def resume(self, queue: str = "default") -> int:
        """Hand out the jobs of a queue again. Returns how many wait."""
        return self.store.ask(self.store.pause(check_name(queue, "queue", ours=True), paused=False))

    def purge(self, queue: str = "default", states: Iterable[State] = WAITING) -> int:
        """Throw away jobs with their records, by default those that wait. Returns how many."""
        check_name(queue, "queue", ours=True)
        total = 0
        for state in states:
            if state is State.RUNNING:
                raise Misuse("running jobs cannot be purged", hint="cancel them, or release the queue first")
            left = 1
            while left:
                gone, left = self.store.ask(self.store.purge(queue, state))
                total += gone
        return total

    def release(self, queue: str = "default") -> int:
        """Give every running job of a queue back to it; what their workers still say is refused. Returns how many."""
        check_name(queue, "queue", ours=True)
        running = sum(counts.states[State.RUNNING] for counts in self.store.counts() if counts.queue == queue)
        total = 0
        while total < running and (released := self.store.ask(self.store.release_queue(queue))):
            total += released
        return total

    def copy_queue(
        self,
        queue: str,
        to: Connected,
        to_queue: str | None = None,
        progress: bool | Callable[[int], None] = False,
    ) -> int:
        """Copy the waiting jobs of a queue: to another Redis, another namespace, or another queue of this one.

        A copy has the message and options of its job, and a life of its own from there on. Copying again adds what is
        not there yet. Running and ended jobs are not copied. Returns how many copies were made.

        Args:
            to: where to; `self` for another queue of the same namespace.
            to_queue: name of the queue there, by default the same.
            progress: True shows a bar on a terminal; a function is called with how many are done.

        Raises:
            Refused: that is the same queue, or one of ours; of a move also when another one goes on, or broke off.
            StoreUnavailable, StoreFull, NotAllowed: Redis says no.
        """
        from mlq_cli.moving import copy_queue  # rarely wanted, as below

        with progress_bar(progress, self._waiting(queue), "copying") as advance:
            return copy_queue(self.store, queue, to.store, queue if to_queue is None else to_queue, advance)

    def move_queue(
        self,
        queue: str,
        to: Connected,
        to_queue: str | None = None,
        progress: bool | Callable[[int], None] = False,
    ) -> int:
        """Move the waiting jobs of a queue elsewhere; arguments and errors as of `copy_queue`. Returns how many.

        Each is handed out in one of the two places, whoever works meanwhile. Where a move breaks off, a few hundred
        jobs may be held on the way, which nobody runs: the same move again sees them off.
        """
        from mlq_cli.moving import move_queue

        with progress_bar(progress, self._waiting(queue), "moving") as advance:
            return move_queue(self.store, queue, to.store, queue if to_queue is None else to_queue, advance)

    def undo_move(self, queue: str) -> int:
        """Let jobs wait again that a move held which broke off, for when its destination is gone for good.

        Whether they have arrived there is not asked: those that did run twice. Returns how many.
        """
        from mlq_cli.moving import undo_move

        return undo_move(self.store, check_name(queue, "queue"))

    def _waiting(self, queue: str) -> int:
        return sum(c.states[state] for c in self.store.counts() if c.queue == queue for state in WAITING)

    def rezero(self, queue: str = "default") -> None:
        """Let the tally of a queue begin at zero. Rates, histograms and the counters of /metrics go on."""
        check_name(queue, "queue", ours=True)
        if queue in self.store.queues():
            self.store.rezero(queue)

    def sweep(self, *, timeout: float | None = None, max_retries: int | None = None) -> Swept:
        """Do what a reaper does, once: promote what is due, give back what is lost, forget what is old enough."""
        rules = rules_of(self.profile, max_retries=max_retries)
        total = Swept()
        for queue in self.store.queues():
            offset: int | None = 0
            while offset is not None:
                swept = self.store.ask(self.store.sweep(queue, rules=rules, timeout=timeout, offset=offset))
                total, offset = total.plus(swept), swept.next_offset
        return total

    def doctor(self, *, repair: bool = False, looked: Callable[[int], None] | None = None) -> Iterator[Finding]:
        """Yield how the installation, the server and the jobs are, in this order, well or not.

        `repair` puts right what needs no guess, without harm to whoever works meanwhile. `looked` is called now and
        then with how much of the namespace was looked at. Raises StoreUnavailable when it comes to the server.
        """
        from mlq_cli.doctor.diagnosis import diagnose  # rarely wanted

        return diagnose(self.profile, lambda: self.store, repair=repair, looked=looked or (lambda done: None))
