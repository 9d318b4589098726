"""python-task-queue with its file queue, in memory here."""

import os
from functools import partial

from taskqueue import TaskQueue, queueable
from ticking import job

queueable(job)
queue = TaskQueue(f"fq://{os.environ['BENCH_TICKS']}/queue", progress=False)


def post(msgs):
    for msg in msgs:
        queue.insert(partial(job, msg))


def bulk(msgs):
    queue.insert(partial(job, msg) for msg in msgs)


if __name__ == "__main__":
    queue.poll(lease_seconds=300)
