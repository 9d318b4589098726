"""One end puts tasks into a queue and looks at it, the other one polls it."""

import sys
from functools import partial

from tasks import print_task

from mlq_cli import MLQ

total = int(sys.argv[1]) if len(sys.argv) > 1 else 1000

mlq = MLQ()
mlq.post_many(partial(print_task, i) for i in range(total))
print(mlq.tally().enqueued, "wait,", mlq.tally().inserted, "came in")


# Elsewhere, perhaps in many processes. `mlq worker --calls tasks` does the same, and isolates tasks from each other.
def nothing_left(executed):
    return executed == total


executed = mlq.poll(calls=["tasks"], lease=600, stop_fn=nothing_left)
print(executed, "executed,", mlq.tally().completed, "completed,", mlq.tally().leased, "leased")

mlq.release()  # all tasks that are leased wait again
mlq.rezero()  # counters begin anew
