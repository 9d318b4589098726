"""blitzq in either delivery mode: BENCH_MODE is `reliable` or `fast`."""

import os

import ticking
from blitzq import Queue
from client import chunks

queue = Queue("bench", redis_url=os.environ["BENCH_REDIS"], mode=os.environ["BENCH_MODE"])


@queue.task(name="job")
async def job(msg):
    return ticking.job(msg)


async def end():
    await queue.close()


async def post(msgs):
    for msg in msgs:
        await job.enqueue(msg)


async def bulk(msgs):
    for chunk in chunks(msgs, 500):
        await job.enqueue_many([(msg,) for msg in chunk])


async def latency(msg):
    await queue.get_result((await job.enqueue(msg)).id, timeout=10)
