"""The shelf: what the worker verifies, what it refuses and says, and how executors get it and nothing else."""

from __future__ import annotations

import logging
import os
import pickle
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import msgpack
import pytest

from mlq_cli.model.envelope import CALL, seal
from mlq_cli.store.functions import Change, Changes
from mlq_cli.worker.repertoire import PLAIN, Repertoire
from mlq_cli.worker.shelf import EVERY, Shelf, read_file
from mlq_cli.worker.taking import Taking

KEY, PYTHON = b"k" * 32, "3.11"
Frame = tuple[Any, ...]


def sealed(name: str, version: int, function: Any = len, *, key: bytes = KEY, **more: Any) -> bytes:
    given: dict[str, Any] = {"python": PYTHON, "cloudpickle": "3.1.2", "created_at": 1.0, "namespace": "ns", **more}
    return seal(key, given.pop("namespace"), name, version, cloudpickle.dumps(function), **given)


class Store:
    """What a shelf hears: each call is one answer with everything since the last."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.revision = shelf, 0

    def tell(self, *changes: tuple[str, bytes | None]) -> None:
        told = []
        for name, envelope in changes:
            self.revision += 1
            told.append(Change(name, self.revision, envelope))
        self.shelf.ask(0.0)
        self.shelf.heard(Changes(told, self.revision))


class Executor:
    """An executor's end of the pipe, with the worker's handle on it."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.frames: list[Frame] = []
        repertoire = Repertoire()
        self.side = repertoire.taking = Taking(theirs, self.heard, repertoire)
        self.theirs = theirs
        self.asks_for: int | None = 0
        self.taking: tuple[str, int] | None = None
        self.serial = 0

    def heard(self, frame: Frame) -> None:
        self.frames.append(frame)
        if frame[0] == "functions":
            self.asks_for = self.serial

    def hand(self, descriptor: int, serial: int) -> None:
        socket.send_fds(self.ours, [b"F"], [descriptor])
        self.asks_for, self.serial = None, serial

    def takes(self, shelf: Shelf) -> list[str]:
        shelf.hand_out([self])
        self.side.take()
        return list(self.side.functions)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf([KEY], "ns", PYTHON)
    yield made
    made.close()


@pytest.fixture
def store(shelf: Shelf) -> Store:
    return Store(shelf)


@pytest.fixture
def executor() -> Iterator[Executor]:
    made = Executor()
    yield made
    made.ours.close()
    made.theirs.close()


def test_what_is_verified_is_taken_up_in_order_and_dropped_when_removed(
    shelf: Shelf, store: Store, executor: Executor
) -> None:
    store.tell(("b", sealed("b", 1, len)), ("a", sealed("a", 2, sum)))
    assert executor.takes(shelf) == ["b", "a"]
    assert executor.side.functions["a"]([1, 2]) == 3
    assert [listener.name for listener in executor.side.listeners] == ["b", "a"]
    store.tell(("b", None))
    assert executor.takes(shelf) == ["a"] and not shelf.bare
    store.tell(("a", None))
    assert executor.takes(shelf) == [] and shelf.bare


@pytest.mark.parametrize(
    ("envelope", "said"),
    [
        (b"not an envelope at all", "it is not signed"),
        (sealed("f", 2, key=b"o" * 32), "signed with a foreign key"),
        (sealed("f", 2, namespace="other"), "made for the namespace other"),
        (sealed("g", 2), "it holds the function 'g' under the name 'f'"),
        (sealed("f", 1), "it is replayed"),
        (sealed("f", 2)[:-3], "damaged"),
        (sealed("f", 2)[:14] + b"\xff" * (9 << 20), "no envelope has more than"),
    ],
)
def test_what_is_refused_is_said_and_takes_nothing_away(
    shelf: Shelf, store: Store, executor: Executor, caplog: pytest.LogCaptureFixture, envelope: bytes, said: str
) -> None:
    store.tell(("other", sealed("other", 1)))
    store.tell(("f", sealed("f", 1, max)), ("f", None))  # so that version 1 has been here
    caplog.clear()
    store.tell(("f", envelope))
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert said in line.getMessage() and "f" in line.getMessage()
    assert executor.takes(shelf) == ["other"]
    store.tell(("f", sealed("f", 3)))
    assert executor.takes(shelf) == ["other", "f"]


def test_a_version_that_was_rolled_back_does_not_replace_the_newer_one(
    shelf: Shelf, store: Store, executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    store.tell(("f", sealed("f", 1, min)), ("f", sealed("f", 2, max)))
    store.tell(("f", sealed("f", 1, min)))
    assert "is not newer than one that was here" in caplog.text
    assert executor.takes(shelf) == ["f"] and executor.side.functions["f"](1, 2) == 2


def test_another_version_of_python_is_refused_and_the_outdated_function_goes(
    shelf: Shelf, store: Store, executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    store.tell(("f", sealed("f", 1)), ("g", sealed("g", 1)))
    store.tell(("f", sealed("f", 2, python="3.13")))
    assert "made by Python 3.13 and this is Python 3.11" in caplog.text
    assert executor.takes(shelf) == ["g"]


def test_a_store_that_has_lost_what_it_had_is_asked_for_all_of_it(
    shelf: Shelf, store: Store, executor: Executor
) -> None:
    store.tell(("a", sealed("a", 1)), ("b", sealed("b", 2)), ("b", None), ("c", sealed("c", 3)))
    kept = sealed("a", 1)
    shelf.heard(Changes([], 1))
    assert shelf.ask(10.0) == 0 and shelf.ask_at == 10.0 + EVERY
    shelf.heard(Changes([Change("a", 1, kept)], 1))
    assert executor.takes(shelf) == ["a"] and shelf.ask(0.0) == 1


def test_more_is_asked_for_at_once_only_while_there_is_more(shelf: Shelf) -> None:
    shelf.ask(100.0)
    shelf.heard(Changes([Change("a", 1, sealed("a", 1))], 2))
    assert shelf.ask_at == 0.0 and shelf.ask(100.0) == 1
    shelf.heard(Changes([Change("b", 2, b"forged")], 2))
    assert shelf.ask_at == 100.0 + EVERY
    shelf.heard(Changes([Change("strange", 0, None)], 5))  # which cannot be: it must not be asked for in a circle
    assert shelf.ask_at == 100.0 + EVERY


def test_an_executor_gets_a_shelf_only_when_it_asks_and_then_the_newest(
    shelf: Shelf, store: Store, executor: Executor
) -> None:
    shelf.hand_out([executor])
    assert executor.asks_for == 0, "nobody has answered yet"
    store.tell(("f0", sealed("f0", 1)))
    shelf.hand_out([executor])
    for number in range(1, 20):
        store.tell((f"f{number}", sealed(f"f{number}", number + 1)))
        shelf.hand_out([executor])
    executor.side.take()
    assert list(executor.side.functions) == ["f0"], "the first one, and nothing piled up"
    assert len(executor.takes(shelf)) == 20
    shelf.hand_out([executor])
    assert executor.asks_for == executor.serial, "it has the newest"


def test_when_nothing_can_be_asked_executors_do_not_wait(shelf: Shelf, executor: Executor) -> None:
    shelf.heard(None)
    assert executor.takes(shelf) == [] and shelf.bare


def test_a_worker_that_has_no_descriptor_left_hands_the_shelf_out_later(
    shelf: Shelf, store: Store, executor: Executor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*_: Any) -> int:
        raise OSError(24, "Too many open files")

    store.tell(("f", sealed("f", 1)))
    with monkeypatch.context() as patched:
        patched.setattr("mlq_cli.worker.shelf._nameless", none_left)
        shelf.hand_out([executor])
        shelf.hand_out([executor])
    assert caplog.text.count("functions cannot be taken up by executors here: no file can be made") == 1
    assert executor.takes(shelf) == ["f"]


def test_the_file_of_a_shelf_cannot_be_changed_by_an_executor(shelf: Shelf, store: Store) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("no sealed files on this system")
    store.tell(("f", sealed("f", 1)))
    found: list[int] = []

    class Malicious(Executor):
        def hand(self, descriptor: int, serial: int) -> None:
            found.append(os.dup(descriptor))

    one = Malicious()
    shelf.hand_out([one])
    (descriptor,) = found
    with pytest.raises(PermissionError):
        os.pwrite(descriptor, b"cposix\nsystem\n", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    assert [entry[0] for entry in read_file(descriptor)] == ["f"]
    for number in (descriptor, one.ours.detach(), one.theirs.detach()):
        os.close(number)


class Nasty:
    """Does something when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.what = (function, args)

    def __reduce__(self) -> Any:
        return self.what


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Nasty(__import__, "no_such_module"), "it needs the module 'no_such_module', which cannot be imported here"),
        (Nasty(exec, "raise SystemExit(3)"), "SystemExit: 3"),
        (Nasty(exec, "raise KeyboardInterrupt"), "KeyboardInterrupt"),
        (Nasty(exec, "raise ValueError('a\\nb')"), "ValueError: a b"),
        (Nasty(exec, "raise ValueError('a \\ud800 b')"), "ValueError: a ? b"),
        (Nasty(exec, "class E(Exception):\n    __str__ = None\nraise E"), "E: (its message cannot be shown)"),
        (Nasty(exec, "raise ModuleNotFoundError('x', name=object())"), "ModuleNotFoundError: x"),
        ("text", "it is no function but a str"),
        (lambda a, b, c: None, "asks for more than a listener gets"),
    ],
)
def test_a_function_that_cannot_be_taken_up_is_told_of_and_the_others_are(
    shelf: Shelf, store: Store, executor: Executor, caplog: pytest.LogCaptureFixture, value: Any, why: str
) -> None:
    store.tell(("bad", sealed("bad", 1, value)), ("good", sealed("good", 2)))
    assert executor.takes(shelf) == ["good"]
    kind, able, why_not = msgpack.unpackb(msgpack.packb(executor.frames[-1]))
    assert (kind, able, list(why_not)) == ("functions", ["good", PLAIN], ["bad"]) and why in why_not["bad"]
    for _ in range(3):
        shelf.said(why_not)
    assert caplog.text.count(why) == 1, "each executor says it, and it is logged once"


def test_a_function_for_calls_may_take_what_it_likes_and_gets_no_messages(
    shelf: Shelf, store: Store, executor: Executor
) -> None:
    store.tell(("three", sealed("three", 1, lambda a, b, c: a + b + c, use=CALL)))
    assert executor.takes(shelf) == ["three"] and executor.side.listeners == []
    assert executor.side.functions["three"](1, 2, c=3) == 6


def test_what_is_known_is_not_unpickled_again(
    shelf: Shelf, store: Store, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.tell(("f", sealed("f", 1)))
    first = executor.takes(shelf) and executor.side.functions["f"]
    loaded = canary(monkeypatch)
    store.tell(("g", sealed("g", 2)))
    assert executor.takes(shelf) == ["f", "g"] and executor.side.functions["f"] is first
    assert len(loaded) == 1


def test_what_kills_an_executor_is_left_out_until_it_is_newer(
    shelf: Shelf, store: Store, executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    store.tell(("f", sealed("f", 1)), ("g", sealed("g", 2)))
    shelf.blame(("f", 1), "was killed by signal 11")
    assert "an executor was killed by signal 11 when it took up the function f" in caplog.text
    assert executor.takes(shelf) == ["g"]
    store.tell(("f", sealed("f", 1)))
    assert list(executor.side.functions) == ["g"]
    store.tell(("f", sealed("f", 3)))
    assert executor.takes(shelf) == ["g", "f"]


def canary(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Note whatever is unpickled from now on."""
    loaded: list[bytes] = []
    real = pickle.loads

    def loads(data: bytes, **more: Any) -> Any:
        loaded.append(data)
        return real(data, **more)

    monkeypatch.setattr(pickle, "loads", loads)
    return loaded


def mutated(chance: random.Random, envelopes: list[bytes]) -> bytes:
    """Return an envelope with something done to it; it may come out as it was."""
    one, other = chance.choice(envelopes), chance.choice(envelopes)
    at, to = sorted((chance.randrange(len(one)), chance.randrange(len(one))))
    match chance.randrange(8):
        case 0:
            return one[:at] + bytes([one[at] ^ 1 << chance.randrange(8)]) + one[at + 1 :]
        case 1:
            return one[:at] + chance.randbytes(chance.randrange(1, 9)) + one[at:]
        case 2:
            return one[:at] + one[to:]
        case 3:
            return one[:at] + other[at:]
        case 4:
            return one[:to] + one[at:]
        case 5:
            return one[:at] + chance.randbytes(to - at) + one[to:]
        case 6:
            return one[:-32] + other[-32:]
        case _:
            return one[:to] + other[at:]


def test_of_a_hundred_thousand_mutated_envelopes_none_is_unpickled(
    shelf: Shelf, store: Store, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(20_260)
    envelopes = [
        sealed("f", 1),
        sealed("f", 2, lambda msg: msg * 2),
        sealed("f", 3, key=b"o" * 32),
        sealed("f", 4, namespace="other"),
        sealed("longer-name", 5, {"a": list(range(100))}),
    ]
    loaded = canary(monkeypatch)
    monkeypatch.setattr(logging.getLogger("mlq.worker"), "disabled", True)
    tried = 0
    while tried < 100_000:
        forged = mutated(chance, envelopes)
        if forged not in envelopes:
            store.tell(("f", forged))
            tried += 1
    assert executor.takes(shelf) == [] and shelf.bare and loaded == []
    store.tell(("f", envelopes[0]))
    assert executor.takes(shelf) == ["f"] and len(loaded) == 1, "the canary sings"
