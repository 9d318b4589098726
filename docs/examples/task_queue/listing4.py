"""Listing 4: making tasks while others are under way.

There it takes green threads and a patched standard library. Here `post_many` always draws and packs the next tasks
while Redis works on those before, so the call is the same as before, and a function may be told how many are in.
"""

import sys
from functools import partial

from tasks import print_task

from mlq_cli import MLQ

total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000


def tell(posted):
    print(f"{posted} of {total}", file=sys.stderr)


tasks = (partial(print_task, i) for i in range(total))
mlq = MLQ()
mlq.post_many(tasks, total=total, progress=tell)
