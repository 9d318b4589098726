"""The thread beside a loop in the caller's own process: it keeps the leases, and what waits behind a long message."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from mlq_cli.model.errors import MlqError, StoreUnavailable
from mlq_cli.worker.fence import boot_time
from mlq_cli.worker.outage import Outage
from mlq_cli.worker.stock import Stock

log = logging.getLogger("mlq.consume")

LOOK = 0.03  # seconds between two looks at a body that is at work, while there is something that must not wait for it
LONG = 0.05  # seconds after which it must not


class Keeper:
    """Renews leases, tells outcomes and gives back messages while the loop's body is at work."""

    def __init__(self, stock: Stock, outage: Outage) -> None:
        self._stock = stock
        self._outage = outage
        self._wake = threading.Event()
        self._closed = False
        self._late = False  # leases could not be renewed, and that was told
        self._beat_at = 0.0
        self.started = False
        self.dozing = False  # until the next heartbeat
        self.last: Callable[[], None] | None = None  # to be called when the lock is free
        self._thread = threading.Thread(target=self._run, daemon=True, name="mlq-consume")

    def start(self) -> None:
        """Begin."""
        self.started = True
        self._thread.start()

    def wake(self) -> None:
        """There is something again that must not wait."""
        self._wake.set()

    def close(self) -> None:
        """End it. Under the stock's lock: then it says nothing any more."""
        self._closed = True
        self._wake.set()

    def is_this_thread(self) -> bool:
        """Whether it is the caller's own."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        while not self._closed:
            with self._stock.lock:
                if self._closed:
                    return
                self._look(time.monotonic())
            if self.last is not None:
                return self.last()
            self.dozing = True  # first, so that what comes in while we look wakes us
            self.dozing = not self._something()
            pause = LOOK if not self.dozing else max(LOOK, self._beat_at - time.monotonic())
            self._wake.wait(pause)
            self._wake.clear()

    def _something(self) -> bool:
        """Whether there is something that must not wait for a long message."""
        stock = self._stock
        return bool(stock.unbegun or stock.under_way or stock.outbox.unsaid)

    def _look(self, now: float) -> None:
        if self._outage.waiting(now):
            return self._check_leases()
        try:
            if now >= self._beat_at:
                self._beat_at = now + self._stock.beat()
                self._late = False
            self._clear_the_way()
        except MlqError as error:
            self._beat_at = 0.0
            (self._outage.began if isinstance(error, StoreUnavailable) else self._outage.refused)(error)
            self._check_leases()
        else:
            self._outage.ended()

    def _clear_the_way(self) -> None:
        """Tell what is done, and give back what is not begun, when the body takes long with what it is at."""
        stock, since = self._stock, self._stock.begun_at
        if since is None or boot_time() - since < LONG:
            return
        stock.hear()
        if stock.give_back_unbegun() or stock.outbox.unsaid:
            stock.say(0)
            stock.hear()

    def _check_leases(self) -> None:
        if self._stock.held and not self._late and boot_time() >= self._stock.fresh_until:
            self._late = True
            log.error("the leases of this loop could not be renewed in time: others may have its messages by now")
