"""What is kept for those who follow a job, and that other jobs cost nothing."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlq_cli.following import Following, look
from mlq_cli.model.errors import Misuse, StoreFull, StoreUnavailable
from mlq_cli.model.job import State
from mlq_cli.model.outcome import Kind
from mlq_cli.model.rules import Retention
from mlq_cli.model.values import pack, unpack
from mlq_cli.store.base import Held, Part, Progress
from mlq_cli.store.redis import layout, waiting
from tests_support import Server, wait_until
from timed_store import Bench as TimedBench

Bench = Any


def emit(bench: Bench, held: Held, *values: Any, first: int = 1) -> int:
    parts = [Part(held.id, held.token, serial, pack(value)) for serial, value in enumerate(values, first)]
    refused: int = bench.store.ask(bench.store.emit(parts))
    return refused


def progress(bench: Bench, held: Held, value: Any) -> int:
    refused: int = bench.store.ask(bench.store.progress([Progress(held.id, held.token, pack(value))]))
    return refused


def told(bench: Bench, job_id: str) -> list[Any]:
    """All entries, brief: states as words, parts and progress as pairs."""
    brief: list[Any] = []
    for entry in bench.store.entries(job_id, None, 100_000):
        value = unpack(entry.value)
        brief.append(value["state"] if entry.kind == "state" else (entry.kind, value))
    return brief


def keys(bench: Bench) -> set[str]:
    namespace = bench.store.namespace
    (found,) = bench.store._read([("KEYS", layout.prefix(namespace) + "stream:*")])
    return {key.decode().rpartition(":")[2] for key in found}


def life(bench: Bench, job_id: str) -> int:
    """Seconds until the stream goes by itself; -1 when it does not, -2 when it is gone."""
    (seconds,) = bench.store._read([("TTL", layout.STREAM(bench.store.namespace, job_id))])
    return int(seconds)


def test_parts_and_progress_are_kept_in_their_order_with_the_states_around_them(bench: Bench) -> None:
    bench.post("x")
    held = bench.take()
    assert emit(bench, held, "one", [2]) == 0 and progress(bench, held, 50) == 0 and emit(bench, held, 3, first=3) == 0
    bench.finish(held)
    said = ["running", ("part", "one"), ("part", [2]), ("progress", 50), ("part", 3), "succeeded"]
    assert told(bench, held.id) == said
    entries = bench.store.entries(held.id, None, 100)
    assert [entry.attempt for entry in entries] == [1] * 6
    assert bench.store.entries(held.id, entries[1].id, 2) == entries[2:4], "so many, behind that one"
    assert bench.store.entries(held.id, entries[-1].id, 2) == []


def test_a_job_that_says_nothing_has_no_stream_whatever_becomes_of_it(bench: Bench) -> None:
    bench.post("done", "released", "failed", "canceled", retries=1)
    bench.finish(bench.take())
    bench.store.ask(bench.store.release([bench.take()]))
    bench.fail(bench.take())
    bench.store.ask(bench.store.cancel([bench.take().id]))
    assert keys(bench) == set()


def test_what_an_earlier_attempt_emits_is_refused_and_counted(bench: Bench) -> None:
    bench.post("x")
    late = bench.take()
    assert emit(bench, late, "old") == 0
    bench.pass_to(31)
    right = bench.take(worker="w2")
    assert emit(bench, late, "late", "later", first=2) == 2
    assert emit(bench, Held("missing", "t"), "x") == 1
    assert emit(bench, right, "new") == 0
    bench.finish(right)
    assert emit(bench, right, "after the end", first=2) == 1
    said = ["running", ("part", "old"), "queued", ("reset", None), "running", ("part", "new"), "succeeded"]
    assert told(bench, right.id) == said


def test_parts_that_are_sent_again_are_kept_once(bench: Bench) -> None:
    bench.post("x")
    held = bench.take()
    emit(bench, held, "a", "b")
    assert emit(bench, held, "a", "b", "c") == 0
    assert told(bench, held.id) == ["running", ("part", "a"), ("part", "b"), ("part", "c")]
    progress(bench, held, 1)
    progress(bench, held, 1)
    assert told(bench, held.id)[4:] == [("progress", 1)]


def test_parts_of_several_jobs_may_be_mixed_in_one_call(bench: Bench) -> None:
    bench.post("x", "y")
    one, other = bench.take(), bench.take()
    parts = [
        Part(one.id, one.token, 1, pack(1)),
        Part(other.id, other.token, 1, pack("a")),
        Part(one.id, one.token, 2, pack(2)),
        Part(other.id, one.token, 2, pack("of a wrong token")),
    ]
    assert bench.store.ask(bench.store.emit(parts)) == 1
    assert told(bench, one.id) == ["running", ("part", 1), ("part", 2)]
    assert told(bench, other.id) == ["running", ("part", "a")]


def test_an_attempt_that_emitted_nothing_is_not_reset(bench: Bench) -> None:
    bench.post("x", retries=1)
    held = bench.take()
    progress(bench, held, 10)
    bench.fail(held)
    bench.pass_to(5)
    progress(bench, bench.take(), 10)
    assert told(bench, held.id) == ["running", ("progress", 10), "scheduled", "queued", "running", ("progress", 10)]


def test_every_change_of_a_followed_job_is_told(bench: Bench) -> None:
    bench.post("x", retries=1)
    held = bench.take()
    emit(bench, held, 1)
    bench.store.ask(bench.store.release([held]))
    held = bench.take()
    bench.fail(held)
    bench.pass_to(5)
    held = bench.take()
    bench.fail(held)
    bench.store.ask(bench.store.requeue([held.id]))
    bench.store.ask(bench.store.cancel([held.id]))
    entries = bench.store.entries(held.id, None, 100)
    states = [(unpack(each.value)["state"], each.attempt) for each in entries if each.kind == "state"]
    first = [("running", 1), ("queued", 0), ("running", 1), ("scheduled", 1), ("queued", 1), ("running", 2)]
    assert states == [*first, ("dead", 2), ("queued", 0), ("canceled", 0)]
    errors = [unpack(each.value)["error"] for each in entries if each.kind == "state"]
    assert errors == [None, None, None, "ValueError: no", "ValueError: no", None, "ValueError: no", None, None]
    assert [each.attempt for each in entries if each.kind == "reset"] == [1], "later attempts emitted nothing"


@pytest.mark.parametrize("how", ["succeeded", "dead", "canceled"])
def test_a_stream_goes_an_hour_after_the_end_and_stays_when_the_job_runs_again(bench: Bench, how: str) -> None:
    bench.post("x")
    held = bench.take()
    emit(bench, held, 1)
    assert life(bench, held.id) == -1
    if how == "succeeded":
        bench.finish(held)
    elif how == "dead":
        bench.fail(held, Kind.ERROR)
    else:
        bench.store.ask(bench.store.cancel([held.id]))
    assert 3500 < life(bench, held.id) <= 3600
    if how != "succeeded":
        bench.store.ask(bench.store.requeue([held.id]))
        assert life(bench, held.id) == -1 and told(bench, held.id)[-1] == "queued"


def test_a_stream_goes_with_its_job(bench: Bench) -> None:
    bench.post("purged", "forgotten")
    purged, forgotten = bench.take(), bench.take()
    emit(bench, purged, 1)
    emit(bench, forgotten, 1)
    bench.store.ask(bench.store.cancel([purged.id]))
    bench.store.ask(bench.store.purge("default", State.CANCELED))
    assert keys(bench) == {forgotten.id}
    bench.rules = replace(bench.rules, retention=Retention(age=1.0))
    bench.finish(forgotten)
    bench.pass_to(10)
    bench.sweep()
    assert keys(bench) == set()


def test_a_stream_keeps_about_ten_thousand_entries_the_newest(bench: Bench) -> None:
    bench.post("x")
    held = bench.take()
    for first in range(1, 12_001, 500):
        emit(bench, held, *range(first, first + 500), first=first)
    said = told(bench, held.id)
    assert 9_800 <= len(said) < 10_700 and said[-1] == ("part", 12_000)
    assert [value for _, value in said] == list(range(12_001 - len(said), 12_001)), "no gap"


def test_a_stream_keeps_about_sixteen_mebibytes_the_newest(bench: Bench) -> None:
    """Small parts before large ones go with them, and what is counted stays what is there."""
    bench.post("x")
    held = bench.take()
    emit(bench, held, *range(3000))
    for serial in range(3001, 3041):
        emit(bench, held, bytes(1_000_000), first=serial)
    entries = bench.store.entries(held.id, None, 100_000)
    size = sum(len(entry.value) for entry in entries)
    assert 11 << 20 < size <= 17 << 20 and len(entries) < 20
    (counted,) = bench.store._field([held.id], "streamed")
    assert abs(int(counted) - size) < 100 * len(entries)
    assert len(entries[-1].value) == 1_000_005


def test_a_job_that_fails_for_ever_fills_no_memory(bench: Bench) -> None:
    bench.post("x")
    held = bench.take()
    emit(bench, held, 1)
    key = layout.STREAM(bench.store.namespace, held.id)
    bench.store._read([("XADD", key, "*", "k", "s", "a", 1, "v", "q")] * 12_000)
    bench.store.ask(bench.store.release([held]))
    assert len(told(bench, held.id)) < 10_500


def test_hints_are_published_once_a_call(bench: Bench) -> None:
    bench.post("x", "y")
    one, other = bench.take(), bench.take()
    with bench.store.news() as news:
        emit(bench, one, 1, 2, 3)
        assert news.next(2.0) == [(one.id, "part")]
        progress(bench, other, 5)
        assert news.next(2.0) == [(other.id, "progress")]
        bench.finish(one)
        assert news.next(2.0) == [(one.id, "succeeded")]
        bench.store.ask(bench.store.release([other]))
        assert news.next(2.0) == [(other.id, "queued")]
        assert news.next(0.01) == []


@pytest.mark.parametrize("after", ["-", "0", "1-1-1", "(1-1", "1-x", "99999999999999999999-0", "١-١"])
def test_only_an_id_of_an_event_can_be_gone_on_behind(bench: Bench, after: str) -> None:
    with pytest.raises(Misuse):
        bench.store.entries("7", after, 10)


def test_an_audit_knows_streams_and_deletes_those_without_a_job(bench: Bench) -> None:
    bench.post("x")
    held = bench.take()
    emit(bench, held, 1)
    look = {"rules": bench.rules, "looked": lambda done: None}
    assert sum(finding.count for finding in bench.store.audit(repair=False, **look)) == 0
    bench.finish(held)
    assert sum(finding.count for finding in bench.store.audit(repair=False, **look)) == 0
    bench.store._read([("XADD", layout.STREAM(bench.store.namespace, "gone"), "*", "k", "s", "a", 1, "v", "r")])
    (found,) = [finding for finding in bench.store.audit(repair=True, **look) if finding.count]
    assert found.name == "orphan" and keys(bench) == {held.id}, "and the time to live of the other is its own"
    assert life(bench, held.id) > 0


def test_a_stream_that_somebody_has_broken_takes_no_job_down(bench: Bench) -> None:
    bench.post("broken", "whole", retries=1)
    broken, whole = bench.take(), bench.take()
    bench.store._read([("SET", layout.STREAM(bench.store.namespace, broken.id), "not ours")])
    parts = [Part(*broken, 1, pack(1)), Part(*whole, 1, pack(1)), Part(*broken, 2, pack(2))]
    assert bench.store.ask(bench.store.emit(parts)) == 0 and progress(bench, broken, 5) == 0
    assert bench.fail(broken) == {} and bench.finish(whole) == {}
    bench.pass_to(5)
    assert bench.finish(bench.take()) == {}
    assert told(bench, whole.id) == ["running", ("part", 1), "succeeded"]
    (value,) = bench.store._read([("GET", layout.STREAM(bench.store.namespace, broken.id))])
    assert value == b"not ours"


def test_a_full_redis_refuses_parts_as_a_whole_and_takes_them_later(short_folder: Path, namespace: str) -> None:
    with Server(short_folder) as server:
        bench = TimedBench(server.url, namespace)
        bench.post("x")
        held = bench.take()
        bench.store._read([("CONFIG", "SET", "maxmemory", 1)])
        for say in (lambda: emit(bench, held, 1, 2), lambda: progress(bench, held, 5)):
            with pytest.raises(StoreFull):
                say()
        bench.store._read([("CONFIG", "SET", "maxmemory", 0)])
        assert keys(bench) == set() and bench.record(held.id)["progress"] == 0
        assert emit(bench, held, 1, 2) == 0
        bench.store._read([("CONFIG", "SET", "maxmemory", 1)])
        assert bench.finish(held) == {}, "but what has begun may end"
        assert told(bench, held.id) == ["running", ("part", 1), ("part", 2), "succeeded"]
        bench.store.close()


def test_news_of_a_server_that_is_gone_or_says_nothing_any_more_are_an_outage(
    short_folder: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LISTENED", 0.1)
    monkeypatch.setattr(waiting, "ANSWER_SECONDS", 0.5)
    with Server(short_folder) as server:
        bench = TimedBench(server.url, namespace)
        with bench.store.news() as news:
            quiet_until = time.monotonic() + 1.5
            while time.monotonic() < quiet_until:
                assert news.next(0.2) == [], "silence alone is none: it answers when it is asked"
            bench.post("x")
            emit(bench, bench.take(), 1)
            wait_until(lambda: news.next(0.2) == [("1", "part")])
            server.process.send_signal(signal.SIGSTOP)
            with pytest.raises(StoreUnavailable):
                for _ in range(100):
                    news.next(0.2)
            server.process.send_signal(signal.SIGCONT)
        with bench.store.news() as news:
            server.kill()
            with pytest.raises(StoreUnavailable):
                news.next(2.0)
        with pytest.raises(StoreUnavailable):
            bench.store.news()
        bench.store.close()


def test_entries_that_make_no_sense_are_passed_over_by_those_who_follow(bench: Bench) -> None:
    bench.post("x")
    held = bench.take()
    emit(bench, held, "a")
    key = layout.STREAM(bench.store.namespace, held.id)
    for wrong in (
        ("bad", "fields"),
        ("k", "zz", "a", 1, "v", "s"),
        ("k", "s", "a", "x", "v", "q"),
        ("k", "s", "a", 1, "v", "?"),
    ):
        bench.store._read([("XADD", key, "*", *wrong)])
    bench.store._read([("XADD", key, "*", "k", "e", "a", 1, "v", b"\xc1\xff")])
    emit(bench, held, "b", first=2)
    bench.finish(held)
    following, seen = Following(held.id), []
    while not following.ended:
        seen += [event.value for event in look(bench.store, following, 2) if event.kind == "part"]
    assert seen == ["a", "b"]
