"""Listing 1: each task by itself. The slow way: a list of all tasks first, then a round trip for each."""

import sys
from functools import partial

from tasks import print_task

from mlq_cli import MLQ

total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000

tasks = [partial(print_task, i) for i in range(total)]
mlq = MLQ()
for task in tasks:
    mlq.post(task)
