"""Listing 3: a generator. The first tasks are posted at once and memory stays constant; `total` is for the bar."""

import sys
from functools import partial

from tasks import print_task

from mlq_cli import MLQ

total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000

tasks = (partial(print_task, i) for i in range(total))
mlq = MLQ()
mlq.post_many(tasks, total=total, progress=True)
