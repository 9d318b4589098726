"""saq."""

import asyncio
import os

import ticking
from client import chunks
from saq import Queue

queue = Queue.from_url(os.environ["BENCH_REDIS"])


async def job(ctx, *, msg):
    return ticking.job(msg)


settings = {"queue": queue, "functions": [("job", job)], "concurrency": 20}


async def begin():
    await queue.connect()


async def post(msgs):
    for msg in msgs:
        await queue.enqueue("job", msg=msg)


async def bulk(msgs):
    for chunk in chunks(msgs, 500):
        await asyncio.gather(*(queue.enqueue("job", msg=msg) for msg in chunk))


async def latency(msg):
    assert await queue.apply("job", timeout=10, poll_interval=0.001, msg=msg) == msg
