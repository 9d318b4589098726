"""Turns: what was sent together, and what to do with its answers."""

from __future__ import annotations

import selectors
from typing import Any

from mlq_cli.model.errors import MlqError, StoreUnavailable
from mlq_cli.store.base import Call
from mlq_cli.worker.turn import Turn, Turns


class Silent:
    """A talk whose answers come when the test says so."""

    room = True
    answered = False

    def __init__(self) -> None:
        self.answers: list[list[Any]] = []

    def fileno(self) -> int | None:
        return None

    def silent_for(self, now: float) -> float:
        return 1.0

    def say(self, *calls: Call[Any]) -> None:
        pass

    def hear(self) -> list[list[Any]]:
        return self.answers

    def close(self) -> None:
        pass


def test_an_action_may_find_out_that_redis_is_away_while_other_answers_are_here() -> None:
    talk, done = Silent(), list[Any]()
    cut: list[MlqError] = []

    def cut_off(error: MlqError) -> None:
        cut.append(error)
        turns.forget()

    with selectors.DefaultSelector() as selector:
        turns = Turns(talk, selector, ended=lambda: None, refused=cut.append, cut_off=cut_off)
        for action in (lambda _: cut_off(StoreUnavailable("no bell")), done.append):
            turn = Turn(whole=not turns.whole_under_way)
            turn.add(Call("any", (), lambda answer: answer), action)
            turns.say(turn)
        talk.answers = [["a claim"], ["outcomes"]]
        turns.hear()
    assert done == ["outcomes"] and len(cut) == 1 and not turns
