"""The keeper of functions: only what is newer replaces, what was removed stays away, and all changes are told."""

from __future__ import annotations

from typing import Any

import pytest

from mlq_cli import MLQ, MlqError
from mlq_cli.model.errors import Refused
from mlq_cli.model.rules import rules_of
from mlq_cli.store.functions import Changes, Functions
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.functions import FULL, MOST, MOST_BYTES
from mlq_cli.store.redis.link import Command


@pytest.fixture
def kept(mlq: MLQ) -> Functions:
    return mlq.store.functions()


def raw(mlq: MLQ, *command: str | int | bytes) -> Any:
    """Do what a stranger with the password of Redis could do."""
    store: Any = mlq.store
    commands: list[Command] = [command]
    (answer,) = store._read(commands)
    return answer


def told(mlq: MLQ, after: int = 0) -> Changes:
    return mlq.store.ask(mlq.store.registered(after))


def test_functions_are_kept_in_order_until_they_are_removed(kept: Functions) -> None:
    for name in ("b", "a", "c"):
        assert kept.register(name, kept.clock(), name.encode())
    assert list(kept.get_all().items()) == [("b", b"b"), ("a", b"a"), ("c", b"c")]
    assert kept.have(["a", "x"]) == [True, False]
    assert kept.remove("a") and not kept.remove("a") and not kept.remove("x")
    assert list(kept.get_all()) == ["b", "c"]


def test_only_a_higher_version_replaces_and_saying_it_again_does_no_harm(kept: Functions) -> None:
    now = kept.clock()
    assert kept.register("f", now, b"one") and kept.register("f", now, b"one")
    assert not kept.register("f", now, b"two") and not kept.register("f", now - 1, b"two")
    assert kept.get_all() == {"f": b"one"}
    assert kept.register("f", now + 1, b"two") and kept.get_all() == {"f": b"two"}


def test_what_was_made_before_a_removal_is_not_taken_after_it(kept: Functions) -> None:
    first = kept.clock()
    assert kept.register("f", first, b"one")
    early = kept.clock()
    assert kept.remove("f")
    assert not kept.register("f", first, b"one") and not kept.register("f", early, b"early")
    assert kept.get_all() == {} and kept.register("f", kept.clock(), b"new")


def test_the_clock_is_above_every_version_also_when_redis_clock_goes_back(kept: Functions) -> None:
    future = kept.clock() + 10**12
    assert kept.register("f", future, b"one") and kept.clock() > future
    assert kept.remove("f") and kept.register("f", kept.clock(), b"two")


def test_changes_are_told_once_in_order_and_removals_too(mlq: MLQ, kept: Functions) -> None:
    assert told(mlq) == Changes([], 0)
    for name in ("a", "b"):
        kept.register(name, kept.clock(), name.encode())
    first = told(mlq)
    assert [(change.name, change.envelope) for change in first.changes] == [("a", b"a"), ("b", b"b")]
    assert told(mlq, first.newest) == Changes([], first.newest)
    kept.remove("a")
    later = told(mlq, first.newest)
    assert [(change.name, change.envelope) for change in later.changes] == [("a", None)]
    assert later.newest == later.changes[0].revision > first.newest
    assert [change.name for change in told(mlq).changes] == ["b", "a"]


def test_many_and_large_ones_are_told_a_part_at_a_time(mlq: MLQ, kept: Functions) -> None:
    for number in range(MOST + 1):
        kept.register(f"f{number}", kept.clock(), b"x")
    first = told(mlq)
    assert len(first.changes) == MOST and first.newest > first.changes[-1].revision
    assert len(told(mlq, first.changes[-1].revision).changes) == 1
    for number in range(3):
        kept.register(f"f{number}", kept.clock(), b"x" * MOST_BYTES)
    assert [len(told(mlq, at).changes) for at in (first.newest, told(mlq, first.newest).changes[-1].revision)] == [2, 1]


def test_there_is_an_end_to_how_many_there_are(mlq: MLQ, kept: Functions) -> None:
    names = [word for number in range(FULL) for word in (f"f{number}", "x")]
    raw(mlq, "HSET", layout.FUNCTIONS(mlq.namespace), *names)
    with pytest.raises(Refused, match="1000 functions"):
        kept.register("one-more", kept.clock(), b"x")
    assert kept.register("f1", kept.clock(), b"another")
    assert kept.remove("f2") and kept.register("one-more", kept.clock(), b"x")


def test_a_change_before_all_time_is_none(mlq: MLQ) -> None:
    for score in ("-7", "-inf"):
        raw(mlq, "ZADD", layout.CHANGES(mlq.namespace), score, f"strange{score}")
    assert told(mlq) == Changes([], 0), "else whoever asks until nothing is new would ask for ever"


def test_what_somebody_has_broken_is_as_good_as_nothing_for_workers(mlq: MLQ, kept: Functions) -> None:
    kept.register("f", kept.clock(), b"x")
    for score in ("inf", "-inf", "-7", "1.5"):
        raw(mlq, "ZADD", layout.CHANGES(mlq.namespace), score, f"strange{score}")
    everything = told(mlq)
    assert [change.name for change in everything.changes] == ["strange1.5", "f"]
    assert [change.name for change in told(mlq, everything.changes[0].revision).changes] == ["f"]
    assert everything.newest == everything.changes[-1].revision and told(mlq, everything.newest).changes == []
    assert kept.register("g", kept.clock(), b"x") and told(mlq).changes[-1].name == "g"
    raw(mlq, "DEL", layout.FUNCTIONS(mlq.namespace))
    raw(mlq, "SET", layout.FUNCTIONS(mlq.namespace), "x")
    assert {change.envelope for change in told(mlq).changes} == {None}
    raw(mlq, "DEL", layout.CHANGES(mlq.namespace))
    raw(mlq, "SET", layout.CHANGES(mlq.namespace), "x")
    assert told(mlq) == Changes([], 0)
    with pytest.raises(MlqError):
        kept.get_all()


def test_what_is_removed_nobody_counts_as_having(mlq: MLQ, kept: Functions) -> None:
    kept.register("f", kept.clock(), b"x")
    mlq.post("msg", functions=["f"])
    about: dict[str, str | float] = {"pid": 1}
    mlq.store.ask(
        mlq.store.heartbeat(
            "w", [], rules=rules_of(mlq.profile), life=30, about=about, functions=["f", "g"], queues=["default"]
        )
    )
    assert mlq.store.unable() == {}
    kept.remove("f")
    assert mlq.store.unable() == {"default": {"f": 1}}
    assert raw(mlq, "ZRANGE", layout.ABLE(mlq.namespace), 0, -1) == [b"g\ndefault"]


def test_nothing_of_it_is_left_when_the_namespace_is_forgotten(mlq: MLQ, kept: Functions) -> None:
    kept.register("f", kept.clock(), b"x")
    kept.remove("f")
    mlq.store.forget()
    assert raw(mlq, "KEYS", f"mlq:{{{mlq.namespace}}}:functions*") == []
