"""What is said of a server: on real ones that are set up badly, and for what cannot be had, on what one would say."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlq_cli.model.finding import Finding, Level
from mlq_cli.store.redis import examination
from mlq_cli.store.redis.connect import UrlEndpoint
from mlq_cli.store.redis.examination import PATCHED, examine
from mlq_cli.store.redis.server_info import ServerSettings, read_info, risks
from mlq_cli.store.redis.store import RedisStore
from tests_support import Server

LIMIT = 512 * 2**20


class Lone:
    """A server of the test's own, and what is said of it."""

    def __init__(self, url: str) -> None:
        self.store = RedisStore(UrlEndpoint(url), "lone")

    def set(self, name: str, value: str) -> None:
        assert self.store._wire.exchange([("CONFIG", "SET", name, value)]) == [b"OK"]

    def look(self) -> dict[str, Finding]:
        return {finding.name: finding for finding in self.store.examine(LIMIT)}

    def wrong(self) -> dict[str, str]:
        """What is not well, but for the version, which is that of whatever server these tests run on."""
        found = self.look()
        found.pop("version", None)
        return {name: finding.advice for name, finding in found.items() if not finding.well}


@pytest.fixture
def lone(short_folder: Path) -> Iterator[Lone]:
    with Server(short_folder, "--appendonly", "yes") as server:
        made = Lone(server.url)
        yield made
        made.store.close()


def test_a_server_that_is_set_up_well_has_nothing_to_be_told(lone: Lone) -> None:
    assert lone.wrong() == {}
    assert {"answer", "eviction", "persistence", "memory", "clock"} <= set(lone.look())
    assert lone.store.server(LIMIT).doubts == []


def test_settings_that_put_jobs_at_risk_are_told_with_the_command_that_mends_them(lone: Lone) -> None:
    lone.set("maxmemory-policy", "allkeys-lru")
    lone.set("appendonly", "no")
    lone.set("proto-max-bulk-len", "1048576")
    assert set(lone.wrong()) == {"eviction", "persistence", "bulk-length"}
    assert len(lone.store.server(LIMIT).doubts) == 3
    assert len(lone.store.server().doubts) == 2  # who does not say how large things may be is told nothing of it
    for advice in lone.wrong().values():
        _, _, name, value = advice.partition(",")[0].split(" ")
        lone.set(name, value)
    assert lone.wrong() == {}


def test_a_server_that_is_nearly_full_is_told_before_it_refuses_posts(lone: Lone) -> None:
    used = int(lone.store.server().details["used_memory"])
    lone.set("maxmemory", str(used * 4))
    assert lone.wrong() == {}
    lone.set("maxmemory", str(int(used * 1.1)))
    assert set(lone.wrong()) == {"memory"}


def test_a_replica_is_told(short_folder: Path) -> None:
    with Server(short_folder, "--appendonly", "yes", "--replicaof", "127.0.0.1", "1") as server:
        assert Lone(server.url).wrong() == {"replica": "name the primary instead"}


def test_a_clock_that_is_off_is_told(lone: Lone, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    clock = SimpleNamespace(time=lambda: now() + 3600, perf_counter=time.perf_counter)
    monkeypatch.setattr(examination, "time", clock)
    assert set(lone.wrong()) == {"clock"}
    assert re.search(r"3,[56]\d\d s behind ours", lone.look()["clock"].what)


def test_a_server_that_answers_slowly_is_told(lone: Lone, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = lone.store._wire.exchange

    def slow(commands: Any, meanwhile: Any = None) -> Any:
        if commands == [("PING",)]:
            time.sleep(0.12)  # what a slow network does
        return exchange(commands, meanwhile)

    monkeypatch.setattr(lone.store._wire, "exchange", slow)
    assert set(lone.wrong()) == {"answer"}


def test_a_server_that_says_little_is_no_fault(lone: Lone) -> None:
    lone.store._wire.exchange([("ACL", "SETUSER", "default", "-config", "-info")])
    with pytest.raises(Exception, match="refuses us"):
        lone.look()
    lone.store._wire.exchange([("ACL", "SETUSER", "default", "+info")])
    assert lone.wrong() == {}


@pytest.mark.parametrize("key", ["aof_last_write_status", "rdb_last_bgsave_status"])
def test_a_write_that_failed_is_told(key: str) -> None:
    settings = ServerSettings({"redis_version": "8.2.9", "aof_enabled": "1", key: "err"}, "", None)
    (found,) = (finding for finding in risks(settings, LIMIT) if not finding.well)
    assert (found.name, found.level) == ("write-failed", Level.ERROR)
    assert read_info(settings, LIMIT).doubts == [f"{found.what}; {found.advice}"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Redis 6.2.23", None),
        ("Redis 6.2.6", "update to 6.2.23"),
        ("Redis 7.0.15", "move to a newer branch, 8.10.1 say"),
        ("Redis 5.0.14", "move to a newer branch, 8.10.1 say"),
        ("Redis 8.2.10", None),
        ("Redis 8.10.0", "update to 8.10.1"),
        ("Redis 9.0.0", None),
        ("Valkey 8.1.6", "update to 8.1.7"),
        ("Valkey 9.1.2", None),
    ],
)
def test_versions_with_known_holes_are_told(name: str, advice: str | None) -> None:
    (found,) = examination._version(name)
    assert (found.level, found.advice) == ((Level.OK, "") if advice is None else (Level.WARNING, advice))


def test_a_version_that_nobody_knows_is_not_judged() -> None:
    assert list(examination._version("Redis of unknown version")) == []
    assert all(max(branches) in branches and branches[max(branches)] is not None for branches in PATCHED.values())


def test_a_disk_that_is_nearly_full_is_told_of_the_private_server(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlq_cli.store.redis.connect import Wire
    from mlq_cli.store.redis.embedded import EmbeddedEndpoint

    endpoint = EmbeddedEndpoint(data=str(short_folder / "data"))
    try:
        found = {finding.name: finding for finding in examine(Wire(endpoint), LIMIT)}
        assert all(finding.well for finding in found.values()) and "disk" in found
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * 2**20))
        (disk,) = (finding for finding in examine(Wire(endpoint), LIMIT) if not finding.well)
        assert (disk.name, disk.level) == ("disk", Level.WARNING)
    finally:
        endpoint.stop()
