"""Counters turned into rates."""

from __future__ import annotations

import pytest

from mlq_cli.http.sampler import Sampler
from mlq_cli.model.job import State
from mlq_cli.model.rates import KEPT, SPACING, Rates
from mlq_cli.model.times import Histogram, Times
from mlq_cli.store.base import QueueCounts


class Clock:
    """Moved by the test."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_look_tells_nothing_and_two_tell_what_grew_between_them(clock: Clock) -> None:
    rates = Rates(clock)
    assert rates.over(10) == {}
    rates.take({"a": {"posted": 100}})
    assert rates.over(10) == {}
    clock.now += 2
    rates.take({"a": {"posted": 130}})
    assert rates.over(10) == {"a": {"posted": 15.0}} == rates.over(60)


def test_a_short_and_a_long_time_are_told_apart(clock: Clock) -> None:
    rates, posted = Rates(clock), 0.0
    for second in range(120):
        rates.take({"a": {"posted": posted}})
        posted += 1 if second < 105 else 7
        clock.now += 1
    assert rates.over(10)["a"]["posted"] == 7.0
    assert rates.over(60)["a"]["posted"] == pytest.approx((46 * 1 + 14 * 7) / 60)


def test_a_queue_that_is_new_began_at_nothing(clock: Clock) -> None:
    rates = Rates(clock)
    rates.take({})
    clock.now += 4
    rates.take({"new": {"posted": 8}})
    assert rates.over(10) == {"new": {"posted": 2.0}}


def test_a_counter_that_was_begun_anew_makes_no_rate_below_nothing(clock: Clock) -> None:
    rates = Rates(clock)
    rates.take({"a": {"posted": 1000}})
    clock.now += 10
    rates.take({"a": {"posted": 20}})
    assert rates.over(10) == {"a": {"posted": 2.0}}


def test_however_often_somebody_looks_few_looks_are_kept_and_the_newest_counts(clock: Clock) -> None:
    rates = Rates(clock)
    for number in range(20_000):
        rates.take({"a": {"posted": number}})
        clock.now += 0.01
    assert len(rates._looks) <= KEPT / SPACING + 3
    assert rates.over(10)["a"]["posted"] == pytest.approx(100, rel=0.03)  # of a little more than 10 s
    rates.take({"a": {"posted": 30_000}})
    rates.take({"a": {"posted": 30_000}})  # in the very same moment
    assert rates.over(10)["a"]["posted"] == pytest.approx(1100, rel=0.03)  # of a little more than 10 s


def test_the_sampler_tells_each_queue_and_all_of_them_without_callbacks(clock: Clock) -> None:
    none = Histogram((), (0,), 0.0)

    def counts(queue: str, posted: float, dead: float = 0.0) -> QueueCounts:
        stats = {"posted": posted, "dead": dead, "lost": 5.0}
        return QueueCounts(queue, False, dict.fromkeys(State, 0), stats, Times(none, none, none, None))

    sampler = Sampler(clock)
    assert sampler.of("a") == {"posted": 0.0, "succeeded": 0.0, "dead": 0.0} == sampler.together()
    sampler.take([counts("a", 10), counts("b", 0), counts("_callbacks", 0)])
    clock.now += 5
    sampler.take([counts("a", 20, dead=5), counts("b", 5), counts("_callbacks", 50)])
    assert sampler.of("a") == {"posted": 2.0, "succeeded": 0.0, "dead": 1.0}
    assert sampler.of("_callbacks")["posted"] == 10.0 and sampler.of("unknown")["posted"] == 0.0
    assert sampler.together() == {"posted": 3.0, "succeeded": 0.0, "dead": 1.0}
