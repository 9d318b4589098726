"""Consuming in the caller's own process: a loop over messages, each finished when the loop asks for the next one.

Two things go on beside the loop's body: while it handles messages the next ones are on their way (`stock.py`), and a
thread keeps their leases (`keeper.py`). How many are claimed ahead adapts: as many as it handles in 10 ms.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Token
from math import inf
from typing import Any

from mlq_cli.model.errors import Misuse, MlqError, StoreUnavailable
from mlq_cli.model.generation import enter, leave
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.store.base import Bell, Store
from mlq_cli.worker.claiming import TICK
from mlq_cli.worker.failure import described
from mlq_cli.worker.fence import boot_time
from mlq_cli.worker.keeper import Keeper
from mlq_cli.worker.outage import Outage
from mlq_cli.worker.run import about_this, worker_name
from mlq_cli.worker.stock import Stock
from mlq_cli.worker.supply import DEPTH, SPAN

log = logging.getLogger("mlq.consume")

OVERDUE = 2.0  # seconds after which a bell that has not answered is taken for dead
NOTHING = b"\xc0"  # None in msgpack
LAST_WORDS = 2.0  # seconds to try and tell Redis the rest in the end

_free_names: list[tuple[int, str]] = []  # of loops that have ended: Redis remembers each name for an hour and more


class Consuming:
    """Takes messages for one loop, and says what became of them. For one thread at a time."""

    def __init__(
        self,
        store: Store,
        queues: Sequence[str],
        rules: Rules,
        *,
        ahead: int | None = None,
        runs: str = "",
        keeps: bool = True,
        functions: Sequence[str] | None = None,
    ) -> None:
        """`ahead`: messages to hold at most, None: what pays; `runs`: names of functions, for `mlq workers`.

        `keeps`: whether leases have to last, for what takes a message has work to do with it. `functions`: it can run,
        None: it takes whatever comes.
        """
        self._pid = os.getpid()
        self.name = _take_name(self._pid)
        self._store, self._queues, self._rules, self.lease = store, queues, rules, rules.lease
        self.stock = Stock(store, queues, self.name, rules, about_this(tuple(queues), 1, (runs,)), functions)
        self._outage = Outage()
        self._keeper = Keeper(self.stock, self._outage) if keeps else None
        self._bell: Bell | None = None
        self._alarm: tuple[socket.socket, socket.socket] | None = None
        self._most = ahead or DEPTH
        self._depth = 1
        self._pace: float | None = None  # seconds a message takes, lately
        self.stopping = self.closed = False
        self._was_there = False  # Redis has answered
        self._troubled_since: float | None = None
        self._generation: Token[int] | None = None  # of whoever runs the loop
        self.values: list[Any] | None = None  # of the message that the body has now, as worker/context.py reads them

    # --- taking ----------------------------------------------------------------------------------------------------
    def take(self, timeout: float | None) -> list[Any] | None:
        """Return the next message, None when none has come within `timeout` seconds or the loop was stopped.

        Raises MlqError: Redis is out of reach at the beginning, or in a loop with a timeout for longer than that and
        a lease.
        """
        if self._pid != os.getpid():
            raise Misuse("this loop belongs to the process that was forked", hint="consume anew in each process")
        stock, asked_at = self.stock, None
        while not (self.stopping or self.closed):
            if stock.unbegun:
                values = self._begin()
                if values is not None:
                    return values
            asked_at = asked_at or time.monotonic()
            if not self._fetch(asked_at, timeout):
                return None
        return None

    def _begin(self) -> list[Any] | None:
        """Take one of those that are here; None when they are no longer ours, or the keeper was faster."""
        stock = self.stock
        try:
            values = stock.unbegun.popleft()
        except IndexError:
            return None
        if len(stock.unbegun) < self._depth >> 1 and not (stock.empty or stock.under_way):
            self._ask_ahead()
        now = boot_time()
        if now >= stock.fresh_until:  # this process was frozen, or could not renew: others may have them by now
            with stock.lock:
                stock.give_back(values[0].decode())
                stock.give_back_unbegun()
            return None
        token = enter(int(values[9] or 0) + 1)
        if self._generation is None:
            self._generation = token
        self.values = values
        stock.begun_at = now
        return values

    def _ask_ahead(self) -> None:
        """Ask for the next ones, and tell what is done, while there are still some here."""
        stock = self.stock
        with stock.lock:
            if stock.under_way or self._outage.since is not None:
                return
            self._depth = self._depth_now()
            if self._depth > 1:
                try:
                    stock.say(self._depth - len(stock.unbegun))
                except MlqError as error:
                    self._outage.began(error)
        if self._keeper is not None and self._keeper.dozing:
            self._keeper.wake()

    def _depth_now(self) -> int:
        if self._pace is None:
            return 1  # nothing is known yet
        return self._most if self._pace * self._most <= SPAN else max(1, int(SPAN / self._pace))

    def _fetch(self, asked_at: float, timeout: float | None) -> bool:
        """Wait until something is here; returns whether it is."""
        stock = self.stock
        tick = min(TICK, self._rules.lease * 0.4)
        while not self.stopping:
            troubled = self._troubled_since is not None  # then first what is done, before more is taken
            try:
                with stock.lock:
                    if not stock.under_way:
                        self._depth = self._depth_now()
                        stock.say(0 if troubled else self._depth)
                    stock.hear()
                    self._outage.ended()
                self._was_there, self._troubled_since = True, None
                if stock.unbegun:
                    self._keep()
                    return True
                if troubled or stock.outbox.unsaid or (stock.passed and not stock.looked_through):
                    continue
                left = inf if timeout is None else asked_at + timeout - time.monotonic()
                if left <= 0:
                    return False
                self._keep()
                rest = stock.search.left(time.monotonic())
                if rest:  # without the bell: it would take the tokens of those that can run what waits here
                    self._wait(min(left, rest))
                else:
                    self._sleep(min(left, tick, stock.look_again + 0.001))
            except MlqError as error:
                self._wait_out(error, timeout)
        return False

    def _keep(self) -> None:
        keeper = self._keeper
        if keeper is not None and not keeper.started:
            keeper.start()
        elif keeper is not None and keeper.dozing and self.stock.unbegun:
            keeper.wake()

    # --- waiting ---------------------------------------------------------------------------------------------------
    def _sleep(self, seconds: float) -> None:
        """Sleep until the bell rings, the loop is stopped, or so many seconds are over."""
        if self._bell is None:
            self._bell = self._store.bell(self._queues)
        self._bell.listen(seconds)
        rung = False
        try:
            rung = self._wait(seconds + OVERDUE, self._bell)
        finally:
            if not rung:  # it would take a token that should wake another
                self._hang_up()
        if self._bell is not None:
            self._bell.answered()

    def _wait(self, seconds: float, bell: Bell | None = None) -> bool:
        """Wait until the bell rings, which is told, or the loop is stopped."""
        if self._alarm is None:
            self._alarm = socket.socketpair()
            for end in self._alarm:
                end.setblocking(False)
        poll = select.poll()
        poll.register(self._alarm[1], select.POLLIN)
        if bell is not None:
            poll.register(bell.fileno(), select.POLLIN)
        if self.stopping:
            return False
        ready = poll.poll(max(0.0, seconds) * 1000)
        return bell is not None and any(number == bell.fileno() for number, _ in ready)

    def pause(self, seconds: float) -> None:
        """Wait for so long, or until the loop is stopped."""
        self._wait(seconds)

    def _hang_up(self) -> None:
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def _wait_out(self, error: MlqError, timeout: float | None) -> None:
        """Redis is away, or refuses: wait a little, unless that is for the caller to know at once."""
        now = time.monotonic()
        self._troubled_since = self._troubled_since or now
        if not self._was_there or isinstance(error, Misuse):
            raise error
        if timeout is not None and now - self._troubled_since > max(timeout, self._rules.lease):
            raise error
        self._hang_up()
        with self.stock.lock:
            (self._outage.refused if _answers(error) else self._outage.began)(error)
        self._wait(self._outage.until - now)

    def stop(self) -> None:
        """End the loop when it asks for the next message. From any thread, or a signal handler; not from a fork."""
        if self._pid != os.getpid():
            return
        self.stopping = True
        if self._alarm is not None:
            try:
                self._alarm[0].send(b"!")
            except OSError:
                pass  # it is closed, or told already

    # --- settling --------------------------------------------------------------------------------------------------
    def settle(self, kind: str, first: bytes, second: bytes, third: bytes = b"") -> None:
        """Say what became of the message that the body has; see `Outcome`. It leaves with the next turn."""
        values, stock = self.values, self.stock
        if values is None:
            return
        seconds = boot_time() - (stock.begun_at or 0.0)
        self.values = stock.begun_at = None
        self._pace = seconds if self._pace is None else self._pace + 0.2 * (seconds - self._pace)
        outcome = Outcome(values[0].decode(), values[8].decode(), kind, seconds, first, second, third)
        stock.outbox.outcomes.append(outcome)

    def tell(self) -> bool:
        """Tell Redis now what is settled; returns whether it has taken all of that. Raises MlqError."""
        stock, done = self.stock, self.stock.done
        with stock.lock:
            stock.hear()
            told = len(stock.outbox.outcomes)
            stock.say(0)
            stock.hear()
        return stock.done - done == told

    def finish(self) -> None:
        """Say that the message which the body has is done; it has no result."""
        self.settle("done", b"", NOTHING)

    def failed(self, error: BaseException, kind: Kind = Kind.ERROR) -> None:
        """Say that the attempt has failed with this error."""
        self.settle(kind.value, *described(error))

    def close(self) -> None:
        """Tell Redis what is done, give the rest back, and be shown no more. Does nothing in a fork."""
        if self.closed or self._pid != os.getpid():
            return
        self.closed = True
        stock, keeper = self.stock, self._keeper
        if keeper is not None and keeper.is_this_thread():
            self.closed = False  # the garbage collector has called us there: with the lock that we need
            keeper.last = self.close
            return
        with stock.lock:
            if keeper is not None:
                keeper.close()
            if self.values is not None:
                stock.give_back(self.values[0].decode())
            self.values = stock.begun_at = None
            self._say_goodbye()
            stock.forget()
        self._hang_up()
        for end in self._alarm or ():
            end.close()
        if self._generation is not None:
            leave(self._generation)
        _free_names.append((self._pid, self.name))

    def _say_goodbye(self) -> None:
        stock, give_up_at = self.stock, time.monotonic() + LAST_WORDS
        while True:
            try:
                return stock.say_goodbye()
            except MlqError as error:
                if not self._was_there or time.monotonic() > give_up_at:
                    if stock.held:
                        log.error("%s; jobs that come again for this: %d", error, len(stock.held))
                    return
                time.sleep(0.1)


def _answers(error: MlqError) -> bool:
    return not isinstance(error, StoreUnavailable)


def _take_name(pid: int) -> str:
    with suppress(IndexError):  # there is none, or another thread has just taken the last one
        while True:
            owner, name = _free_names.pop()
            if owner == pid:  # not one of a process that we are a fork of
                return name
    return f"consume-{worker_name()}"
