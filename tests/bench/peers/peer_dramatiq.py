"""dramatiq with its results middleware."""

import os

import dramatiq
import ticking
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=os.environ["BENCH_REDIS"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BENCH_REDIS"])))
dramatiq.set_broker(broker)
job = dramatiq.actor(store_results=True, actor_name="job")(ticking.job)


def post(msgs):
    for msg in msgs:
        job.send(msg)


bulk = post


def latency(msg):
    job.send(msg).get_result(block=True, timeout=10_000)
