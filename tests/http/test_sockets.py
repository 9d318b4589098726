"""Where the server listens, and the processes that share it."""

from __future__ import annotations

import grp
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlq_cli.http.sockets import listen_tcp, listen_unix
from mlq_cli.model.errors import Misuse, Refused


def test_only_addresses_of_this_machine_are_local() -> None:
    for host, local in (("127.0.0.1", True), ("localhost", True), ("127.0.0.2", True), ("0.0.0.0", False)):
        listening = listen_tcp(host, 0)
        assert listening.local is local, host
        assert listening.where == f"http://{host}:{listening.port}"
        listening.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_addresses_of_ipv6_are_written_in_brackets() -> None:
    listening = listen_tcp("::1", 0)
    assert listening.local and listening.where == f"http://[::1]:{listening.port}"
    listening.close()


def test_a_port_is_taken_from_the_first_on(short_folder: Path) -> None:
    first = listen_tcp("127.0.0.1", 0)
    with pytest.raises(Refused, match="is taken"):
        listen_tcp("127.0.0.1", first.port or 0)
    first.close()
    listen_tcp("127.0.0.1", first.port or 0).close()


def test_a_socket_for_a_group_is_open_to_it_and_to_nobody_else(short_folder: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    path = short_folder / "s"
    listening = listen_unix(path, group)
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, os.getgid())
    listening.close()
    assert not path.exists() and list(short_folder.iterdir()) == []
    with pytest.raises(Misuse, match="no group"):
        listen_unix(path, "no-such-group")


def test_a_socket_that_another_server_has_put_there_since_is_left_alone(short_folder: Path) -> None:
    path = short_folder / "s"
    first = listen_unix(path)
    path.unlink()
    second = listen_unix(path)
    first.close()
    assert path.exists()
    second.close()
    with pytest.raises(Misuse, match="cannot be listened on"):
        listen_unix(short_folder / ("a" * 120))
    with pytest.raises(Misuse, match="cannot be listened on"):
        listen_unix(short_folder / "none" / "s")


def test_processes_that_cannot_start_are_not_started_for_ever() -> None:
    code = "from mlq_cli.http.processes import Processes; raise SystemExit(Processes(2, lambda parent: 5, 1.0).run())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 5 and "Traceback" not in done.stderr
