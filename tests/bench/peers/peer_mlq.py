"""Ours: the API on the client's side, `mlq worker --fn ticking:job` on the other."""

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
