"""huey: results are notified of only where latency is measured, as it costs writes otherwise."""

import os

import ticking
from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["BENCH_REDIS"], notify_result=os.environ["BENCH_LOAD"] == "latency")
job = huey.task(name="job")(ticking.job)


def post(msgs):
    for msg in msgs:
        job(msg)


bulk = post


def latency(msg):
    job(msg).get(blocking=True, timeout=10)
