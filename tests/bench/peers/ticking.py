"""The job that every contestant runs: count itself in a file that only the benchmark reads, return its message.

A worker's threads and processes each have a file of their own, four words in shared memory: how many, when the first
and when the last began, and when the first after a pause did. So the drain is measured without one command to Redis.
Runs on Python 3.8 and newer.
"""

import mmap
import os
import struct
import tempfile
import threading
import time

PAUSE = 0.1  # seconds, as in arena.py
_slots = threading.local()
os.register_at_fork(after_in_child=lambda: _slots.__dict__.clear())


class _Slot:
    """The file of one thread, made under another name so that nobody sees it half done."""

    def __init__(self):
        handle, name = tempfile.mkstemp(suffix=".new", dir=os.environ["BENCH_TICKS"])
        now = time.monotonic()
        os.write(handle, struct.pack("qddd", 0, now, now, now))
        view = memoryview(mmap.mmap(handle, 32))
        self.count, self.times = view.cast("q"), view.cast("d")
        os.close(handle)
        os.rename(name, name[:-4] + ".tick")


def job(msg):
    """Return the message; one that says `sleep` also takes so many seconds and notes when it began."""
    try:
        slot = _slots.slot
    except AttributeError:
        slot = _slots.slot = _Slot()
    now, times = time.monotonic(), slot.times
    slot.count[0] += 1
    if now - times[2] > PAUSE:
        times[3] = now
    times[2] = now
    if "sleep" in msg:
        _note(msg["i"])
        if msg["sleep"]:
            time.sleep(msg["sleep"])
    return msg


def brief(msg):
    """A job that takes a fifth of a millisecond: long enough for a worker to look what it has changed."""
    until = time.monotonic() + 0.0002
    while time.monotonic() < until:
        pass
    return job(msg)


def waits(msg):
    """A job that waits for something."""
    time.sleep(0.01)
    return job(msg)


async def waits_async(msg):
    """The same on an event loop."""
    import asyncio  # not above: it would count as memory of all the others

    await asyncio.sleep(0.01)
    return job(msg)


def prints(msg):
    """A job that prints a line."""
    print("a line of some forty letters, as jobs do", flush=True)
    return job(msg)


def _note(number):
    name = f"{os.getpid()}-{threading.get_ident()}.begun"
    with open(os.path.join(os.environ["BENCH_TICKS"], name), "ab") as file:
        file.write(struct.pack("qd", number, time.monotonic()))
