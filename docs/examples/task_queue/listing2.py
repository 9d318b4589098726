"""Listing 2: all tasks in one call, which sends them by the hundred. The list still has to be made before."""

import sys
from functools import partial

from tasks import print_task

from mlq_cli import MLQ

total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000

tasks = [partial(print_task, i) for i in range(total)]
mlq = MLQ()
mlq.post_many(tasks)
