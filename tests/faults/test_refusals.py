"""Redis answers, and the answer is no: each such word is handled as what it is, by commands and by workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.crew import Crew
from harness.endings import assert_each_ended_once, wait_all_ended
from harness.fake_redis import FakeRedis
from harness.proxy import FaultProxy
from harness.server import ALWAYS, FaultServer
from mlq_cli import MLQ, State
from mlq_cli.model.errors import MlqError, NotAllowed, StoreFull, StoreUnavailable
from tests_support import wait_until


@pytest.fixture
def server(short_folder: Path) -> Iterator[FaultServer]:
    """A server of one's own, to change its settings."""
    with FaultServer(short_folder) as made:
        yield made


@pytest.fixture
def own(server: FaultServer, namespace: str) -> Iterator[MLQ]:
    with MLQ.from_profile(redis_url=server.url, namespace=namespace) as opened:
        yield opened


def run_mlq(url: str, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `mlq` as a process of its own."""
    environment = {**os.environ, "MLQ_REDIS_URL": url, "HOME": str(home), "COLUMNS": "200"}
    command = [sys.executable, "-m", "mlq_cli", *words]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=60)


# How to make a server say a word, and how to make it stop.
REFUSALS: dict[str, tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], type[MlqError], str]] = {
    "NOREPLICAS": (
        [("CONFIG", "SET", "min-replicas-to-write", "1")],
        [("CONFIG", "SET", "min-replicas-to-write", "0")],
        StoreUnavailable,
        "min-replicas-to-write",
    ),
    "READONLY": ([("REPLICAOF", "127.0.0.1", "1")], [("REPLICAOF", "NO", "ONE")], StoreUnavailable, "name the primary"),
    "MASTERDOWN": (
        [("CONFIG", "SET", "replica-serve-stale-data", "no"), ("REPLICAOF", "127.0.0.1", "1")],
        [("REPLICAOF", "NO", "ONE")],
        StoreUnavailable,
        "try again shortly",
    ),
    "OOM": ([("CONFIG", "SET", "maxmemory", "1")], [("CONFIG", "SET", "maxmemory", "0")], StoreFull, "maxmemory"),
}


@pytest.mark.minutes
@pytest.mark.parametrize("word", REFUSALS)
def test_a_command_says_what_a_refusal_means_and_a_worker_waits_until_it_is_over(
    server: FaultServer, own: MLQ, namespace: str, tmp_path: Path, word: str
) -> None:
    begin, end, kind, hint = REFUSALS[word]
    with Crew(server.url, namespace, tmp_path) as crew:
        worker = crew.worker(lease=10.0)
        message = {"file": str(tmp_path / "runs")}
        ids = [own.post({**message, "seconds": 1.5})]
        wait_until(lambda: own.states(ids) == [State.RUNNING], seconds=20)
        own.pause()
        ids.append(own.post(message))
        for command in begin:
            server.command(*command)
        with pytest.raises(kind) as refused:
            own.post(message)
        assert hint in (refused.value.hint or "")
        assert ("no memory left" if word == "OOM" else "cannot serve us now") in str(refused.value)
        if word != "OOM":  # a full Redis lets workers finish what they run
            wait_until(lambda: worker.lines(f"ERROR Redis at {server.url}"), seconds=15)
        for command in end:
            server.command(*command)
        own.resume()
        ids.append(own.post(message))
        wait_all_ended(own, ids, seconds=20)
        stats = assert_each_ended_once(own, ids)
        assert "lost" not in stats and worker.alive()
        assert len(worker.lines("ERROR")) <= 2, "said once, not at every try"


@pytest.mark.minutes
def test_a_worker_outlives_a_script_that_keeps_redis_busy(
    server: FaultServer, own: MLQ, namespace: str, tmp_path: Path
) -> None:
    """Until `lua-time-limit` Redis is silent, after it says BUSY to everybody."""
    with Crew(server.url, namespace, tmp_path) as crew:
        worker = crew.worker(lease=10.0)
        wait_until(own.workers, seconds=20)
        server.command("CONFIG", "SET", "lua-time-limit", "200")
        busy = threading.Thread(target=keep_busy, args=(server, 2.5))
        busy.start()

        def refused() -> bool:
            try:
                own.counts()
            except StoreUnavailable as error:
                return "BUSY" in str(error)
            return False

        wait_until(refused)
        busy.join()
        ids = [own.post({"file": str(tmp_path / "runs")})]
        wait_all_ended(own, ids, seconds=20)
        assert "lost" not in assert_each_ended_once(own, ids) and worker.alive()


@pytest.mark.minutes
def test_a_server_that_is_silent_for_three_seconds_costs_no_lease(
    server: FaultServer, own: MLQ, namespace: str, tmp_path: Path
) -> None:
    with Crew(server.url, namespace, tmp_path) as crew:
        worker = crew.worker(lease=15.0, executors=2)
        message = {"file": str(tmp_path / "runs"), "seconds": 0.5}
        ids = list(own.post_many([message] * 20))
        wait_until(lambda: own.states(ids[:1]) == [State.SUCCEEDED], seconds=20)
        server.command("CONFIG", "SET", "lua-time-limit", "60000")
        keep_busy(server, 3.0)
        wait_all_ended(own, ids, seconds=40)
        stats = assert_each_ended_once(own, ids)
        assert "lost" not in stats and "refused" not in stats and worker.alive()
        assert len((tmp_path / "runs").read_text().splitlines()) == 40


def keep_busy(server: FaultServer, seconds: float) -> None:
    """Run a script that does nothing for so long. Redis' own TIME stands still inside of a script."""
    server.command("EVAL", "local e = os.clock() + ARGV[1] repeat until os.clock() > e return 1", 0, seconds)


@pytest.mark.minutes
def test_a_cluster_without_its_slots_is_named(short_folder: Path, tmp_path: Path) -> None:
    with FaultServer(short_folder, "--cluster-enabled", "yes", "--port", str(free_port())) as server:
        done = run_mlq(server.url, "post", "x", home=tmp_path)
        assert done.returncode == 69 and "Hash slot not served" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("answer", "kind", "word"),
    [
        ("-TRYAGAIN Multiple keys request during rehashing of slot", StoreUnavailable, "during rehashing"),
        ("-CLUSTERDOWN The cluster is down", StoreUnavailable, "cluster is down"),
        pytest.param(
            "-LOADING Redis is loading the dataset in memory", StoreUnavailable, "loading", marks=pytest.mark.minutes
        ),  # after 4 s of trying
        ("-MASTERDOWN Link with MASTER is down", StoreUnavailable, "Link with"),
        ("-READONLY You can't write here: read only.", StoreUnavailable, "read only"),
        ("-MISCONF Errors writing to the AOF file: No space left on device", StoreUnavailable, "MISCONF"),
        ("-NOREPLICAS Not enough good replicas to write.", StoreUnavailable, "NOREPLICAS"),
        ("-BUSY Redis is busy running a script.", StoreUnavailable, "BUSY"),
        ("-OOM command not allowed when used memory > 'maxmemory'.", StoreFull, "no memory left"),
        ("-NOAUTH Authentication required.", NotAllowed, "refuses us"),
        ("-NOPERM User x has no permissions to run the 'evalsha' command", NotAllowed, "refuses us"),
        # As Redis 6.2 says it when a command inside of a script was refused.
        ("-ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed when used "
         "memory > 'maxmemory'.", StoreFull, "no memory left"),
        ("-ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against "
         "a read only replica.", StoreUnavailable, "READONLY"),
        ("-ERR something new", MlqError, "something new"),
    ],
)  # fmt: skip
def test_each_word_of_redis_becomes_the_error_that_it_stands_for(answer: str, kind: type[MlqError], word: str) -> None:
    with FakeRedis(f"{answer}\r\n".encode()) as fake, MLQ.from_profile(redis_url=fake.url) as mlq:
        with pytest.raises(kind, match=word) as refused:
            mlq.post("x")
        assert type(refused.value) is kind and refused.value.hint
        assert fake.asked <= (2 if "LOADING" not in answer else 200), "no storm of tries"


@pytest.mark.minutes
def test_a_server_that_reads_its_data_is_waited_for(short_folder: Path, namespace: str) -> None:
    """LOADING lasts some 2 s here: a command waits for up to 4."""
    slow = ("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")
    server = FaultServer(short_folder, *ALWAYS, *slow)
    with server, MLQ.from_profile(redis_url=server.url, namespace=namespace) as own:
        own.post_many(range(3000))
        server.kill()
        starting = threading.Thread(target=server.start)
        starting.start()
        words = set()

        def answered() -> bool:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(server.url.removeprefix("unix://"))
                client.sendall(b"*3\r\n$3\r\nSET\r\n$17\r\nmlq:{loading}:id1\r\n$1\r\n1\r\n")
                words.add(client.recv(100).split()[0])
            return True

        wait_until(answered)
        assert words == {b"-LOADING"}, "the test saw it"
        assert own.post("late") == "3001"
        starting.join()


@pytest.mark.minutes
def test_a_full_redis_refuses_posts_and_lets_workers_drain_it(
    server: FaultServer, own: MLQ, namespace: str, tmp_path: Path
) -> None:
    def used() -> int:
        return int(server.command("INFO", "memory").split(b"used_memory:")[1].split()[0])

    server.command("CONFIG", "SET", "maxmemory", used() + (3 << 20))
    message = {"file": str(tmp_path / "runs"), "padding": b"p" * 10_000, "result": "r" * 100}
    ids = [own.post({**message, "fail": True})]
    with pytest.raises(StoreFull):
        while len(ids) < 1000:
            ids += own.post_many([message] * 5)
    assert 50 < len(ids) < 1000
    server.command("CONFIG", "SET", "maxmemory", used() - (1 << 18))  # no buffer that is freed makes room again
    full = run_mlq(server.url, "post", "--namespace", namespace, "x" * 1000, home=tmp_path)
    assert full.returncode == 75 and full.stdout == ""
    assert full.stderr.splitlines()[0].endswith("has no memory left; nothing was stored")
    assert own.job_count() == len(ids), "no half of a post is in"
    own.cancel(ids[1])
    with Crew(server.url, namespace, tmp_path) as crew:
        worker = crew.worker(lease=5.0, executors=2)
        crew.reaper(lease=5.0)
        wait_all_ended(own, ids, seconds=40)
        (counts,) = [counts for counts in own.counts() if counts.queue == "default"]
        ended = {state: number for state, number in counts.states.items() if number}
        assert ended == {State.SUCCEEDED: len(ids) - 2, State.CANCELED: 1, State.DEAD: 1}
        assert "lost" not in counts.stats and worker.alive()
    assert own.purge(states=[State.SUCCEEDED, State.CANCELED, State.DEAD]) == len(ids)
    assert own.post(message), "there is room again"


@pytest.mark.parametrize("policy", ["allkeys-lru", pytest.param("volatile-lru", marks=pytest.mark.minutes)])
def test_a_policy_that_evicts_is_warned_of(server: FaultServer, namespace: str, tmp_path: Path, policy: str) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", policy)
    with Crew(server.url, namespace, tmp_path) as crew:
        worker = crew.worker()
        (line,) = wait_until(lambda: worker.lines("maxmemory-policy"), seconds=20)
        assert f"WARNING maxmemory-policy is {policy}" in line and "CONFIG SET maxmemory-policy noeviction" in line


def test_a_disk_that_is_full_is_named_and_nothing_that_was_acknowledged_is_lost(
    short_folder: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands in for the disk; the server ignores the signal for it, as for ENOSPC."""
    import resource

    from mlq_cli.store.redis.server_binary import find_binary

    binary = os.environ.get("MLQ_TEST_SERVER") or str(find_binary(None))
    deaf = short_folder / "server"
    deaf.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {binary} \"$@\"\n")
    deaf.chmod(0o700)
    monkeypatch.setenv("MLQ_TEST_SERVER", str(deaf))
    everysec = ("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
    with FaultServer(short_folder, *everysec) as server:
        own = MLQ.from_profile(redis_url=server.url, namespace=namespace)
        ids = list(own.post_many(["x" * 100] * 10))
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))

        def refused() -> str:
            try:
                ids.append(own.post("y" * 5000))
                return ""
            except StoreUnavailable as error:
                return f"{error} {error.hint}"

        said = wait_until(refused)
        assert "MISCONF" in said and "free space there" in said
        done = run_mlq(server.url, "post", "x", "--namespace", namespace, home=tmp_path)
        assert done.returncode == 69 and "cannot write to its disk" in done.stderr
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ids.append(wait_until(lambda: own.post("after"), seconds=15))
        wait_until(lambda: b"aof_buffer_length:0" in server.command("INFO", "persistence"))  # written once a second
        server.restart()
        assert set(own.states(ids)) == {State.QUEUED}
        own.close()


@pytest.mark.minutes
def test_a_wrong_password_and_a_missing_permission_are_told_without_a_secret(
    short_folder: Path, namespace: str, tmp_path: Path
) -> None:
    with FaultServer(short_folder) as server, FaultProxy(server.url) as proxy:
        server.command("ACL", "SETUSER", "limited", "on", ">hunter2", "~*", "&*", "+@all", "-evalsha", "-eval")
        server.command("ACL", "SETUSER", "default", ">correct", "on")
        place = proxy.url.removeprefix("redis://")
        for user, word in [
            (":wr0ng-s3cret", "WRONGPASS|invalid"),
            ("limited:hunter2", "permission"),
            ("", "uthentica"),
        ]:
            url = f"redis://{user}@{place}" if user else f"redis://{place}"
            done = run_mlq(url, "post", "x", home=tmp_path)
            said = done.stdout + done.stderr
            assert done.returncode == 77, said
            assert any(each in said for each in word.split("|")) and "Traceback" not in said
            assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
            assert "s3cret" not in said and "hunter2" not in said
            with Crew(url, namespace, tmp_path / word[:4]) as crew:
                (tmp_path / word[:4]).mkdir()
                worker = crew.worker()
                if user != "limited:hunter2":
                    assert worker.process.wait(20) == 77
                else:
                    wait_until(lambda: worker.lines("refuses us"), seconds=20)  # noqa: B023
                assert "s3cret" not in worker.log() and "hunter2" not in worker.log()


@pytest.mark.minutes
def test_a_replica_is_named_as_one(server: FaultServer, tmp_path: Path) -> None:
    server.command("REPLICAOF", "127.0.0.1", "1")
    done = run_mlq(server.url, "post", "x", home=tmp_path)
    assert done.returncode == 69
    assert done.stderr.count("error: ") == 1 and "hint: this is a replica: name the primary" in done.stderr


def free_port() -> int:
    """A port that has room for that of the cluster's bus 10000 above it."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            if (port := int(found.getsockname()[1])) < 55_000:
                return port
