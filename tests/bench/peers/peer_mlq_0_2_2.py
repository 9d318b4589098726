"""The original mlq 0.2.2. Run as a program it is the worker, as its documentation shows."""

import asyncio
import os
import time
from urllib.parse import urlsplit

import ticking
from mlq.queue import MLQ

redis = urlsplit(os.environ["BENCH_REDIS"])
queue = MLQ("bench", redis.hostname, redis.port, 0)


def post(msgs):
    for msg in msgs:
        queue.post(msg)


bulk = post


def latency(msg):
    job_id = queue.post(msg)
    while queue.get_progress(job_id) != "[completed]":
        time.sleep(0.0001)


if __name__ == "__main__":
    queue.create_listener(lambda msg, utils: ticking.job(msg))
    asyncio.get_event_loop().run_forever()
