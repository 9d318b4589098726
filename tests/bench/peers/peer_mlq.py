"""Ours: the API on the client's side, `mlq worker --fn ticking:job` on the other."""

import os

from mlq_cli import MLQ

queue = MLQ()


def post(msgs):
    for msg in msgs:
        queue.post(msg)


def bulk(msgs):
    queue.post_many(msgs)


def latency(msg):
    queue.wait(queue.post(msg), 10)


def pause(msgs):
    queue.pause()


def resume(msgs):
    queue.resume()


def teach(msgs):
    """Load all scripts, as any longer use of them has."""
    import redis

    from mlq_cli.store.redis.scripts import script, verbs

    with redis.from_url(os.environ["BENCH_REDIS"]) as client:
        for verb in verbs():
            client.script_load(script(verb).body)
