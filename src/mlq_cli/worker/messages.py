"""What a loop of the user's goes over: an iterator of messages, and the one that is taken by itself."""

from __future__ import annotations

import logging
import threading
import weakref
from types import TracebackType
from typing import Any, Self

from mlq_cli.model.errors import Misuse
from mlq_cli.model.values import unpack
from mlq_cli.worker.consuming import NOTHING, Consuming
from mlq_cli.worker.context import Job

log = logging.getLogger("mlq.consume")


class Messages:
    """What `MLQ.consume` returns: an iterator over messages, with the job of the last one in `job`."""

    def __init__(self, loop: Consuming, timeout: float | None) -> None:
        self._loop = loop
        self._timeout = timeout
        self._busy = threading.Lock()
        # Also when nobody closes us: after a `break`, an exception, or at the end of the program.
        self._finalizer = weakref.finalize(self, loop.close)

    @property
    def job(self) -> Job | None:
        """The job whose message was given last: its id, attempt, queue, …; None before the first and after the end."""
        values = self._loop.values
        return None if values is None else Job(values)

    def stop(self) -> None:
        """End the loop when it asks for the next message, also one that waits. From any thread or signal handler."""
        self._loop.stop()

    def close(self) -> None:
        """End the loop now. The message that it has goes back to its queue."""
        self._finalizer()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """Return the next message. The one before it is finished with that."""
        if not self._busy.acquire(blocking=False):
            raise Misuse("another thread is in this loop", hint="let each thread consume for itself")
        loop = self._loop
        try:
            loop.finish()
            while (values := loop.take(self._timeout)) is not None:
                try:
                    return unpack(values[1] or NOTHING)
                except Misuse as error:  # whoever posted it did not use mlq; this loop can do nothing about it
                    log.error("job %s: %s", values[0].decode(), error)
                    loop.failed(error)
        except KeyboardInterrupt:
            pass  # while it waits, that ends the loop, as in HotQueue
        except BaseException:
            self.close()
            raise
        finally:
            self._busy.release()
        self.close()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pop(loop: Consuming, timeout: float | None) -> Any:
    """Return one message that is finished already, None when there is none."""
    try:
        while (values := loop.take(timeout)) is not None:
            try:
                msg = unpack(values[1] or NOTHING)
            except Misuse as error:
                log.error("job %s: %s", values[0].decode(), error)
                loop.failed(error)
                continue
            loop.finish()
            if loop.tell():  # or it was canceled just now, or is another's
                return msg
        return None
    finally:
        loop.close()
