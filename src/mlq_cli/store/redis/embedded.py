"""The private server: a Redis or Valkey of the user's own, for whoever has named none.

Started by the first command that needs it, shared by all of that user's commands, alive when they have ended. It
listens on a unix socket that only its user can reach, and on no port.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from mlq_cli.model.errors import Refused, StoreUnavailable
from mlq_cli.store.redis.link import ANSWER_SECONDS, ErrorAnswer, Link, Place
from mlq_cli.store.redis.server_binary import INSTALL, find_binary
from mlq_cli.store.redis.server_folder import ServerFolder, Started, born, check_private, until

START_SECONDS = 10.0  # until a new server answers
LOAD_SECONDS = 60.0  # until it has read its data
STOP_SECONDS = 10.0  # until a server that was asked to stop has stopped
ORPHAN_SECONDS = 2.0  # until a server without a socket counts as unreachable; a new one has none at first

_PERSISTENCE = "append-only file, synced every second"
_ADVICE = {  # what a failure says, and what to do about it
    "No space left": "free some disk space, then try again",
    "RDB format version": "a newer server wrote this data; name that one as redis.server in the profile",
    "Bad file format": "the append-only file is damaged; valkey-check-aof or redis-check-aof repairs it",
    "Permission denied": "the server and its data folder with all in it have to be yours to use",
    "Exec format error": f"this binary is for other machines; {INSTALL}",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What is known of the private server."""

    running: bool  # and answers
    data: str  # folder
    socket: str
    log: str
    binary: str | None  # that runs, or would be run; None: there is none
    stored: int  # bytes on disk
    pid: int | None = None  # also of one that lives and does not answer
    version: str | None = None  # "Valkey 9.1.2"
    uptime: float | None = None  # seconds
    memory: int | None = None  # bytes
    persistence: str | None = None  # how data is kept, or what is wrong with that


class EmbeddedEndpoint:
    """The private server as somewhere to connect to. It is started when nothing answers."""

    moves = False

    def __init__(self, binary: str | None = None, data: str | None = None) -> None:
        if data is None:
            import platformdirs

            data = os.path.join(platformdirs.user_data_dir("mlq", appauthor=False), "redis")
        self._binary = binary
        self._folder = ServerFolder(Path(data).expanduser().absolute())
        self.address = f"unix://{self._socket()}"
        self.hint = f"mlq redis status tells more; its log is {self._folder.log}"

    @property
    def data(self) -> ServerFolder:
        """Its folder."""
        return self._folder

    def open(self) -> Link:
        """Return a connection to the server, which is started if need be and has read its data.

        Raises StoreUnavailable when it cannot be started, NotAllowed when its folder is not safe; OSError, ErrorAnswer.
        """
        self._folder.make()
        try:
            return self._connect(LOAD_SECONDS)
        except TimeoutError:
            raise
        except OSError:  # nothing there, or just about to go
            self.start()
            return self._connect(LOAD_SECONDS)

    def start(self) -> Status:
        """Start the server unless it runs; returns when it answers. Raises StoreUnavailable or NotAllowed."""
        self._folder.make()
        try:
            with self._folder.alone(START_SECONDS + LOAD_SECONDS):
                if not self._answers():
                    self._launch()
        except OSError as error:
            raise StoreUnavailable(
                f"the private server cannot be started: {error}", hint=_advice(str(error), self.hint)
            ) from error
        return self.status()

    def stop(self) -> bool:
        """End the server; returns when it is gone and all is on disk. False: it was not running.

        Raises Refused for a server that was not started here: that one is left alone.
        """
        if not self._folder.path.exists():
            return False
        self._folder.make()
        with self._folder.alone(START_SECONDS + LOAD_SECONDS):
            info, started = self._info(), self._living()
            if info and not (started and int(info["process_id"]) == started.pid):
                raise Refused(
                    f"mlq did not start the server at {self.address} and leaves it alone",
                    hint=f"its process is {info['process_id']}",
                )
            if started is None:
                return False
            if info and info.get("aof_last_write_status", "ok") != "ok":
                raise Refused(
                    f"the server at {self.address} could not write its newest data to disk and would lose them now",
                    hint="free disk space, then try again",
                )
            if info:
                self._shut_down()
            else:  # it does not answer, but it is proven to be ours
                os.kill(started.pid, signal.SIGTERM)
            if not until(lambda: not started.alive(), STOP_SECONDS):
                os.kill(started.pid, signal.SIGKILL)
                until(lambda: not started.alive(), STOP_SECONDS)
            self._folder.forget()
        return True

    def status(self) -> Status:
        """Return what is known of the server. Starts nothing."""
        info, started = self._info() or {}, self._living()
        binary = started.binary if started else None
        with contextlib.suppress(StoreUnavailable):
            binary = binary or find_binary(self._binary)
        about = Status(
            running=bool(info),
            data=str(self._folder.path),
            socket=str(self._socket()),
            log=str(self._folder.log),
            binary=binary,
            stored=self._folder.stored(),
            pid=started.pid if started else None,
        )
        if not info:
            return about
        kind, version = ("Valkey", "valkey_version") if "valkey_version" in info else ("Redis", "redis_version")
        healthy = info.get("aof_enabled") == "1" and info.get("aof_last_write_status") == "ok"
        return dataclasses.replace(
            about,
            pid=int(info["process_id"]),
            version=f"{kind} {info[version]}",
            uptime=float(info["uptime_in_seconds"]),
            memory=int(info["used_memory"]),
            persistence=_PERSISTENCE if healthy else "not kept on disk, or the last write there failed: see the log",
        )

    # --- talking to it ---------------------------------------------------------------------------------------------
    def _socket(self) -> Path:
        # The one that the running server was told, whatever this command's environment would make of it.
        started = self._folder.started()
        return Path(started.socket) if started else self._folder.socket()

    def _living(self) -> Started | None:
        started = self._folder.started()
        return started if started and started.alive() else None

    def _connect(self, seconds: float) -> Link:
        path = self._socket()
        self.address = f"unix://{path}"
        if path.parent != self._folder.path:
            check_private(path.parent)
        link = Place(path=str(path), answer_seconds=ANSWER_SECONDS).open()
        deadline = time.monotonic() + seconds
        try:
            while True:
                try:
                    link.ask(("PING",))
                except ErrorAnswer as error:
                    if error.word == "LOADING":
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(0.02)
                        continue
                    # A complaint about something else is for whoever sends a command.
                return link
        except BaseException:
            link.disconnect()
            raise

    def _answers(self) -> bool:
        try:
            self._connect(LOAD_SECONDS).disconnect()
        except (ErrorAnswer, OSError) as error:
            return isinstance(error, ErrorAnswer)  # it is reading its data
        return True

    def _info(self) -> dict[str, str] | None:
        with contextlib.suppress(ErrorAnswer, OSError):
            link = self._connect(seconds=0)
            try:
                (text,) = link.ask(("INFO",))
            finally:
                link.disconnect()
            lines = text.decode().splitlines()
            return {name: value for name, _, value in (line.partition(":") for line in lines) if value}
        return None

    def _shut_down(self) -> None:
        link = self._connect(LOAD_SECONDS)
        try:
            link.ask(("SHUTDOWN",))
        except ErrorAnswer as error:
            raise StoreUnavailable(f"the private server cannot stop: {error}", hint=self.hint) from error
        except OSError:
            pass  # it went without an answer, as it should
        finally:
            link.disconnect()

    # --- starting it -----------------------------------------------------------------------------------------------
    def _launch(self) -> None:
        binary = find_binary(self._binary)
        alive = self._claim()
        if alive is None:
            return
        folder = self._folder
        try:
            folder.forget()
            path = folder.socket()
            if path.parent != folder.path:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                check_private(path.parent)
            path.unlink(missing_ok=True)  # nobody listens there: whoever did would hold the lock
            folder.configure(path)
            self._run(binary, path, alive)
        finally:
            os.close(alive)

    def _run(self, binary: str, path: Path, alive: int) -> None:
        folder = self._folder
        with os.fdopen(os.open(folder.log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "rb") as log:
            begin = log.seek(0, os.SEEK_END)
            server = subprocess.Popen(
                [binary, str(folder.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder.path,
                env=_environment(),
                start_new_session=True,
                pass_fds=(alive,),
                umask=0o077,
            )
            try:
                folder.note(Started(server.pid, born(server.pid), socket.gethostname(), str(path), binary))
                until(lambda: server.poll() is not None or self._answers(), START_SECONDS)
                if server.poll() is not None or not self._answers():
                    log.seek(begin)
                    raise self._failure(binary, server.poll(), log.read().decode(errors="replace"))
            except Exception:
                server.kill()  # a server that nobody can reach is of no use
                server.wait()
                folder.forget()
                raise
            server.returncode = 0  # it outlives us on purpose, and Popen need not complain of that

    def _claim(self) -> int | None:
        """Return the lock that the new server will hold, or None when there is a server that answers after all."""
        begin, swept = time.monotonic(), False
        while (alive := self._folder.claim()) is None:
            if self._answers():  # its command was killed just after it had started it
                return None
            age, started = time.monotonic() - begin, self._living()
            if started and not swept and age > ORPHAN_SECONDS and not self._socket().exists():
                swept = True  # somebody removed its socket, so nobody reaches it any more; it saves its data and ends
                os.kill(started.pid, signal.SIGTERM)
            if age > STOP_SECONDS:
                who = started or self._folder.started()
                raise StoreUnavailable(
                    f"a private server{f' (process {who.pid} on {who.host})' if who else ''} lives and does not answer",
                    hint="mlq redis stop ends it, on the machine where it runs",
                )
            time.sleep(0.02)
        return alive

    def _failure(self, binary: str, code: int | None, log: str) -> StoreUnavailable:
        end = "code" if code is None or code >= 0 else "signal"
        how = "does not answer" if code is None else f"ended with {end} {abs(code)}"
        last = "".join(f"\n  {line.strip()}" for line in log.splitlines()[-5:])
        hint = _advice(log, f"its log is {self._folder.log}")
        return StoreUnavailable(f"the private server does not start: {binary} {how}{last}", hint=hint)


def _advice(text: str, otherwise: str) -> str:
    return next((advice for sign, advice in _ADVICE.items() if sign in text), otherwise)


def _environment() -> dict[str, str]:
    """Return the variables of a server. A job may have started it, and a worker ends what its jobs leave behind."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("MLQ_WORKER", "MLQ_EXECUTOR")}
    return {**inherited, "LC_ALL": "C"}  # it would not start under a locale that is not installed
