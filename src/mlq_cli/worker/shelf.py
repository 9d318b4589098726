"""The shelf: the registered functions that the worker has verified, for its executors to take up.

The worker asks the store in its turn what has changed, and verifies: it has the key, and never unpickles. An executor
gets the shelf as the descriptor of a nameless file over its pipe, one at a time and only when it has asked for one, so
that nothing piles up. It unpickles, and has no key. What was verified once stays on the shelf until it is removed, or
until something newer is verified: an envelope that is refused takes nothing away.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgpack

from mlq_cli.model.envelope import Sealed, verify
from mlq_cli.model.errors import EnvelopeRefused
from mlq_cli.store.functions import Change, Changes

log = logging.getLogger("mlq.worker")

KEPT = 1000  # reasons why not that were told, and are not told again
EVERY = 1.0  # seconds between two questions whether anything has changed
_COUNT = 8  # bytes that say how long the index of the file is


class Taker(Protocol):
    """An executor, as far as it takes functions up."""

    asks_for: int | None  # the number of a shelf newer than which it wants one, None while it does not ask
    taking: tuple[str, int] | None  # name and version of what it unpickles just now

    def hand(self, descriptor: int, serial: int) -> None:
        """Give it the shelf of that number."""


class Shelf:
    """Holds what was verified."""

    def __init__(self, keys: Sequence[bytes], namespace: str, python: str) -> None:
        """`python`: the version that executors have, as envelopes name it."""
        self._keys = keys
        self._namespace = namespace
        self._python = python
        self._functions: dict[str, Sealed] = {}
        self._newest: dict[str, int] = {}  # the highest version of each name that was ever verified here
        self._revision = 0  # of the store, up to which all is known
        self._told: set[str] | None = set()  # names heard of, while all is asked for
        self._serial = 0  # of what is on the shelf; 0: nobody has answered yet
        self._file: int | None = None
        self._said: set[tuple[str, str]] = set()
        self.ask_at = 0.0

    # --- from the store --------------------------------------------------------------------------------------------
    def ask(self, now: float) -> int:
        """Return the revision since which changes are wanted; an answer, or none, is the matter of `heard`."""
        self.ask_at = now + EVERY
        return self._revision

    def heard(self, changes: Changes | None) -> None:
        """Take an answer in; None: it was an error."""
        if changes is None:
            self._serial = max(self._serial, 1)  # executors must not wait for it
            return
        if changes.newest < self._revision:  # the store has lost what it had: ask for all of it
            self._revision, self._told = 0, set()
            return
        before = self._revision
        for change in changes.changes:
            self._take(change)
            if self._told is not None:
                self._told.add(change.name)
            self._revision = max(self._revision, change.revision)
        if self._revision >= changes.newest:
            self._heard_all()
        elif self._revision > before:
            self.ask_at = 0.0  # there is more

    def _heard_all(self) -> None:
        if self._told is not None:
            for name in set(self._functions) - self._told:
                self._drop(name)
            self._told = None
            self._serial = max(self._serial, 1)

    def _take(self, change: Change) -> None:
        name = change.name
        if change.envelope is None:
            self._drop(name)
            return
        try:
            sealed = verify(change.envelope, self._keys, self._namespace, name)
        except EnvelopeRefused as error:
            log.warning("the function %r is refused: %s%s", name, error, f"; {error.hint}" if error.hint else "")
            return
        head, here = sealed.head, self._functions.get(name)
        if here is not None and here.head == head:
            return
        if head.version <= self._newest.get(name, 0):
            log.warning("the function %s is refused: it is not newer than one that was here, so it is replayed", name)
            return
        self._newest[name] = head.version
        if head.python != self._python:
            self._drop(name)
            log.warning(
                "the function %s is refused: it was made by Python %s and this is Python %s; code travels between the "
                "same versions only", name, head.python, self._python
            )  # fmt: skip
            return
        log.info("the function %s is taken up (%s bytes, cloudpickle %s)", name, f"{head.size:,}", head.cloudpickle)
        self._functions[name] = sealed
        self._changed()

    def _drop(self, name: str) -> None:
        if self._functions.pop(name, None) is not None:
            log.info("the function %s was removed", name)
            self._changed()

    def _changed(self) -> None:
        self._serial += 1
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # --- to executors ----------------------------------------------------------------------------------------------
    @property
    def bare(self) -> bool:
        """Whether it is known that there is nothing on it."""
        return self._serial > 0 and not self._functions

    def hand_out(self, executors: Iterable[Taker]) -> None:
        """Give the shelf to those who ask for a newer one than they have."""
        for executor in executors:
            if executor.asks_for is not None and executor.asks_for < self._serial:
                if self._file is None:
                    try:
                        self._file = self._written()
                    except OSError as error:  # too many open files, say: jobs go on, and it may work the next time
                        self._complain("", f"no file can be made for them: {error}")
                        return
                executor.hand(self._file, self._serial)

    def _written(self) -> int:
        """Return the descriptor of a nameless file: the length of its index, the index, and the pickles behind it."""
        ordered = sorted(self._functions.values(), key=lambda sealed: sealed.head.version)
        index = msgpack.packb([[head.name, head.version, head.use, head.cloudpickle, head.size] for head, _ in ordered])
        file = _nameless()
        try:
            with os.fdopen(os.dup(file), "wb") as written:
                written.write(len(index).to_bytes(_COUNT) + index)
                for _, blob in ordered:
                    written.write(blob)
            _seal(file)
        except OSError:
            os.close(file)
            raise
        return file

    def said(self, why_not: dict[str, str]) -> None:
        """Log what executors cannot take up, once for each reason."""
        for name, why in why_not.items():
            self._complain(name, why)

    def _complain(self, name: str, why: str) -> None:
        if (name, why) in self._said:
            return
        if len(self._said) >= KEPT:
            self._said.clear()
        self._said.add((name, why))
        which = f"the function {name}" if name else "functions"
        log.error("%s cannot be taken up by executors here: %s", which, why)

    def blame(self, taking: tuple[str, int], how: str) -> None:
        """Take away what an executor has died of while it unpickled it; what is newer may come."""
        name, version = taking
        here = self._functions.get(name)
        if here is not None and here.head.version == version:
            log.error("an executor %s when it took up the function %s, which is left out from now on", how, name)
            self._drop(name)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_file(descriptor: int) -> list[tuple[str, int, str, str, slice]]:
    """Return of each function in the file of a shelf: name, version, use, cloudpickle, and where its pickle is."""
    count = int.from_bytes(os.pread(descriptor, _COUNT, 0))
    found, at = [], _COUNT + count
    for name, version, use, cloudpickle, size in msgpack.unpackb(os.pread(descriptor, count, _COUNT)):
        found.append((name, version, use, cloudpickle, slice(at, at + size)))
        at += size
    return found


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("mlq-functions", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _seal(file: int) -> None:
    """Let nobody change a file who gets its descriptor, where the system can do that: all executors share it."""
    import fcntl

    if hasattr(os, "memfd_create"):
        fcntl.fcntl(
            file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        )
