"""Running jobs that block on others: who waits for whom, which waits are refused, and the order of the line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from mlq_cli.model.errors import Refused
from mlq_cli.model.job import State
from mlq_cli.model.outcome import Kind
from mlq_cli.store.base import Held
from mlq_cli.store.redis import layout
from tests_support import Server
from timed_store import Bench


def running(bench: Bench, number: int = 1) -> list[Held]:
    """Return so many jobs that run, each under a token of its own."""
    return [held for _ in range(number) if bench.post() and (held := bench.take())]


def wait(bench: Bench, held: Held, other: str, serial: int = 1) -> State | None:
    return bench.store.waits().wait(*held, serial, other)


def line(bench: Bench) -> list[str]:
    """Return the queued jobs in the order in which they will be claimed."""
    (ids,) = bench.store._read([layout.members(bench.store.namespace, "default", State.QUEUED)])
    return [job_id.decode() for job_id in ids]


def noted(bench: Bench, job_id: str) -> bytes | None:
    (value,) = bench.store._field([job_id], "awaits")
    return value


def test_a_wait_tells_how_the_other_job_stands(bench: Bench) -> None:
    first, second = running(bench, 2)
    assert wait(bench, first, second.id) is State.RUNNING
    bench.finish(second, "done")
    assert wait(bench, first, second.id) is State.SUCCEEDED
    assert noted(bench, first.id) is None, "an end ends the wait"
    assert wait(bench, first, "no-such-job") is None


def test_a_job_that_is_waited_for_comes_first_in_its_line_and_is_first_only_once(bench: Bench) -> None:
    (held,) = running(bench)
    important, low, plain = bench.post(priority=9) + bench.post(priority=-9) + bench.post()
    assert line(bench) == [important, plain, low]
    assert wait(bench, held, low) is State.QUEUED
    assert line(bench) == [low, important, plain]
    assert wait(bench, held, plain, 2) is State.QUEUED
    assert line(bench) == [plain, low, important]
    assert wait(bench, held, low) is State.QUEUED
    assert line(bench) == [plain, low, important], "it was brought to the front already"
    bench.store.ask(bench.store.release([bench.take()]))
    assert line(bench) == [low, important, plain], "given back, it stands in its own place"
    wait(bench, held, plain, 2)
    assert line(bench) == [plain, low, important]


def test_a_line_that_is_paused_stays_so_and_a_delayed_job_is_no_sooner(bench: Bench) -> None:
    (held,) = running(bench)
    (paused,), (later,) = bench.post(), bench.post(delay=60.0)
    bench.store.ask(bench.store.pause("default", paused=True))
    assert wait(bench, held, paused) is State.QUEUED and wait(bench, held, later, 2) is State.SCHEDULED
    assert not bench.claim().jobs


def test_a_job_cannot_wait_for_itself(bench: Bench) -> None:
    (held,) = running(bench)
    with pytest.raises(Refused, match="a job cannot wait for itself"):
        wait(bench, held, held.id)
    assert noted(bench, held.id) is None


@pytest.mark.parametrize("length", [2, 3, 20])
def test_a_cycle_is_refused_and_says_which_way_it_goes(bench: Bench, length: int) -> None:
    jobs = running(bench, length)
    for one, next_one in pairwise(jobs):
        wait(bench, one, next_one.id)
    with pytest.raises(Refused, match="it would wait for itself") as refused:
        wait(bench, jobs[-1], jobs[0].id)
    way = [jobs[-1].id, *(job.id for job in jobs)]
    shown = way if length < 10 else [*way[:8], "…", way[-1]]
    assert " → ".join(shown) in refused.value.message
    assert noted(bench, jobs[-1].id) is None
    bench.store.waits().over(*jobs[0], 1)
    assert wait(bench, jobs[-1], jobs[0].id) is State.RUNNING, "it is none any more"


def test_of_many_waits_of_one_job_each_counts(bench: Bench) -> None:
    first, second, third = running(bench, 3)
    wait(bench, first, second.id, 1)
    wait(bench, first, third.id, 2)
    for other in (second, third):
        with pytest.raises(Refused):
            wait(bench, other, first.id)
    bench.store.waits().over(*first, 1)
    assert wait(bench, second, first.id) is State.RUNNING
    with pytest.raises(Refused):
        wait(bench, third, first.id)


def test_a_wait_of_an_attempt_that_is_over_counts_no_more(bench: Bench) -> None:
    first, second = running(bench, 2)
    wait(bench, first, second.id)
    bench.fail(first, Kind.LATER)  # it is put off, and its token stays
    assert wait(bench, second, first.id) is State.SCHEDULED
    bench.store.waits().over(*second, 1)
    bench.pass_to(3700)
    bench.beat([second])
    with pytest.raises(Refused, match="canceled, or given back"):
        wait(bench, first, second.id)


def test_a_claim_leaves_nothing_of_the_waits_before_it(bench: Bench) -> None:
    first, second = running(bench, 2)
    wait(bench, first, second.id)
    bench.store.ask(bench.store.release([first]))
    assert noted(bench, first.id) is None
    again = bench.take()
    assert again.id == first.id and wait(bench, second, first.id) is State.RUNNING
    with pytest.raises(Refused, match="given back"):
        wait(bench, first, second.id)


def test_a_stale_token_in_the_record_is_no_wait(bench: Bench) -> None:
    """Whatever left the field there: it speaks of an attempt that is not the present one."""
    first, second = running(bench, 2)
    key = layout.JOB(bench.store.namespace, first.id)
    bench.store._read([("HSET", key, layout.field("awaits"), f"another 1 {second.id}")])
    assert wait(bench, second, first.id) is State.RUNNING


def test_who_is_canceled_waits_no_more(bench: Bench) -> None:
    first, second = running(bench, 2)
    wait(bench, first, second.id)
    bench.store.ask(bench.store.cancel([first.id]))
    with pytest.raises(Refused, match="canceled, or given back"):
        wait(bench, first, second.id)
    assert wait(bench, second, first.id) is State.CANCELED


def test_waits_that_are_too_many_to_look_at_are_refused(bench: Bench) -> None:
    bench.post(*range(1001))
    claims = bench.claim(1001)
    jobs = [Held(job.id, bench.token) for job in claims.jobs]
    assert len(jobs) == 1001
    for one, next_one in pairwise(jobs[1:]):
        wait(bench, one, next_one.id)
    assert wait(bench, jobs[0], jobs[2].id) is State.RUNNING
    bench.store.waits().over(*jobs[0], 1)
    more = running(bench)[0]
    wait(bench, jobs[-1], more.id)
    with pytest.raises(Refused, match="too many jobs wait for each other"):
        wait(bench, jobs[0], jobs[1].id)


def test_a_job_may_block_on_others_while_redis_is_full(short_folder: Path, namespace: str) -> None:
    """Or what they hold of its memory would never be let go."""
    with Server(short_folder) as server:
        bench = Bench(server.url, namespace)
        first, second = running(bench, 2)
        bench.store._read([("CONFIG", "SET", "maxmemory", 1)])
        assert wait(bench, first, second.id) is State.RUNNING
        assert noted(bench, first.id) is not None
        bench.store.close()
