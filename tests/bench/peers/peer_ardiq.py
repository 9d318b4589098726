"""ardiq."""

import os

import ticking
from ardiq import Ardiq
from client import chunks

app = Ardiq(redis_url=os.environ["BENCH_REDIS"], queue_name="bench", concurrency=100)


@app.task()
async def job(msg):
    return ticking.job(msg)


async def post(msgs):
    for msg in msgs:
        await job.enqueue(msg)


async def bulk(msgs):
    for chunk in chunks(msgs, 500):
        await app.enqueue_many([job.prepare(msg) for msg in chunk])


async def latency(msg):
    await (await job.enqueue(msg)).result(timeout=10)
