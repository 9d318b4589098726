"""The client of one contestant, run in its environment: `client.py MODULE post|bulk|latency COUNT BYTES|mixed|warm-up`.

A contestant's module has `post(msgs)` for one at a time, `bulk(msgs)` for its best way to post many, and
`latency(msg)` for post and wait; each may be a coroutine function. Prints JSON.
"""

import asyncio
import importlib
import inspect
import json
import sys
import time

WARM_UP, PATIENCE = 10, 2.0  # round trips before those that count; seconds after which those are enough
SLOW_EVERY, SLOW_SECONDS = 100, 0.2  # the mixed load


def sleep_of(number):
    """Return the seconds that a job of the mixed load takes; the first ones are short."""
    return SLOW_SECONDS if number % SLOW_EVERY == SLOW_EVERY // 2 else 0


def messages(count, size):
    """Yield the messages of a load, as a generator does."""
    for number in range(count):
        if size == "mixed":
            yield {"i": number, "sleep": sleep_of(number)}
        elif size == "warm-up":
            yield {"i": -1, "sleep": 0.05}
        elif size == "0":
            yield {"i": 7}
        else:
            yield "x" * int(size)


async def called(function, *args):
    """Call a function of either kind."""
    value = function(*args)
    return await value if inspect.isawaitable(value) else value


async def round_trips(function, count):
    """Return the seconds of each round trip."""
    seconds = []
    for _ in range(WARM_UP):
        await called(function, {"i": 7})
    until = time.perf_counter() + PATIENCE
    while len(seconds) < count and time.perf_counter() < until:
        began = time.perf_counter()
        await called(function, {"i": 7})
        seconds.append(time.perf_counter() - began)
    return seconds


async def main(module, verb, count, size):
    """Do what was asked and return what it took."""
    contestant = importlib.import_module(module)
    if hasattr(contestant, "begin"):
        await called(contestant.begin)
    if verb == "latency":
        answer = {"seconds": await round_trips(contestant.latency, int(count))}
    else:
        began, used = time.perf_counter(), time.process_time()
        await called(getattr(contestant, verb), messages(int(count), size))
        answer = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    if hasattr(contestant, "end"):
        await called(contestant.end)
    return answer


def chunks(items, size):
    """Yield lists of so many items; what the contestants share that take a batch at a time."""
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


if __name__ == "__main__":
    sys.modules["client"] = sys.modules["__main__"]
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
