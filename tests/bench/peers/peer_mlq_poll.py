"""Ours in python-task-queue's manner: partials of a function, polled for in the caller's own process."""

from functools import partial

from peer_mlq import queue
from ticking import job


def post(msgs):
    for msg in msgs:
        queue.post(partial(job, msg))


def bulk(msgs):
    queue.post_many(partial(job, msg) for msg in msgs)


if __name__ == "__main__":
    queue.poll(job)
