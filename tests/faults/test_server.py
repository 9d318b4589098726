"""The server of the fault tests does what its name says."""

from __future__ import annotations

from pathlib import Path

from harness.server import ALWAYS, FaultServer


def test_a_killed_server_keeps_what_it_wrote_and_loses_what_is_cut(short_folder: Path) -> None:
    with FaultServer(short_folder, *ALWAYS) as server:
        server.command("SET", "first", "1")
        server.restart()
        assert server.command("GET", "first") == b"1"
        server.command("SET", "second", "2")
        server.kill()
        assert server.cut_aof(10) == 10
        server.start()
        assert server.command("MGET", "first", "second") == [b"1", None]
