"""rq."""

import os

import redis
from client import chunks
from rq import Queue
from ticking import job

queue = Queue("bench", connection=redis.from_url(os.environ["BENCH_REDIS"]))


def post(msgs):
    for msg in msgs:
        queue.enqueue(job, msg)


def bulk(msgs):
    for chunk in chunks(msgs, 500):
        queue.enqueue_many([Queue.prepare_data(job, (msg,)) for msg in chunk])


def latency(msg):
    assert queue.enqueue(job, msg).latest_result(timeout=10) is not None
