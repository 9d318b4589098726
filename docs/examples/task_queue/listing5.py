"""Listing 5: several processes, each of which makes and posts its own part of the tasks."""

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tasks import print_task

from mlq_cli import MLQ


def upload(bounds):
    start, end = bounds
    tasks = (partial(print_task, i) for i in range(start, end))
    with MLQ() as mlq:
        mlq.post_many(tasks, total=end - start)


if __name__ == "__main__":
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    quarter = total // 4
    ranges = [(start, start + quarter) for start in range(0, 4 * quarter, quarter)]
    with ProcessPoolExecutor(max_workers=4, mp_context=get_context("spawn")) as pool:
        list(pool.map(upload, ranges))
