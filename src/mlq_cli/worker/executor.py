"""The worker's handle on one executor: start it, send it jobs, hear what it says, end it.

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
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgpack

from mlq_cli.worker.fence import boot_time
from mlq_cli.worker.output import Doing, Output, Printed
from mlq_cli.worker.pipe import FrameReader, JobSender, outcome_pair

SPAN = 0.01  # seconds of work an executor is given ahead: jobs of 10 ms and more come one by one
DEPTH = 200  # jobs at most that it is given ahead, however short they are
STUCK = 0.02  # seconds after which unbegun jobs behind a running one are taken back
LINGER = 5.0  # seconds an executor that was to end gets for its threads and exit handlers
LOOK = 0.25  # seconds between two looks at whether a busy executor lives, should its pipe not tell


class Sent(NamedTuple):
    """A job that was sent to an executor."""

    id: str
    token: str
    timeout: float | None  # seconds one attempt may take
    record: bytes
    place: int  # in the order of claiming


class Host(Protocol):
    """What an executor runs in."""

    @property
    def pid(self) -> int | None:
        """The process that it is, if it is one of its own."""

    def launch(self, jobs: socket.socket, outcomes: socket.socket, doing: Callable[[], Doing]) -> None:
        """Start it with its two sockets; `doing` tells what it does whenever it prints. Raises OSError."""

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

    def launch(self, jobs: socket.socket, outcomes: socket.socket, doing: Callable[[], Doing]) -> None:
        """Start it with its two sockets. Raises OSError."""
        self._printed, stdout, stderr = self._output.open(doing)
        ends = [stdout, stderr]
        try:
            theirs, self._life = os.pipe()
            ends.append(theirs)
            numbers = (jobs.fileno(), outcomes.fileno(), theirs)
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


class Executor:
    """One executor and the jobs it holds, in the order in which it runs them."""

    def __init__(self, host: Host, settings: dict[str, Any]) -> None:
        self._host = host
        self._settings = settings
        self._sender = JobSender()
        outcomes, theirs = outcome_pair()
        limit = settings["limit"]  # of a result, and of the short result beside it
        self.reader = FrameReader(outcomes, 2 * limit + (1 << 20) if limit else 0)
        self.jobs: dict[str, Sent] = {}
        self.ready = False
        self.launched_at = boot_time()
        self.ready_at: float | None = None  # by the same clock
        self.leaving = False  # it takes no more jobs
        self.width = 1  # jobs it runs at a time
        self.done = 0
        self.began = time.monotonic()  # when the first of `jobs` was begun
        self.pace: float | None = None  # seconds a job takes, lately
        self._idle_since = time.monotonic()
        self.killed = False  # by the worker, so its end is no crash
        self.verdict: tuple[str, str] | None = None  # type and text of the error when it is a crash all the same
        self._sent_at: dict[str, float] = {}  # when each of `jobs` was sent; what runs many begins them at once
        try:
            host.launch(self._sender.child_end, theirs, self._doing)
            if not self._sender.send(msgpack.packb(settings)):
                raise OSError("it does not take its settings")
        except OSError:
            self.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int | None:
        """Its process, if it is one of its own."""
        return self._host.pid

    def running(self) -> frozenset[str]:
        """Return the jobs that it has begun."""
        return frozenset(islice(self.jobs, self.width))

    def _doing(self) -> Doing:
        """Say what it does, to the thread that reads what it prints."""
        try:
            job = next(iter(self.jobs), None)
        except RuntimeError:  # they have just changed
            job = None
        alone = f"job {job}" if job else "an executor"
        return Doing(self.done, alone if self.width == 1 else "what runs in an executor of async functions")

    # --- giving it work --------------------------------------------------------------------------------------------
    def room(self) -> int:
        """Return how many more jobs it should get: as many as it can do in SPAN, at least one."""
        if not self.ready or self.leaving:
            return 0
        pace = self.pace
        if self.width > 1:
            depth = self.width
        elif pace is None or (self.jobs and time.monotonic() - self.began > SPAN):
            depth = 1  # nothing is known yet, or it is busy with a long one right now
        else:
            depth = DEPTH if pace * DEPTH <= SPAN else max(1, int(SPAN / pace))
        return max(0, depth - len(self.jobs))

    def send(self, job: Sent) -> bool:
        """Give it a job; False when it can hold no more, or is no more."""
        try:
            if not self._sender.send(job.record):
                return False
        except OSError:
            return False
        if not self.jobs:
            self.began = time.monotonic()
        self.jobs[job.id] = job
        if self.width > 1:
            self._sent_at[job.id] = time.monotonic()
        return True

    def take_back(self) -> list[Sent]:
        """Return the jobs that it has not begun and now never will; what is left in `jobs` has been begun."""
        if not self.ready:
            return []  # it holds no jobs yet, and must not lose its settings
        back = []
        for record in self._sender.take_back():
            job_id = msgpack.unpackb(record, raw=True)[0].decode()
            if (job := self.jobs.pop(job_id, None)) is not None:
                back.append(job)
        return back

    def stuck(self, now: float) -> bool:
        """Whether jobs wait behind one that takes its time."""
        return len(self.jobs) > self.width and now - self.began > STUCK

    def slow(self) -> None:
        """Note that it takes longer than was thought, so that it is given less ahead."""
        self.pace = max(self.pace or 0.0, STUCK)

    # --- hearing from it -------------------------------------------------------------------------------------------
    def finished(self, job_id: str, seconds: float) -> Sent | None:
        """Note that it has run a job, and return that job; None for one it does not hold."""
        job = self.jobs.pop(job_id, None)
        if self.width > 1:
            self._sent_at.pop(job_id, None)
        self.began = time.monotonic()
        self.done += 1
        self.pace = seconds if self.pace is None else self.pace + 0.2 * (seconds - self.pace)
        return job

    def overrun(self, now: float, default: float | None) -> list[Sent]:
        """Return the jobs that run longer than they may."""
        late = []
        for job in islice(self.jobs.values(), self.width):
            limit = job.timeout or default
            if limit is not None and now - self._sent_at.get(job.id, self.began) > limit:
                late.append(job)
        return late

    def leave(self) -> None:
        """Note that it takes no more jobs and is about to end."""
        self.leaving = True
        self._idle_since = time.monotonic()

    def lingers(self, now: float) -> bool:
        """Whether it has nothing left to do, was to end, and does not: a thread or an exit handler of a job hangs."""
        if self.jobs:
            self._idle_since = now
        return self.leaving and now - self._idle_since > LINGER

    def next_look(self, now: float, default: float | None) -> float:
        """Return the seconds until `stuck` or `overrun` may become true."""
        times = [LOOK]
        if len(self.jobs) > self.width:
            times.append(self.began + STUCK - now)
        for job in islice(self.jobs.values(), self.width):
            limit = job.timeout or default
            if limit is not None:
                times.append(self._sent_at.get(job.id, self.began) + limit - now)
        return min(times)

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

    def became_ready(self, width: int) -> None:
        """Note that it takes jobs, and how many at a time."""
        self.ready, self.width, self.ready_at = True, width, boot_time()

    # --- ending it -------------------------------------------------------------------------------------------------
    @property
    def guarded(self) -> bool:
        """Whether it would end if the worker were killed now."""
        return self._host.guarded()

    def ask_to_stop(self) -> None:
        """Let it end when it has run what it holds."""
        self.leave()
        self._sender.stop()

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        self.leaving = True
        self._host.kill()

    def condemn(self, error_type: str, message: str) -> None:
        """End it at once; what it was running has crashed, and this is why."""
        self.verdict = (error_type, message)
        self.leaving = True
        self._host.kill()

    def last_words(self) -> bytes:
        """Return what it wrote to stderr last; to be asked when it has ended."""
        return self._host.last_words()

    def close(self) -> None:
        """Let go of it: end what it left behind, close its sockets."""
        self._host.kill()
        self._host.last_words()
        self._sender.close()
        self.reader.socket.close()

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left that would have to be waited for."""
        return self._host.gone()


HostMaker = Callable[[int], Host]
