"""The folder of the private server: only its user can enter, and it tells whether a server lives there.

Two locks in it keep the peace:

    start.lock   held by the command that starts or stops the server
    alive.lock   held by the server itself, which inherited it: however it dies, the kernel lets go of the lock,
                 and as long as it lives no second server can touch the data

The pid file is for people and for `mlq redis stop`. A number alone proves nothing, so it holds when the process began.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mlq_cli.model.errors import NotAllowed, StoreUnavailable

LONGEST_SOCKET = 100  # bytes; Linux takes 107, macOS 103

# Understood by Redis since 6.2 and by every Valkey.
_CONFIG = """\
# Written anew by mlq at every start of this server.
port 0
unixsocket {socket}
unixsocketperm 700
protected-mode yes
daemonize no
timeout 0
databases 1
dir {data}
logfile {log}
save ""
appendonly yes
appendfsync everysec
auto-aof-rewrite-min-size 256mb
rdbcompression no
aof-use-rdb-preamble yes
aof-load-truncated yes
maxmemory-policy noeviction
"""


@dataclass(frozen=True, slots=True)
class Started:
    """What the pid file says: the process that was started, told apart from any later one with its number."""

    pid: int
    born: str | None
    host: str
    socket: str
    binary: str

    def alive(self) -> bool:
        """Whether that very process lives. Nothing else may be sent a signal."""
        return self.host == socket.gethostname() and self.born is not None and born(self.pid) == self.born


class ServerFolder:
    """One data folder and what mlq keeps in it besides the data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "redis.conf"
        self.log = path / "server.log"
        self._pid_file = path / "server.pid"

    def make(self) -> None:
        """Make the folder, or make sure that it is private. Raises NotAllowed or StoreUnavailable."""
        try:
            try:
                check_private(self.path)
            except FileNotFoundError:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                check_private(self.path)
        except OSError as error:
            raise StoreUnavailable(
                f"the folder {self.path} cannot be made: {error.strerror}", hint="set redis.data in the profile"
            ) from error

    @contextlib.contextmanager
    def alone(self, seconds: float) -> Iterator[None]:
        """Keep every other command from starting or stopping the server. Raises StoreUnavailable after so long."""
        lock = os.open(self.path / "start.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if not until(lambda: _locked(lock), seconds):
                raise StoreUnavailable(
                    "another command has been starting or stopping the private server for too long",
                    hint=f"is a stopped mlq process around? its log is {self.log}",
                )
            yield
        finally:
            os.close(lock)

    def claim(self) -> int | None:
        """Return the descriptor of the lock that says a server lives here; None while one does."""
        lock = os.open(self.path / "alive.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if _locked(lock):
            return lock
        os.close(lock)
        return None

    def started(self) -> Started | None:
        """Return what the pid file says, None when there is none that makes sense."""
        try:
            return Started(**json.loads(self._pid_file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def configure(self, socket: Path) -> None:
        """Write the configuration of a server that listens there."""
        names = {"socket": _quoted(socket), "data": _quoted(self.path), "log": _quoted(self.log)}
        self.write(self.config, _CONFIG.format(**names))

    def note(self, started: Started) -> None:
        """Write the pid file."""
        self.write(self._pid_file, json.dumps(asdict(started)))

    def forget(self) -> None:
        """Remove the pid file."""
        self._pid_file.unlink(missing_ok=True)

    def write(self, path: Path, text: str) -> None:
        """Put a file of ours in place, whole, and never through a link that somebody laid."""
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(os.fsencode(text))
        os.replace(new, path)

    def secret(self) -> str:
        """Return the secret that goes with these data, made when it is first asked for. Raises StoreUnavailable."""
        from mlq_cli.model.signing import new_secret  # what signs is loaded by nobody else who posts

        self.make()
        path = self.path / "secret"
        try:
            if not path.exists():
                new = path.with_name(f"secret.{os.getpid()}.{os.urandom(4).hex()}")
                with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    file.write(new_secret())
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    os.link(new, path)  # whole or not at all, and the first one to come wins
                except FileExistsError:
                    pass
                finally:
                    new.unlink()
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
                secret = file.read(4096).strip()
        except OSError as error:
            raise StoreUnavailable(f"the secret {path} cannot be read: {error.strerror}") from error
        if not secret:
            raise StoreUnavailable(f"the secret {path} is empty", hint="remove that file, and a new one is made")
        return secret

    def stored(self) -> int:
        """Return how many bytes lie in the folder."""
        total = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                with contextlib.suppress(OSError):  # files come and go under a living server
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

    def socket(self) -> Path:
        """Return where a new server listens: in the folder, or where the path is short enough for a socket."""
        inside = self.path / "redis.sock"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET:
            return inside
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16] + ".sock"
        if (runtime := os.environ.get("XDG_RUNTIME_DIR")) and _is_private(Path(runtime)):
            path = Path(runtime) / f"mlq-{name}"
        else:
            path = Path(tempfile.gettempdir()) / f"mlq-{os.geteuid()}" / name
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            path = Path("/tmp") / f"mlq-{os.geteuid()}" / name
        return path


def check_private(folder: Path) -> None:
    """Make sure that only we can enter a folder. Raises NotAllowed, or FileNotFoundError."""
    hint = "set redis.data in the profile to a folder of its own"
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotAllowed(f"{folder} is a link or no folder", hint=hint)
    if found.st_uid != os.geteuid():
        raise NotAllowed(f"the folder {folder} belongs to another user", hint=hint)
    if found.st_mode & 0o077:
        # One that is shared on purpose (/tmp, a project) must not be closed by a slip in the profile.
        if any(folder.iterdir()) and not (folder / "redis.conf").exists():
            raise NotAllowed(
                f"others can enter the folder {folder}, and it holds more than mlq's data",
                hint=f"{hint}, or chmod 700 {folder}",
            )
        folder.chmod(0o700)


def born(pid: int) -> str | None:
    """Return when a living process began, in a form no later process of that number will have; None: it is dead."""
    try:
        # Field 2 is a name in brackets that may hold anything; 3 is the state, 22 the start in ticks since the boot.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in (b"Z", b"X") else f"{boot}:{int(fields[19])}"
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    ps = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, begin = ps.stdout.strip().partition(" ")
    return None if not begin or state.startswith("Z") else begin.strip()


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, looking often at first; returns whether it came true in time."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True


def _is_private(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return False


def _locked(lock: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
