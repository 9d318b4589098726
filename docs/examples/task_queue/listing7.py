"""Listing 7: the same without a pool. What has a length and slices is shared out among processes; errors come back."""

import sys
from functools import partial

from tasks import print_task

from mlq_cli import MLQ


class PrintTasks:
    """Tasks that are made when somebody asks for a slice of them."""

    def __init__(self, start, end):
        self.start, self.end = start, end

    def __len__(self):
        return self.end - self.start

    def __getitem__(self, part):
        start, end, _ = part.indices(len(self))
        return PrintTasks(self.start + start, self.start + end)

    def __iter__(self):
        for i in range(self.start, self.end):
            yield partial(print_task, i)


total = int(sys.argv[1]) if len(sys.argv) > 1 else 200

mlq = MLQ()
mlq.post_many(PrintTasks(0, total), parallel=2)
