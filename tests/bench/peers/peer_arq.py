"""arq. Run as a program it is the worker: arq's own command writes two log lines a job."""

import asyncio
import os

import ticking
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import run_worker
from client import chunks

settings = RedisSettings.from_dsn(os.environ["BENCH_REDIS"])


async def job(ctx, msg):
    return ticking.job(msg)


class WorkerSettings:
    functions = (job,)
    redis_settings = settings
    max_jobs = 100
    poll_delay = 0.01


async def begin():
    global pool
    pool = await create_pool(settings)


async def post(msgs):
    for msg in msgs:
        await pool.enqueue_job("job", msg)


async def bulk(msgs):
    for chunk in chunks(msgs, 500):
        await asyncio.gather(*(pool.enqueue_job("job", msg) for msg in chunk))


async def latency(msg):
    await (await pool.enqueue_job("job", msg)).result(timeout=10, poll_delay=0.001)


if __name__ == "__main__":
    run_worker(WorkerSettings)
