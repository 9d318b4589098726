"""taskiq with either of its durable brokers: BENCH_MODE is `stream` or `list`."""

import asyncio
import os

import ticking
from client import chunks
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

url = os.environ["BENCH_REDIS"]
made = ListQueueBroker(url) if os.environ["BENCH_MODE"] == "list" else RedisStreamBroker(url, consumer_id="0")
broker = made.with_result_backend(RedisAsyncResultBackend(url))


@broker.task(task_name="job")
async def job(msg):
    return ticking.job(msg)


async def begin():
    await broker.startup()


async def end():
    await broker.shutdown()


async def post(msgs):
    for msg in msgs:
        await job.kiq(msg)


async def bulk(msgs):
    for chunk in chunks(msgs, 500):
        await asyncio.gather(*(job.kiq(msg) for msg in chunk))


async def latency(msg):
    await (await job.kiq(msg)).wait_result(check_interval=0.001, timeout=10)
