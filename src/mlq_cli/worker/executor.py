"""The worker's handle on one executor: start it, know what it runs, hear what it says, end it.

What runs at the other end is a `Host`: a child process here, a thread of the same process in `inprocess.py`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgpack

from mlq_cli.worker.board import WIDTH, Begun, Board
from mlq_cli.worker.fence import boot_time
from mlq_cli.worker.output import Doing, Output, Printed
from mlq_cli.worker.parts import Load
from mlq_cli.worker.pipe import FrameReader, outcome_pair
from mlq_cli.worker.slices import Sent, Slices, number_of

SHORT = 7  # letters of a secret that may well be part of another value
LINGER = 5.0  # seconds an executor that was to end gets for its threads and exit handlers
WIDE_LOOK = 0.1  # seconds between two looks at what runs where many jobs do: each costs as much as a short job
TAKES = 120.0  # seconds that unpickling one function may take: what it names may be large and far
LOOK = 0.25  # seconds between two looks at whether a busy executor lives, should its pipe not tell


class Host(Protocol):
    """What an executor runs in."""

    @property
    def pid(self) -> int | None:
        """The process that it is, if it is one of its own."""

    def launch(self, jobs: socket.socket, outcomes: socket.socket, board: Board, doing: Callable[[], Doing]) -> None:
        """Start it with its two sockets and its board; `doing` tells what it does when it prints. Raises OSError."""

    def died(self) -> str | None:
        """Return how it ended, None while it lives."""

    def gone(self) -> bool:
        """Whether nothing of it is left to wait for."""

    def guarded(self) -> bool:
        """Whether it would end if the worker were killed now."""

    def kill(self) -> None:
        """End it at once, with all that it started; does not wait for it."""

    def last_words(self) -> bytes:
        """Pass on what it has printed, listen no more, and return what it wrote to stderr last."""


class ProcessHost:
    """A spawned Python process in a session of its own; its environment is set before Python starts.

    Beside it, in the same process group, stands a guard that waits for the worker's end of a pipe to close and then
    ends the group: whatever kills the worker, no executor survives it, not even one whose job holds the interpreter's
    lock in C code, nor a process that a job has started.
    """

    def __init__(self, environment: dict[str, str], output: Output) -> None:
        self._environment = environment
        self._output = output
        self._printed: Printed | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._life: int | None = None  # our end of the guard's pipe
        self._ending = threading.Lock()  # the worker's fence kills from a thread of its own

    @property
    def pid(self) -> int | None:
        """The process that it is."""
        return None if self._process is None else self._process.pid

    def launch(self, jobs: socket.socket, outcomes: socket.socket, board: Board, doing: Callable[[], Doing]) -> None:
        """Start it with its two sockets and its board. Raises OSError."""
        self._printed, stdout, stderr = self._output.open(doing)
        ends = [stdout, stderr]
        try:
            theirs, self._life = os.pipe()
            ends.append(theirs)
            numbers = (jobs.fileno(), outcomes.fileno(), theirs, board.fileno())
            self._process = subprocess.Popen(
                # -P: the user's folder comes onto the import path later, behind what mlq itself needs
                [sys.executable, "-P", "-m", "mlq_cli.worker.child", *map(str, numbers)],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        except OSError:
            if self._life is not None:
                os.close(self._life)
                self._life = None
            raise
        finally:
            for end in ends:
                os.close(end)

    def gone(self) -> bool:
        """Whether nothing of it is left to wait for.

        Where this worker inherits orphans (see `orphans.py`), its guard is among them.
        """
        if self._process is None or self._process.poll() is None:
            return self._process is None
        try:
            while os.waitpid(-self._process.pid, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        return False

    def guarded(self) -> bool:
        """Whether its guard lives: it holds the only other end of the pipe."""
        if self._life is None:
            return True
        poll = select.poll()
        poll.register(self._life, 0)
        return not poll.poll(0)

    def died(self) -> str | None:
        """Return how it ended, None while it lives."""
        code = self._process.poll() if self._process else None
        if code is None:
            return None
        if code < 0:
            try:
                return f"killed by signal {-code} ({signal.Signals(-code).name})"
            except ValueError:
                return f"killed by signal {-code}"
        return f"exited with code {code} and without an outcome"

    def kill(self) -> None:
        """End it at once, with all that it started."""
        # Also when the process itself has ended: its guard and what its jobs started are in the same group. Nobody
        # else can have the group's number while one of them lives, and we come here right after the last one died.
        with self._ending:
            if self._process is None or self._life is None:
                return
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # macOS says the latter of a group of zombies
            os.close(self._life)
            self._life = None

    def last_words(self) -> bytes:
        """Pass on what it has printed, listen no more, and return what it wrote to stderr last."""
        if self._printed is None:
            return b""
        self._output.leave(self._printed)
        return self._printed.last_words()


def kept_back(secret: str | None) -> dict[str, str]:
    """Return what of this environment executors do not inherit: each variable that holds the secret.

    Empty, not away: the profile that a listener may load says `${…}` of it.
    """
    words = [word for word in (secret or "").split() if len(word) > SHORT]
    holding = {name for name, value in os.environ.items() if any(word in value for word in words)}
    return dict.fromkeys(holding | {"MLQ_SECRET"}, "")


class Executor:
    """One executor. What it runs is read from its board; the jobs themselves are in the lane's slices."""

    def __init__(self, host: Host, settings: dict[str, Any], jobs: socket.socket, slices: Slices) -> None:
        """`jobs` is the end of the line that it receives from. Raises OSError when it cannot be started."""
        self._host = host
        self._slices = slices
        outcomes, theirs = outcome_pair()
        limit = settings["limit"]  # of a result, and of the short result beside it
        self.reader = FrameReader(outcomes, 2 * limit + (1 << 20) if limit else 0)
        self.board = Board()
        self.load = Load()  # what it has emitted and Redis has not taken
        self.ready = False
        self.launched_at = boot_time()
        self.ready_at: float | None = None  # by the same clock
        self.leaving = False  # it takes no more jobs
        self.width = 1  # jobs it runs at a time
        self.names: list[str] = []  # what it can run, see `repertoire.py`
        self._idle_since = time.monotonic()
        self.killed = False  # by the worker, so its end is no crash
        self.verdict: tuple[str, str] | None = None  # type and text of the error when it is a crash all the same
        self.asks_for: int | None = None  # the number of a shelf newer than which it wants one
        self._handed = 0  # the number of the last one that it got
        self.taking: tuple[str, int] | None = None  # name and version of the function that it unpickles just now
        self._taking_since = 0.0
        self.looked_at = 0  # the mark at which its unsent outcomes were read
        self._wide_look_at = 0.0
        try:
            host.launch(jobs, theirs, self.board, self._doing)
            outcomes.sendall(msgpack.packb(settings))
        except OSError:
            self.close()
            raise
        finally:
            theirs.close()
            self.board.close_file()

    @property
    def pid(self) -> int | None:
        """Its process, if it is one of its own."""
        return self._host.pid

    # --- what it runs ----------------------------------------------------------------------------------------------
    def noted(self) -> list[Begun]:
        """Return what it has noted in each of its places."""
        return [self.board.begun(slot) for slot in range(self.width)]

    def slices_noted(self) -> set[int]:
        """Return the slices that it has noted, also in places that the worker has not been told of yet."""
        return {number_of(self.board.begun(slot).mark) for slot in range(WIDTH)}

    def stuck(self, now: float, seconds: float) -> bool:
        """Whether it will not take a job soon: it has been at what it runs for so many seconds."""
        begun = self.begun()
        return len(begun) >= self.width and all(now - at > seconds for _, (_, at) in begun)

    def begun(self) -> list[tuple[Sent, Begun]]:
        """Return the jobs that it has begun and that have no outcome yet."""
        return [(job, begun) for begun in self.noted() if (job := self._slices.at(begun.mark)) is not None]

    @property
    def busy(self) -> bool:
        """Whether it runs any job."""
        return bool(self.begun())

    def running(self) -> frozenset[str]:
        """Return the ids of the jobs that it runs."""
        return frozenset(job.id for job, _ in self.begun())

    def runs_since(self) -> float | None:
        """Return when the job began that it runs alone, None when it runs none, or many at a time."""
        if self.width > 1:
            return None
        begun = self.board.begun()
        return begun.at if self._slices.at(begun.mark) is not None else None

    def _doing(self) -> Doing:
        """Say what it does, to the thread that reads what it prints."""
        if self.width > 1:
            return Doing(0, "what runs in an executor of async functions")
        mark = self.board.begun().mark
        job = self._slices.at(mark)
        return Doing(mark, f"job {job.id}" if job else "an executor")

    def rests(self, now: float) -> bool:
        """Whether it need not be looked at now: it runs many jobs at a time, is well, and was looked at just before."""
        if self.width == 1 or not self.ready or self.leaving or self.reader.ended:
            return False
        if now < self._wide_look_at:
            return True
        self._wide_look_at = now + WIDE_LOOK
        return False

    def overrun(self, now: float, default: float | None) -> list[Sent]:
        """Return the jobs that run longer than they may."""
        late = []
        for job, begun in self.begun():
            limit = job.timeout or default
            if limit is not None and now - begun.at > limit:
                late.append(job)
        return late

    def next_look(self, now: float, default: float | None) -> float:
        """Return the seconds until `overrun` may become true, or until it should be looked whether it lives."""
        if self.width > 1:
            return self._wide_look_at - now
        times = [LOOK]
        for job, begun in self.begun():
            limit = job.timeout or default
            if limit is not None:
                times.append(begun.at + limit - now)
        return min(times)

    # --- its life --------------------------------------------------------------------------------------------------
    @property
    def able(self) -> bool:
        """Whether it takes jobs now: not while it takes up functions, for these may import what takes long."""
        return self.ready and not self.leaving and self.taking is None

    def became_ready(self, width: int, names: Sequence[str] = ()) -> None:
        """Note that it takes jobs, how many at a time, and what it can run."""
        self.ready, self.width, self.ready_at, self.names = True, min(width, WIDTH), boot_time(), list(names)

    def hand(self, descriptor: int, serial: int) -> None:
        """Give it the shelf of that number, as a descriptor of the file it is in (see `shelf.py`)."""
        passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))
        try:
            self.reader.socket.sendmsg([b"F"], [passed], socket.MSG_DONTWAIT)
        except OSError:
            return  # it is about to be found ended
        self.asks_for, self._handed = None, serial

    def takes(self, name: str, version: int) -> None:
        """Note which function it begins to unpickle."""
        self.taking, self._taking_since = (name, version), time.monotonic()

    def takes_longer(self, now: float, seconds: float) -> bool:
        """Whether it has been unpickling one function for more than so many seconds."""
        return self.taking is not None and now - self._taking_since > seconds

    def took(self, names: list[str]) -> None:
        """Note what it can run from now on, and that it is ready for the next shelf."""
        self.names, self.taking, self.asks_for = names, None, self._handed

    def leave(self) -> None:
        """Note that it takes no more jobs and is about to end."""
        self.leaving = True
        self._idle_since = time.monotonic()

    def lingers(self, now: float) -> bool:
        """Whether it has nothing left to do, was to end, and does not: a thread or an exit handler of a job hangs."""
        if not self.leaving:
            return False
        if self.busy:
            self._idle_since = now
        return now - self._idle_since > LINGER

    def ended(self) -> str | None:
        """Return how it ended, None while it lives. One that no longer speaks is ended for it."""
        how = self._host.died()
        if how is None and self.reader.ended and not self.killed:
            # Its pipe closes a moment before it is gone. Whoever closes the pipe and lives on is of no use either.
            deadline = time.monotonic() + 0.2
            while how is None and time.monotonic() < deadline:
                time.sleep(0.002)
                how = self._host.died()
            if how is None:
                self._host.kill()
                how = "closed the pipe to its worker"
        return how or ("killed" if self.killed else None)

    # --- ending it -------------------------------------------------------------------------------------------------
    @property
    def guarded(self) -> bool:
        """Whether it would end if the worker were killed now."""
        return self._host.guarded()

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        self._end()

    def _end(self) -> None:
        self.leaving = True
        self.board.ask_to_leave()  # a thread cannot be killed, but it begins no other slice
        self._host.kill()

    def condemn(self, error_type: str, message: str) -> None:
        """End it at once; what it was running has crashed, and this is why."""
        self.verdict = (error_type, message)
        self._end()

    def last_words(self) -> bytes:
        """Return what it wrote to stderr last; to be asked when it has ended."""
        return self._host.last_words()

    def close(self) -> None:
        """Let go of it: end what it left behind, close its socket."""
        self._host.kill()
        self._host.last_words()
        self.reader.socket.close()

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left that would have to be waited for."""
        return self._host.gone()


HostMaker = Callable[[int], Host]


def was(how: str) -> str:
    """Return how an executor ended, as the end of a sentence about it."""
    return f"was {how}" if how.startswith("killed") else how
