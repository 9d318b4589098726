"""A lane: which attempt it is that an executor speaks of."""

from __future__ import annotations

import time

from tests_puppet import SETTINGS, Puppet, done, mark_of

from mlq_cli.store.base import Claimed
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.outbox import Outbox


def test_what_was_said_of_an_attempt_is_not_taken_for_a_word_on_the_next_one() -> None:
    """The job was given back behind our back, and comes again with the answer that tells so."""
    outbox, puppets = Outbox(), [Puppet(), Puppet()]
    lane = Lane("jobs", ("default",), puppets.__getitem__, SETTINGS, outbox, size=2)
    lane.look_after(time.monotonic())
    for executor in lane.executors.values():
        executor.became_ready(1)
    lane.take([Claimed("a", None, b"record")], "first")
    puppets[0].receive()
    puppets[0].tell(done("a", "first"))
    lane.take([Claimed("a", None, b"record")], "second")
    puppets[1].receive()
    lane.look_after(time.monotonic())
    assert [(outcome.id, outcome.token) for outcome in outbox.outcomes] == [("a", "first")]
    puppets[1].tell(done("a", "second"))
    lane.hear(lane.executors[1])
    assert [outcome.token for outcome in outbox.outcomes] == ["first", "second"]
    lane.forget()
    lane.close()


def test_what_was_not_sent_of_an_attempt_is_not_taken_for_a_word_on_the_next_one() -> None:
    outbox, puppets = Outbox(), [Puppet()]
    lane = Lane("jobs", ("default",), puppets.__getitem__, SETTINGS, outbox, size=1)
    lane.look_after(time.monotonic())
    lane.executors[0].became_ready(1)
    lane._supply._pace = 1e-6
    lane.take([Claimed(name, None, b"record") for name in "ab"], "first")
    number = puppets[0].receive()
    puppets[0].keep(done("a", "first"))
    puppets[0].board.begin(mark_of(number, 1), time.monotonic())
    lane.take([Claimed("a", None, b"record")], "second")
    lane.dispatch()
    puppets[0].tell(done("a", "first"), done("b", "first"))
    lane.hear(lane.executors[0])
    assert [(outcome.id, outcome.token) for outcome in outbox.outcomes] == [("a", "first"), ("b", "first")]
    lane.forget()
    lane.close()
