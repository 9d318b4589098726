"""celery: the result backend is Redis too; bulk keeps one producer."""

import os

import ticking
from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])
app.conf.update(worker_prefetch_multiplier=100, worker_hijack_root_logger=False, worker_enable_remote_control=False)
job = app.task(name="job")(ticking.job)


def post(msgs):
    for msg in msgs:
        job.delay(msg)


def bulk(msgs):
    with app.producer_or_acquire() as producer:
        for msg in msgs:
            job.apply_async((msg,), producer=producer)


def latency(msg):
    job.delay(msg).get(timeout=10)
