"""mayu: it has no call for many, so bulk is four threads."""

import os
from concurrent.futures import ThreadPoolExecutor

import ticking
from client import chunks
from mayu import App

app = App(broker=os.environ["BENCH_REDIS"], result_ttl=3600)


@app.task
def job(msg):
    return ticking.job(msg)


def post(msgs):
    for msg in msgs:
        job.delay(msg)


def bulk(msgs):
    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(post, chunks(msgs, 500)):
            pass


def latency(msg):
    job.delay(msg).result(timeout=10)
