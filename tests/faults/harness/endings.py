"""What has to be true of jobs when all is over: each ended, once, in one place, and counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mlq_cli import MLQ, State
from mlq_cli.model.job import TERMINAL
from mlq_cli.store.redis import layout
from tests_support import wait_until


def wait_all_ended(mlq: MLQ, ids: Sequence[str], *, seconds: float = 30.0) -> None:
    """Return when all of these have ended."""

    def unfinished() -> int:
        return sum(state not in TERMINAL for state in mlq.states(ids))

    try:
        wait_until(lambda: unfinished() == 0, seconds=seconds)
    except AssertionError:
        raise AssertionError(f"states after {seconds} s: {Counter(mlq.states(ids))}") from None


def assert_each_ended_once(mlq: MLQ, ids: Sequence[str], state: State = State.SUCCEEDED) -> dict[str, float]:
    """Every job is in this one state, in its record and in one set, and was counted once; returns the counters."""
    records = mlq.get_jobs(ids)
    assert [record["id"] for record in records if record and record["state"] is state] == list(ids)
    (counts,) = [counts for counts in mlq.counts() if counts.queue == "default"]
    assert {each: number for each, number in counts.states.items() if number} == {state: len(ids)}
    assert counts.stats[state.value] == len(ids), "recorded twice, or not at all"
    assert members(mlq) == Counter(ids), "in no set or in several"
    return counts.stats


def members(mlq: MLQ, queue: str = "default") -> Counter[str]:
    """Return how many state sets of the queue each job is in."""
    found = mlq.store._read([layout.members(mlq.namespace, queue, state) for state in State])  # type: ignore[attr-defined]
    return Counter(job_id.decode() for answer in found for job_id in answer)
