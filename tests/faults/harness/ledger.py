"""What really happened, kept outside Redis: which runs began and ended, and what producers were told.

One line a fact, each written by one append: lines of many processes never mix, and a killed process leaves whole ones.
Times are those of CLOCK_BOOTTIME: one clock for all processes of the machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple


class Run(NamedTuple):
    """A line of the ledger: `start`, `end`, or `overlap` when another living process ran the same job."""

    word: str
    id: str
    key: str  # what the producer calls the job; ids can be handed out again after a restore
    token: str
    attempt: int
    pid: int
    worker: str
    at: float
    holder: int = 0  # overlap: process that ran it


class Post(NamedTuple):
    """A line of the producers' history: `invoke`, then `ok`, `fail` (not stored) or `info` (nobody knows)."""

    word: str
    key: str
    at: float
    id: str = ""


def boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Appending:
    def __init__(self, path: Path | str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _append(self, text: str) -> None:
        data = text.encode()
        assert os.write(self._file, data) == len(data), "a line was cut: is the disk full?"


class Ledger(_Appending):
    """Written by the runs themselves. Who runs a job holds a lock that the kernel takes back when the process dies."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        # Opened once and never closed: closing any descriptor of a file drops all of a process' locks on it.
        self._locks = os.open(f"{path}.locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: set[str] = set()  # the kernel does not see two runs in one process

    def start(self, job_id: str, key: str, token: str, attempt: int, worker: str) -> None:
        """Note that a run begins, and before that, if somebody else is at the same job."""
        holder = self._lock(job_id)
        common = f"{job_id} {key} {token} {attempt} {os.getpid()} {worker} {boot_time():.6f}"
        overlap = "" if holder is None else f"overlap {common} {holder}\n"
        self._append(f"{overlap}start {common}\n")

    def end(self, job_id: str, key: str, token: str, attempt: int, worker: str) -> None:
        """Note that a run is over, before anybody is told its outcome."""
        self._append(f"end {job_id} {key} {token} {attempt} {os.getpid()} {worker} {boot_time():.6f}\n")
        self._held.discard(job_id)
        fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, place(job_id))

    def _lock(self, job_id: str) -> int | None:
        """Lock the job; returns the process that has it, 0 when the kernel does not say which, None when it is ours."""
        if job_id in self._held:
            return os.getpid()
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place(job_id))
        except OSError:
            # struct flock of Linux: type, whence, start, length, process
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, place(job_id), 1, 0)
            kind, *_, holder = struct.unpack("hhqqi4x", fcntl.fcntl(self._locks, fcntl.F_GETLK, asked))
            return 0 if kind == fcntl.F_UNLCK else int(holder)
        self._held.add(job_id)
        return None


class History(_Appending):
    """Written by producers, a line a post, batches by one append."""

    def invoke(self, keys: Iterable[str]) -> None:
        """Note what is about to be posted: whatever happens next, it may be stored."""
        self._say("invoke", keys)

    def ok(self, keys: Sequence[str], ids: Sequence[str]) -> None:
        """Note that these are stored, for so the store said."""
        now = boot_time()
        self._append("".join(f"ok {key} {now:.6f} {job_id}\n" for key, job_id in zip(keys, ids, strict=True)))

    def fail(self, keys: Iterable[str]) -> None:
        """Note that these are not stored, for so the store said."""
        self._say("fail", keys)

    def info(self, keys: Iterable[str]) -> None:
        """Note that nobody knows whether these are stored."""
        self._say("info", keys)

    def _say(self, word: str, keys: Iterable[str]) -> None:
        now = boot_time()
        self._append("".join(f"{word} {key} {now:.6f}\n" for key in keys))


def place(job_id: str) -> int:
    """Return the byte of the lock file that stands for a job: its number, or a hash of an id that is none."""
    if job_id.isdigit():
        return int(job_id)
    return 1 << 61 | int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:7], "big")


def read_ledger(path: Path | str) -> list[Run]:
    """Return the lines of a ledger in the order in which they were written."""
    runs = []
    for line in _lines(path):
        word, job_id, key, token, attempt, pid, worker, at, *holder = line.split()
        runs.append(
            Run(word, job_id, key, token, int(attempt), int(pid), worker, float(at), int(holder[0]) if holder else 0)
        )
    return runs


def read_history(path: Path | str) -> list[Post]:
    """Return the lines of a history in the order in which they were written."""
    posts = []
    for line in _lines(path):
        word, key, at, *job_id = line.split()
        posts.append(Post(word, key, float(at), job_id[0] if job_id else ""))
    return posts


def _lines(path: Path | str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
