"""A stream of messages through a local run: drawn as far as there is room, their jobs given out in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mlq_cli.local.entry import Entry
from mlq_cli.model.options import PostOptions

if TYPE_CHECKING:
    from mlq_cli.local.local import Local

HELD_BYTES = 64 << 20  # of messages and results, above which no more messages are drawn
NOTHING_NOW = 0.05  # seconds between two looks at messages of which none is there right now


def each(
    local: Local, messages: Iterator[bytes | None], options: PostOptions, *, ahead: int, forget: bool
) -> Iterator[Entry]:
    """Run messages and yield their jobs in order; a message that is None says that there is none right now.

    What drawing one raises is raised when those before it have ended. When the iterator is left before its end, what
    was drawn and has not ended is canceled.

    Args:
        ahead: jobs that may be under way or ended behind the first that has not ended.
        forget: whether a job is known to nobody else once it was yielded.
    """
    runner, book = local.runner, local.book
    wait = getattr(messages, "wait", time.sleep)  # a pipe may be full again long before the time is over
    begun: deque[Entry] = deque()
    error: Exception | None = None
    drawing = True
    try:
        while drawing or begun:
            nothing_now = False
            while drawing and not nothing_now and len(begun) < ahead and (not begun or book.bytes < HELD_BYTES):
                try:
                    message = next(messages)
                except StopIteration:
                    drawing = False
                except Exception as raised:  # noqa: BLE001  raised below
                    error, drawing = raised, False
                else:
                    if message is None:
                        nothing_now = True
                        break
                    begun.append(book.post(message, options, lasting=False))
                    runner.wake()
                    if begun[0].state.terminal:
                        break
            if begun:
                head = begun[0]
                deadline = time.monotonic() + NOTHING_NOW if nothing_now else None
                runner.work(_ended(head), deadline)
                while begun and begun[0].state.terminal:
                    head = begun.popleft()
                    if forget:
                        book.forget(head)
                    yield head
            elif drawing:
                wait(NOTHING_NOW)
        if error is not None:
            raise error
    finally:
        for entry in begun:
            local.cancel_entry(entry)


def _ended(entry: Entry) -> Callable[[], bool]:
    return lambda: entry.state.terminal
