"""The worker: one thin loop that holds the leases, talks to Redis, and never imports user code.

    Redis ◀── a write a turn: heartbeat · emit · finish · release · progress · claim ──▶ worker ◀── pipes ──▶ executors

A turn sends what has gathered. Until its answers come executors go on and their outcomes gather, so the turns grow with
the load by themselves: no timer, no batch size to choose. When many have gathered before that, they are sent ahead, so
that Redis has something to do while the worker acts on its answers.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from mlq_cli.model.errors import MlqError
from mlq_cli.model.outcome import Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.store.base import Call, Claims, Held, Store
from mlq_cli.worker.bells import Bells
from mlq_cli.worker.claiming import MOST, Claiming
from mlq_cli.worker.ears import Ears
from mlq_cli.worker.fence import Fence, boot_time
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.outage import Outage
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.shelf import Shelf
from mlq_cli.worker.turn import Turn, Turns

log = logging.getLogger("mlq.worker")

MOST_BYTES = 4 << 20  # of results in one call, likewise
AHEAD = 30  # outcomes that are worth to be sent while a turn is under way
BEAT_BUSY = 3.0  # seconds between heartbeats while jobs run, and so until a canceled one is stopped
BEAT_IDLE = 10.0
SILENCE = 30.0  # seconds for which a worker that says nothing is still shown
FAREWELL = 2.0  # seconds that idle executors get for their exit handlers when the worker ends
LAST_WORDS = 2.0  # seconds to try and tell Redis the rest when stopping


class Worker:
    """Runs lanes until told to stop."""

    def __init__(
        self,
        store: Store,
        name: str,
        rules: Rules,
        outbox: Outbox,
        lanes: Sequence[Lane],
        *,
        burst: bool = False,
        grace: float = 30.0,
        about: dict[str, str | float] | None = None,
        chore: Callable[[float], float] | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        """`chore` does something now and then, and returns the seconds until it wants to be called again.

        `shelf` holds the registered functions that lanes take up.
        """
        self._store = store
        self._name = name
        self._rules = rules
        self._outbox = outbox
        self._lanes = lanes
        self._burst = burst
        self._grace = grace
        self._about = about or {}
        self._chore = chore
        self._chore_at = 0.0
        self._shelf = shelf
        self._selector = selectors.DefaultSelector()
        self._wake_up, self._woken = socket.socketpair()
        self._wake_up.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain)
        self._ears = Ears(self._selector)
        self._bells = Bells(store, self._selector, self._cut_off)
        self._refilled = False  # our own doing has put jobs into our queues
        self._beat_at = 0.0
        self._fence = Fence(rules.lease, self._end_what_runs)
        self._claiming = Claiming(store, name, rules, self._fence, self._bells, outbox, burst=burst)
        self._stop_at: float | None = None  # told to stop; end what still runs then
        self._hurried = False
        self._leave_at = 0.0  # told to stop while Redis is away: leave without having told it all
        self._outage = outage = Outage()
        self._turns = Turns(
            store.talk(), self._selector, ended=outage.ended, refused=outage.refused, cut_off=self._cut_off
        )
        for lane in lanes:
            lane.staff.on_hire = partial(self._ears.hired, lane)
            lane.on_leave = self._ears.left
            lane.staff.on_enough = self._enough

    # --- from outside ----------------------------------------------------------------------------------------------
    def stop(self) -> None:
        """Stop warmly; called again, at once. May be called from a signal handler or another thread."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._grace
        else:
            self._hurried = True
        try:
            self._wake_up.send(b"!")
        except OSError:
            pass

    def _enough(self) -> None:
        """A hook of the user's says that it is time to stop."""
        if self._stop_at is None:
            log.info("a hook says that it is time to stop")
            self.stop()

    def run(self) -> None:
        """Work until told to stop, or in a burst until nothing is left. Raises MlqError when it cannot start."""
        try:
            stopped = False
            self._fence.start()
            while not self._finished(stopped):
                heard = self._selector.select(self._sleep(time.monotonic()))
                self._check_leases()  # first of all: this process may have been frozen just now
                for key, _ in heard:
                    key.data()
                now = time.monotonic()
                if self._turns and self._turns.silent_for(now) < 0:
                    self._turns.hear()
                if self._stop_at is not None:
                    stopped = self._stopping(now, stopped)
                for lane in self._lanes:
                    lane.look_after(now)
                    if lane.learned:
                        lane.learned, self._beat_at = False, 0.0  # before others send its jobs away as unknown
                    if self._bells.listening(lane):
                        self._bells.look_after(lane, now, wanted=self._stop_at is None and lane.room() > 0)
                if not self._outage.waiting(now):
                    self._turn(now)
        finally:
            self._end()

    # --- the loop's parts ------------------------------------------------------------------------------------------
    def _finished(self, stopped: bool) -> bool:
        if self._turns or self._outbox or any(lane.busy for lane in self._lanes):
            return stopped and time.monotonic() > self._leave_at
        return stopped or (self._burst and all(lane.empty for lane in self._lanes))

    def _sleep(self, now: float) -> float:
        """Return the seconds until something has to be done that no socket tells of."""
        if self._outage.waiting(now):
            times = [self._outage.until - now]
        elif self._has_to_speak():
            return 0.0
        else:
            times = [self._turns.silent_for(now) if self._turns else self._beat_at - now]
        for lane in self._lanes:
            times += [look for look in (lane.next_look(now), lane.search.left(now)) if look]
        if self._chore is not None and not self._outage.waiting(now):
            times.append(self._chore_at - now)
        if self._shelf is not None and not self._turns and not self._outage.waiting(now):
            times.append(self._shelf.ask_at - now)
        if self._stop_at is not None:
            times.append(self._stop_at - now if now < self._stop_at else 0.1)
        return max(0.0, min(times))

    def _may_claim(self, lane: Lane) -> bool:
        asleep = self._bells.listening(lane) or lane.search.left(time.monotonic()) > 0
        if self._stop_at is not None or (asleep and not self._refilled):
            return False
        if self._outage.since is not None:
            return False  # answers may not come back: what nobody hears of must not be taken from others
        # Callbacks wait until it is clear that this worker can start at all.
        ready = not lane.on_demand or all(other.staff.ever_ready or other.on_demand for other in self._lanes)
        return ready and lane.room() > 0

    def _has_to_speak(self) -> bool:
        if not self._turns.room:
            return False
        if self._turns.whole_under_way:
            return len(self._outbox.outcomes) >= AHEAD
        return self._outbox.unsaid or any(self._may_claim(lane) for lane in self._lanes)

    def _turn(self, now: float) -> None:
        """Send all there is to say in one write; of a second one only outcomes, until the first is answered."""
        if self._turns.room:
            if not self._turns.whole_under_way:
                self._turns.say(self._whole_turn(now))
            elif len(self._outbox.outcomes) >= AHEAD:
                turn = Turn(whole=False)
                self._add_outcomes(turn)
                self._turns.say(turn)
        self._check_leases()
        for lane in self._lanes:
            lane.dispatch()  # what the answers to the last turn brought, now that Redis is at work again
        if self._chore is not None and now >= self._chore_at:
            self._do_chore(self._chore, now)

    def _whole_turn(self, now: float) -> Turn:
        turn, outbox, store = Turn(whole=True), self._outbox, self._store
        if now >= self._beat_at:  # first: what follows may be large, and leases must not wait for it
            turn.add(self._heartbeat(), partial(self._renewed, boot_time()))
        if parts := outbox.parts.first(MOST, MOST_BYTES):
            turn.add(store.emit(parts), lambda _: self._emitted(len(parts)))
        self._add_outcomes(turn)
        if releases := outbox.releases[:MOST]:
            turn.add(store.release(releases), lambda _: self._released(len(releases)))
        if progress := dict(islice(outbox.progress.items(), MOST)):
            turn.add(store.progress(list(progress.values())), lambda _: outbox.told(progress))
        if self._shelf is not None and now >= self._shelf.ask_at:
            turn.add(store.registered(self._shelf.ask(now)), self._shelf.heard, partial(self._shelf.heard, None))
        for lane in self._lanes:
            if self._may_claim(lane):
                turn.add(self._claiming.claim(lane, lane.room()), partial(self._claimed, lane, boot_time()))
        self._refilled = False
        return turn

    def _add_outcomes(self, turn: Turn) -> None:
        if outcomes := self._outbox.take(MOST, MOST_BYTES):
            call = self._store.finish(outcomes, rules=self._rules)
            turn.add(call, partial(self._settled, outcomes), partial(self._outbox.back, outcomes))

    def _do_chore(self, chore: Callable[[float], float], now: float) -> None:
        try:
            self._chore_at = now + chore(now)
        except MlqError as error:
            self._chore_at = now + 1.0
            self._cut_off(error)

    def _cut_off(self, error: MlqError) -> None:
        """Redis is away. Bells are hung up too: a connection may be dead without anybody telling us."""
        self._outage.began(error)
        self._turns.forget()
        self._outbox.all_back()
        self._beat_at = 0.0  # by a heartbeat we find out when it is back
        for lane in self._lanes:
            self._bells.hang_up(lane)

    # --- leases and outcomes -----------------------------------------------------------------------------------------
    def _claimed(self, lane: Lane, sent_at: float, claims: Claims) -> None:
        if (token := self._claiming.take_in(lane, sent_at, claims)) is not None:
            self._check_leases()
            lane.take(claims.jobs, token)
            self._beat_at = min(self._beat_at, time.monotonic() + BEAT_BUSY)
        self._claiming.listen(lane, claims)

    def _heartbeat(self) -> Call[dict[Held, str]]:
        # Not what is to be given back: were that never to arrive, its lease must end.
        held = self._outbox.held()
        for lane in self._lanes:
            held += lane.held()
        beat = BEAT_BUSY if held else BEAT_IDLE
        self._beat_at = time.monotonic() + min(beat, self._rules.lease / 3)
        slots = sum(lane.slots for lane in self._lanes if not lane.on_demand)
        done = sum(lane.done for lane in self._lanes)
        about = {**self._about, "slots": slots, "running": len(held), "done": done}
        life = max(SILENCE, self._rules.lease)
        able = next((lane for lane in self._lanes if not lane.on_demand), None)  # callbacks ask for nothing
        functions, queues = (able.names or (), able.queues) if able is not None else ((), ())
        return self._store.heartbeat(
            self._name, held, rules=self._rules, life=life, about=about, functions=functions, queues=queues
        )

    def _renewed(self, sent_at: float, gone: dict[Held, str]) -> None:
        self._fence.renewed(sent_at)
        for why in dict.fromkeys(gone.values()):
            ids = [held.id for held in gone if gone[held] == why]
            log.warning("%s %s; what this worker still does with it does not count", _jobs(ids), why)
        for held in gone:
            for lane in self._lanes:
                lane.drop(held)

    def _settled(self, outcomes: list[Outcome], refused: dict[str, str]) -> None:
        self._outbox.settled(outcomes)
        self._refill()
        for state in dict.fromkeys(refused.values()):
            ids = [job_id for job_id in refused if refused[job_id] == state]
            log.warning("an outcome came too late and was refused: %s %s", _jobs(ids), state)

    def _emitted(self, count: int) -> None:
        self._outbox.stored(count)
        self._ears.open()

    def _released(self, count: int) -> None:
        del self._outbox.releases[:count]
        self._refill()

    def _refill(self) -> None:
        """Note that our own doing may have put jobs into our queues: given back ones, callbacks.

        Only a burst has to look for itself, for it ends when there are none; others are woken by the bell.
        """
        if self._burst:
            self._refilled = True
            for lane in self._lanes:
                lane.empty = False

    def _check_leases(self) -> None:
        """End and give back what runs when its leases could not be renewed in time: soon somebody else may run it."""
        if not self._fence.too_late():
            return
        self._end_what_runs()
        for lane in self._lanes:
            lane.give_back_unbegun()
        self._fence.renewed(boot_time())  # of the leases that are left, which are none

    def _end_what_runs(self) -> None:
        """Only end it: the fence calls this from a thread of its own, while the loop hangs."""
        if ended := sum(lane.kill_busy() for lane in self._lanes):
            log.error("no lease could be renewed in time; ended what ran in executors: %d", ended)

    # --- stopping --------------------------------------------------------------------------------------------------
    def _stopping(self, now: float, stopped: bool) -> bool:
        if not stopped:
            log.info("stopping: jobs that run get %g s to finish", self._grace)
            self._leave_at = now + self._grace + LAST_WORDS
            for lane in self._lanes:
                lane.stop()
        if self._hurried or now >= (self._stop_at or 0.0):
            self._leave_at = min(self._leave_at, now + LAST_WORDS)
            for lane in self._lanes:
                lane.kill()
        return True

    def _end(self) -> None:
        """Close everything, and say goodbye so that nobody shows this worker any more."""
        self._wait_for_executors()
        self._turns.forget()
        held = [held for lane in self._lanes for held in lane.held()]
        for lane in self._lanes:
            lane.forget()
            for executor in list(lane.executors.values()):
                self._ears.left(executor)
                executor.close()
            lane.executors.clear()
            lane.close()
            self._bells.hang_up(lane)
        if self._outage.since is None:
            goodbye = self._store.heartbeat(self._name, [], rules=self._rules, life=0.0, about=self._about)
            try:
                self._store.run(self._store.release(held), goodbye)
            except MlqError:
                pass  # it will be forgotten by itself
        if self._shelf is not None:
            self._shelf.close()
        self._fence.close()
        self._selector.close()
        self._wake_up.close()
        self._woken.close()

    def _wait_for_executors(self) -> None:
        """Let executors that have nothing to do end by themselves."""
        for lane in self._lanes:
            if not lane.busy:
                lane.stop()
        give_up_at = time.monotonic() + FAREWELL
        while not self._hurried and time.monotonic() < give_up_at and any(lane.winding_down for lane in self._lanes):
            for key, _ in self._selector.select(0.02):
                key.data()
            for lane in self._lanes:
                lane.look_after(time.monotonic())

    def _drain(self) -> None:
        try:
            self._woken.recv(64)
        except BlockingIOError:
            pass


def _jobs(ids: Sequence[str]) -> str:
    """Return `job 7 is` or `jobs 7, 8, 9 and 200 more are`: one line of the log, however many."""
    if len(ids) == 1:
        return f"job {ids[0]} is"
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"jobs {', '.join(ids[:3])}{more} are"
