"""The executor: a process of its own that imports the listeners, runs job after job, and answers with outcomes.

Started by `executor.py` as `python -m mlq_cli.worker.child JOBS OUTCOMES LIFE BOARD`: the line that slices of jobs come
from (`line.py`), the pipe for settings and outcomes (`pipe.py`), a pipe that closes when the worker ends, and the board
(`board.py`). It talks to Redis only for jobs that ask it to (`reach.py`), and it imports next to nothing: what it costs
to start and to keep is paid once an executor. `inprocess.py` runs the same `Executing` in a thread.
"""

from __future__ import annotations

import faulthandler
import io
import os
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgpack

from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.worker.asking import Asking
from mlq_cli.worker.attempts import Attempts
from mlq_cli.worker.board import PLACE_BITS, WIDTH, Board
from mlq_cli.worker.context import Job, jobs_in
from mlq_cli.worker.line import Receiver, wait_for
from mlq_cli.worker.listeners import find, import_from, listener_of
from mlq_cli.worker.pipe import read_settings
from mlq_cli.worker.reach import Reach
from mlq_cli.worker.recycling import LOOK_SECONDS, Recycling
from mlq_cli.worker.surroundings import Surroundings

if TYPE_CHECKING:
    import asyncio  # it takes as long to import as all the rest, and most listeners do not need it

    from mlq_cli.worker.taking import Taking

BRIEF = 1e-4  # seconds; what ran no longer has hardly changed the process, and to look would cost as much as it did
ALONE_SECONDS = 3.0  # between two looks of an idle executor whether its worker lives
THREADS = 1000  # of an event loop, for `asyncio.to_thread`
ASKED = "its worker has asked for it"
SOON = 5e-4  # seconds; for longer no outcome is kept back while the executor has a say in it


class Executing:
    """Runs slices of jobs from the line and answers on the pipe."""

    def __init__(self, jobs: socket.socket, outcomes: socket.socket, board: Board, settings: dict[str, Any]) -> None:
        self._receiver = Receiver(jobs, self._noted)
        self._outcomes = outcomes
        self._board = board
        self._slot = 0  # for what is received next
        self._unsent: list[bytes] = []
        self._pid, self._parent = os.getpid(), os.getppid()
        self._lock = threading.Lock()  # listeners may report progress from threads of their own
        self._pack = msgpack.Packer().pack
        self.reach: Reach | Asking = Reach(settings.get("profile"), self)
        if settings.get("local"):
            self.reach = Asking(outcomes, self, settings["limit"])
        self.attempts = Attempts(settings["worker"], settings["limit"], self)
        self._recycling = Recycling.of(settings)
        self._waiting: deque[tuple[int, list[Any]]] = deque()  # received and not begun, where many run at a time
        self.taking = self.attempts.repertoire.taking = self._taking() if settings.get("registered") else None
        self.alone = False  # in a process of its own, where what a job changes is put back
        self._restore: Callable[[], str | None] = lambda: None

    def _taking(self) -> Taking:
        from mlq_cli.worker.taking import Taking

        return Taking(self._outcomes, self.tell, self.attempts.repertoire)

    def tell(self, frame: tuple[Any, ...]) -> None:
        """Send one frame to the worker."""
        with self._lock:
            self._outcomes.sendall(self._pack(frame))

    def tell_part(self, job: Job, packed: bytes) -> None:
        """Send the next part of a job to the worker. They leave in the order of their numbers. Raises Misuse."""
        if os.getpid() != self._pid:
            raise Misuse("a process that the listener has forked cannot emit", hint="emit in the one that runs the job")
        with self._lock:
            job.emitted += 1
            self._outcomes.sendall(self._pack(("part", job.id, job.token, job.emitted, packed)))

    def run(self) -> None:
        """Run jobs until told to stop, or until it is time to be replaced."""
        if self._recycling:
            self._recycling.begin()
        if self.alone:
            self._restore = Surroundings().restore
        names = self.attempts.repertoire.names
        if self.attempts.repertoire.is_async:
            import asyncio

            self.tell(("ready", os.getpid(), WIDTH, names))
            asyncio.run(self._run_many())
        else:
            self.tell(("ready", os.getpid(), 1, names))
            self._run_each()
        self.reach.close()

    def tell_names(self) -> None:
        """Tell the worker what can be run here from now on."""
        self.tell(("functions", self.attempts.repertoire.names, {}))

    def _noted(self, number: int) -> None:
        """Put a slice on the board the moment it is ours, before anything that might fail is done with it."""
        self._board.begin(number << PLACE_BITS, time.monotonic(), self._slot)

    # --- one at a time ---------------------------------------------------------------------------------------------
    def _run_each(self) -> None:
        recycling, reason = self._recycling, None
        while reason is None:
            if recycling and (reason := recycling.due_while_idle(self._receiver.socket, self.taking)):
                break
            try:
                number, packed = self._receive()
            except BlockingIOError:  # nothing for a while
                self._end_if_alone()
                reason = self._enough(idle=True) or (ASKED if self._board.asked_to_leave else None)
                continue
            if not number:
                return
            reason = self._run_slice(number, packed)
        self.tell(("leaving", reason))

    def _receive(self) -> tuple[int, bytes]:
        """Wait for the next slice; registered functions are taken up before it. Raises BlockingIOError."""
        if self.taking is None:
            return self._receiver.receive()
        self.taking.look()
        if (received := self._receiver.receive_now()) is None:
            self.taking.wait(self._receiver.socket, ALONE_SECONDS)
            raise BlockingIOError
        self.taking.look()  # what came in this moment is what the slice may be there for
        return received

    def _run_slice(self, number: int, packed: bytes) -> str | None:
        """Run the jobs of a slice; returns why it is time to leave. Their outcomes leave together, if that is soon."""
        board, recycling, pack, attempt = self._board, self._recycling, self._pack, self.attempts.run
        reason = None
        told_at = now = time.monotonic()
        for mark, values in enumerate(jobs_in(packed), number << PLACE_BITS):
            board.begin(mark, now)
            if board.recalled(mark):
                break
            answer = attempt(values, now)
            frame = pack(answer)
            now = time.monotonic()
            kept = board.keep(frame)
            self._unsent.append(frame)
            if not kept or now - told_at > SOON:
                self._tell_unsent()
                told_at = now
            if (answer[3] > BRIEF or answer[0] != "done") and (reason := self._restore() or self.attempts.spent):
                break
            if recycling and (reason := recycling.due()):
                break
            if self.attempts.hooks is not None and (reason := self._enough()):
                break
        self._tell_unsent()
        return reason or (ASKED if board.asked_to_leave else None)

    def _enough(self, *, idle: bool = False) -> str | None:
        """Ask the user's hook whether to stop; when it says so, tell the worker and return why to leave."""
        hooks = self.attempts.hooks
        if hooks is None:
            return None
        if idle:
            hooks.in_vain()
        try:
            if not hooks.stops():
                return None
        except BaseException as error:
            self.attempts.on_hook_error(error)
            return None
        self._tell_unsent()
        self.tell(("enough",))
        return "its hook says that it is time to stop"

    def _tell_unsent(self) -> None:
        if self._unsent:
            with self._lock:
                self._outcomes.sendall(b"".join(self._unsent))
            self._board.sent()  # after that: what is on the board and was sent as well counts once
            self._unsent.clear()

    # --- many at a time --------------------------------------------------------------------------------------------
    async def _run_many(self) -> None:
        """Keep up to WIDTH attempts going on one event loop."""
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        loop = asyncio.get_running_loop()
        # By default there are so few that jobs which block in `to_thread` would take them all, and wait for ever for
        # jobs that need one as well. They are started as they are needed.
        loop.set_default_executor(ThreadPoolExecutor(THREADS, "mlq-thread"))
        arrived, free = asyncio.Event(), asyncio.Semaphore(WIDTH)
        running: set[asyncio.Task[None]] = set()
        slots = list(range(WIDTH))
        line = self._receiver.socket.fileno()
        loop.add_reader(line, arrived.set)
        if self.taking is not None:
            loop.add_reader(self.taking, self._take_up, self.taking, arrived)

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            slots.append(int(task.get_name()))
            free.release()
            if not running:
                self.attempts.spent = self._restore() or self.attempts.spent
            if self.attempts.spent:
                arrived.set()

        leaving = None
        while leaving is None:
            await free.acquire()
            leaving = self.attempts.spent
            job = None if leaving else self._next_job(slots[-1])
            while job is None and leaving is None:
                arrived.clear()
                await self._something(arrived)
                leaving = self.attempts.spent or (self._recycling.due_for_code() if self._recycling else None)
                leaving = leaving or (ASKED if self._board.asked_to_leave else None)
                job = None if leaving else self._next_job(slots[-1])  # another than before, if one has ended meanwhile
            if not job:
                break
            task = asyncio.create_task(self._run_one(job), name=str(slots.pop()))
            running.add(task)
            task.add_done_callback(ended)
            leaving = self._recycling.due() if self._recycling else None
            if self._board.asked_to_leave:
                leaving = ASKED
        loop.remove_reader(line)
        if leaving:  # said before the last ones have ended, or the worker would count on it
            self.tell(("leaving", leaving))
        if running:
            await asyncio.wait(running)

    def _take_up(self, taking: Taking, arrived: asyncio.Event) -> None:
        try:
            taking.take()
        except OSError as error:  # without a descriptor there is no shelf, and none would be asked for again
            self.attempts.spent = f"functions cannot be taken up: {error}"
            arrived.set()

    def _next_job(self, slot: int) -> list[Any] | None:
        """Return the values of the next job, none of them to stop, None when there is no job right now."""
        self._slot = slot
        if not self._waiting:
            received = self._receiver.receive_now()
            if received is None:
                return None
            number, packed = received
            if not number:
                return []
            self._waiting.extend(enumerate(jobs_in(packed), number << PLACE_BITS))
        mark, values = self._waiting.popleft()
        self._board.begin(mark, time.monotonic(), slot)
        return values

    async def _something(self, arrived: asyncio.Event) -> None:
        """Wait for a job, or until it is time to look at files again."""
        import asyncio

        try:
            async with asyncio.timeout(LOOK_SECONDS if self._recycling else ALONE_SECONDS):
                await arrived.wait()
        except TimeoutError:
            self._end_if_alone()
            self.attempts.spent = self._enough(idle=True) or self.attempts.spent

    async def _run_one(self, values: list[Any]) -> None:
        self.tell(await self.attempts.run_async(values, time.monotonic()))
        self.attempts.spent = self._enough() or self.attempts.spent

    def _end_if_alone(self) -> None:
        """End this process when its worker and its guard were killed together: nothing else would tell it."""
        if self.alone and os.getppid() != self._parent:
            os._exit(1)


def prepare(executing: Executing, settings: dict[str, Any]) -> None:
    """Import the listeners and call the setup. Whatever user code raises comes through."""
    repertoire = executing.attempts.repertoire
    if (terms := settings.get("delivery")) is not None:
        from mlq_cli.worker.callbacks import Delivery

        repertoire.listeners = [listener_of(Delivery.of(terms).deliver)]
        return
    import_from(settings["paths"])
    if settings.get("local"):
        from mlq_cli.worker.own import take_up

        take_up(executing.attempts, settings)
        return
    for path in settings["functions"]:
        repertoire.listen(path)
    for told in settings["calls"]:
        repertoire.allow(told)
    if hooks := settings.get("hooks"):
        from mlq_cli.worker.hooks import Hooks

        executing.attempts.hooks = Hooks(**{name: find(path) for name, path in hooks.items()})
    if settings["setup"]:
        find(settings["setup"])()
    if executing.taking is not None:
        executing.taking.begin()


def start_guard(life: int) -> None:
    """Start the guard of `ProcessHost`: it reads from the worker's pipe until that closes, then ends this group.

    It is no child of this process: a job that waits for all its children must not wait for this one. And a job that
    ends what it started by a signal to its own group, which it ignores itself, must not end the guard.
    """
    shell = ["/bin/sh", "-c", "trap '' HUP INT QUIT TERM USR1 USR2 ALRM; { read nothing; kill -KILL 0; } <&3 3<&- &"]
    fork_and_wait = (
        "import os, signal as s; [s.signal(n, s.SIG_IGN) for n in (1, 2, 3, 10, 12, 14, 15)]; "
        "os.fork() and os._exit(0); os.read(3, 1); os.killpg(0, s.SIGKILL)"
    )
    command = shell if os.path.exists(shell[0]) else [sys.executable, "-ISc", fork_and_wait]
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    starter = os.posix_spawn(command[0], command, {}, file_actions=[(os.POSIX_SPAWN_DUP2, life, 3), *null])
    os.waitpid(starter, 0)
    os.close(life)


def main(arguments: list[str]) -> int:
    """Run as an executor until told to stop; the exit code says nothing, only outcomes do."""
    numbers = [int(number) for number in arguments]
    faulthandler.enable(all_threads=False)  # the worker keeps what it writes
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # it leads to the worker, and often on to a person
    for number in numbers:
        os.set_inheritable(number, False)  # what a job starts has no business with them
    start_guard(numbers[2])
    jobs, outcomes = (socket.socket(fileno=number) for number in numbers[:2])
    wait_for(jobs, ALONE_SECONDS)
    board = Board(numbers[3])
    board.close_file()
    settings = read_settings(outcomes)
    executing = Executing(jobs, outcomes, board, settings)
    executing.alone = True
    return start(executing, lambda: prepare(executing, settings))


def start(executing: Executing, prepare: Callable[[], None]) -> int:
    """Prepare and run; a failure to prepare is told to the worker."""
    try:
        prepare()
    except MlqError as error:
        executing.tell(("broken", str(error), error.hint))
        return 1
    except BaseException:
        executing.tell(("broken", traceback.format_exc(), None))
        return 1
    executing.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
