"""What waits for a job that takes longer than was thought: the outcomes before it in its slice, the jobs behind it."""

from __future__ import annotations

from mlq_cli.worker.executor import Executor
from mlq_cli.worker.hearing import Hearing
from mlq_cli.worker.supply import STUCK, Supply

HELD = 0.002  # seconds after which the outcomes of a slice that takes longer than was thought are looked for


class Behind:
    """Looks at one executor of a lane at a time."""

    def __init__(self, supply: Supply, hearing: Hearing) -> None:
        self._supply = supply
        self._hearing = hearing

    def look(self, executor: Executor, now: float) -> bool:
        """Take in the outcomes that wait and take back the jobs that wait; returns whether there were any of these."""
        since, slices = executor.runs_since(), self._supply.slices
        if since is None:
            return False
        mark = executor.board.begun().mark
        if now - since > HELD and executor.looked_at != mark and len(slices.up_to(mark)) > 1:
            executor.looked_at = mark
            self._hearing.hear_unsent(executor)
        if now - since <= STUCK or not slices.behind(mark):
            return False
        self._supply.slow()
        self._supply.recall(executor)
        self._supply.take_back()  # so that the oldest are the first again
        return True

    def next_look(self, executor: Executor, now: float) -> list[float]:
        """Return the seconds until there may be something to do, none when there will not."""
        since, slices = executor.runs_since(), self._supply.slices
        if since is None:
            return []
        mark, times = executor.board.begun().mark, []
        if executor.looked_at != mark and len(slices.up_to(mark)) > 1:
            times.append(since + HELD - now)
        if slices.behind(mark):
            times.append(since + STUCK - now)
        return times
