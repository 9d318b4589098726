"""Small jobs: tasks in five processes of this machine, without a queue. `run` is what they call execute."""

import sys
from functools import partial

from tasks import print_task

from mlq_cli import MLQ

total = int(sys.argv[1]) if len(sys.argv) > 1 else 2000

with MLQ.local(parallel=5, progress=True) as local:
    local.post_many((partial(print_task, i) for i in range(total)), total=total)  # runs them while it draws them

    for i in range(10):  # the other way: take them in, then run them
        local.post(partial(print_task, i))
    local.run()
