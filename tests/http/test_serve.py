"""`mlq serve` as a process: where it listens, who may, how it stops, and several of them."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import mlq_cli
from mlq_cli import MLQ
from mlq_cli.model.access import Role, digest, new_key
from tests_support import alive, wait_until

SOURCE = Path(mlq_cli.__file__).parents[1]  # what is tested: perhaps a copy without one of its guards


class Serving:
    """A running `mlq serve`."""

    def __init__(self, words: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlq_cli", "serve", *words], env=environment, stderr=stderr, cwd=log.parent
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def up(self) -> str:
        """Wait until it listens; returns where."""

        def listening() -> str:
            assert self.process.poll() is None, self.log
            found = re.search(r"listening on (\S+):", self.log)
            return found[1] if found else ""

        return wait_until(listening, seconds=30)

    def client(self, **more: Any) -> httpx.Client:
        where = self.up()
        if where.startswith("unix:"):
            transport = httpx.HTTPTransport(uds=where.removeprefix("unix:"))
            return httpx.Client(base_url="http://localhost", transport=transport, timeout=20, **more)
        return httpx.Client(base_url=where.replace("0.0.0.0", "127.0.0.1"), timeout=20, **more)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


Serve = Callable[..., Serving]


@pytest.fixture
def serve(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts `mlq serve` on a free port, in the test's namespace."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLQ_")}
    environment |= {"PYTHONPATH": str(SOURCE), "MLQ_REDIS_URL": redis_url, "MLQ_NAMESPACE": namespace}
    environment["HOME"] = str(tmp_path)
    started: list[Serving] = []

    def start(*words: str, env: dict[str, str] | None = None) -> Serving:
        given = words if "--port" in words or "--socket" in words else ("--port", "0", *words)
        started.append(Serving(given, environment | (env or {}), tmp_path / f"serve{len(started)}.log"))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


def _key(mlq: MLQ, role: Role) -> dict[str, str]:
    key = new_key(role)
    mlq.store.access().add(key.id, role, digest(key.secret))
    return {"Authorization": f"Bearer {key}"}


# --- where and who -------------------------------------------------------------------------------------------------
def test_on_this_machine_everybody_may_and_it_says_so(serve: Serve, mlq: MLQ) -> None:
    server = serve()
    with server.client() as client:
        posted = client.post("/jobs", json={"msg": {"i": 7}})
        assert posted.status_code == 202 and mlq.get_job(posted.text)["msg"] == {"i": 7}
        assert client.get("/healthz").text == "ok"
        assert "server" not in posted.headers
    assert "whoever is on this machine may do everything" in server.log
    assert server.stop() == 0 and "Traceback" not in server.log


def test_elsewhere_it_serves_nobody_while_there_is_no_token(serve: Serve, mlq: MLQ) -> None:
    refused = serve("--host", "0.0.0.0")
    assert refused.process.wait(20) == 7
    assert "there is none" in refused.log and "mlq token add" in refused.log
    assert serve("--require-token").process.wait(20) == 7
    key = _key(mlq, Role.READ)
    server = serve("--host", "0.0.0.0")
    with server.client() as client:
        assert client.get("/jobs/count").status_code == 401
        assert client.get("/jobs/count", headers=key).text == "0"
        assert client.post("/jobs", json={"msg": 1}, headers=key).status_code == 403
        assert client.get("/healthz").text == "ok"
    assert "plain HTTP" in server.log


def test_a_token_that_is_removed_stops_working_within_two_seconds(serve: Serve, mlq: MLQ) -> None:
    key = _key(mlq, Role.POST)
    with serve("--require-token").client(headers=key) as client:
        assert client.post("/jobs", json={"msg": 1}).status_code == 202
        (token,) = mlq.store.access().all()[0]
        mlq.store.access().remove([token.id])
        wait_until(lambda: client.get("/jobs/count").status_code == 401, seconds=2.5)


def test_a_port_that_is_taken_is_an_error_that_says_so(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = serve("--port", str(port))
        assert refused.process.wait(20) == 7
        assert f"error: port {port} of 127.0.0.1 is taken" in refused.log
    assert serve("--host", "203.0.113.7").process.wait(20) == 2
    assert serve("--host", "no.such.host.invalid").process.wait(20) == 2


def test_a_unix_socket_is_for_this_user_and_a_stale_one_is_replaced(serve: Serve, short_folder: Path) -> None:
    path = short_folder / "http.sock"
    first = serve("--socket", str(path))
    with first.client() as client:
        assert client.get("/healthz").text == "ok"
        assert client.post("/jobs", json={"msg": 1}).status_code == 202
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = serve("--socket", str(path))
    assert second.process.wait(20) == 7 and "listens on" in second.log
    first.process.kill()
    first.process.wait()
    assert path.exists(), "nobody cleaned up"
    third = serve("--socket", str(path))
    with third.client() as client:
        wait_until(lambda: client.get("/healthz").text == "ok")
    assert third.stop() == 0 and not path.exists()
    path.write_text("something of the user's")
    assert serve("--socket", str(path)).process.wait(20) == 7
    assert path.read_text() == "something of the user's"


# --- the log -------------------------------------------------------------------------------------------------------
def test_the_access_log_has_a_line_for_each_request_that_a_program_can_read(serve: Serve, mlq: MLQ) -> None:
    key = _key(mlq, Role.READ)
    server = serve("--log-format", "json")
    with server.client() as client:
        client.get("/jobs/count?token=mlq_secret", headers=key | {"X-Request-Id": "mine"})
        client.get("/a%1b%5b2J%0a")
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    counted, odd = [line for line in lines if "path" in line]
    assert counted["method"] == "GET" and counted["path"] == "/jobs/count" and counted["status"] == 200
    assert counted["request_id"] == "mine" and counted["token"] in key["Authorization"]
    assert counted["peer"] == "127.0.0.1" and counted["ms"] > 0 and counted["bytes"] == 1
    assert odd["path"] == "/a%1b%5b2J%0a" and odd["status"] == 404
    assert "secret" not in server.log and "\x1b" not in server.log


# --- stopping ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_fifty_streams_and_answers_those_who_wait(serve: Serve, mlq: MLQ, number: int) -> None:
    server = serve()
    job_id = mlq.post("nobody runs it")
    ended: list[str] = []
    begun = threading.Semaphore(0)

    def follow() -> None:
        with server.client() as client, client.stream("GET", f"/jobs/{job_id}/events") as answer:
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    begun.release()
            ended.append("stream")

    def wait() -> None:
        with server.client() as client:
            begun.release()
            answer = client.post("/jobs", json={"msg": 1}, headers={"Prefer": "wait=60"})
            ended.append(f"wait {answer.status_code}")

    threads = [threading.Thread(target=follow) for _ in range(50)] + [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert begun.acquire(timeout=30)
    wait_until(lambda: mlq.job_count() == 6)
    began = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - began < 6
    for thread in threads:
        thread.join(10)
    assert sorted(ended) == ["stream"] * 50 + ["wait 202"] * 5
    assert "Traceback" not in server.log and "cut off" not in server.log


def test_a_stop_waits_for_an_answer_that_is_being_read_and_a_second_signal_does_not(serve: Serve, mlq: MLQ) -> None:
    server = serve()
    with server.client() as client, socket.create_connection((client.base_url.host, client.base_url.port or 0)) as half:
        half.sendall(b"POST /jobs HTTP/1.1\r\nHost: %s\r\n" % client.base_url.netloc)
        half.sendall(b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
        assert client.get("/healthz").text == "ok"
        server.process.terminate()
        wait_until(lambda: _refuses(client.base_url.netloc.decode()))
        assert server.process.poll() is None, "somebody is still sending"
        server.process.terminate()
        assert server.process.wait(5) == 0
    assert "Traceback" not in server.log


def _refuses(where: str) -> bool:
    host, _, port = where.partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except ConnectionRefusedError:
        return True
    return False


# --- several processes ---------------------------------------------------------------------------------------------
def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_processes_share_the_address_and_one_that_dies_is_replaced(serve: Serve) -> None:
    server = serve("--processes", "2")
    with server.client() as client:
        before = wait_until(lambda: len(found := _children(server.process.pid)) == 2 and found)
        wait_until(lambda: client.get("/healthz").text == "ok")
        os.kill(before[0], signal.SIGKILL)
        after = wait_until(
            lambda: len(found := _children(server.process.pid)) == 2 and before[0] not in found and found, seconds=20
        )
        wait_until(lambda: "another takes its place" in server.log)
        wait_until(lambda: client.get("/healthz").text == "ok")
    assert server.stop() == 0
    assert not any(alive(pid) for pid in {*before, *after}) and "Traceback" not in server.log


def test_processes_end_when_the_one_that_started_them_is_gone(serve: Serve) -> None:
    server = serve("--workers", "2")
    server.up()
    children = wait_until(lambda: len(found := _children(server.process.pid)) == 2 and found)
    with server.client() as client:
        wait_until(lambda: client.get("/healthz").text == "ok")
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in children), seconds=20)


def test_a_server_that_was_killed_leaves_its_port_to_the_next(serve: Serve) -> None:
    first = serve()
    with first.client() as client:
        assert client.get("/healthz").text == "ok"
        port = str(client.base_url.port)
    first.process.kill()
    first.process.wait()
    with serve("--port", port).client() as client:
        wait_until(lambda: client.get("/healthz").text == "ok")


def test_it_serves_and_stops_well_without_standard_files(mlq: MLQ, redis_url: str, short_folder: Path) -> None:
    path = short_folder / "http"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLQ_")}
    environment |= {"PYTHONPATH": str(SOURCE), "MLQ_REDIS_URL": redis_url, "MLQ_NAMESPACE": mlq.namespace}
    words = [sys.executable, "-m", "mlq_cli", "serve", "--socket", str(path)]
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words], env=environment)
    try:
        wait_until(path.exists, seconds=30)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
            assert client.post("/jobs", json={"msg": 1}, timeout=20).status_code == 202
        there = Path(f"/proc/{process.pid}/fd")
        assert {str((there / str(number)).readlink()) for number in range(3)} == {os.devnull}
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


# --- functions that nobody has signed ------------------------------------------------------------------------------
UNSIGNED = "--insecure-unsigned-functions"
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes.").decode()


def test_unsigned_functions_are_taken_by_nobody_but_this_machine(serve: Serve, mlq: MLQ, tmp_path: Path) -> None:
    _key(mlq, Role.ADMIN)
    named = tmp_path / "named.yaml"
    named.write_text("server: {hosts: [mlq.example.org]}\n")
    for words, env, why in (
        (("--host", "0.0.0.0"), {}, "only for an address of this machine"),
        (("--profile", str(named)), {}, "other names"),
        ((), {"MLQ_REDIS_URL": "redis://192.0.2.1:6379"}, "only for a Redis on this machine"),
        ((), {"MLQ_REDIS_URL": "redis+sentinel://127.0.0.1:26379/main"}, "only for a Redis on this machine"),
    ):
        refused = serve(UNSIGNED, *words, env=env)
        assert refused.process.wait(20) == 7 and why in refused.log, (words, refused.log)


def test_unsigned_functions_are_warned_of_at_each_start_however_quiet(serve: Serve, mlq: MLQ, tmp_path: Path) -> None:
    body = {"py/b64": base64.b64encode(b"a pickle, or not").decode()}
    secret = {"MLQ_SECRET": SECRET}
    server = serve("--quiet", UNSIGNED, "--socket", str(tmp_path / "s"), env=secret)
    wait_until(lambda: (tmp_path / "s").exists() and "INSECURE" in server.log, seconds=20)
    transport = httpx.HTTPTransport(uds=str(tmp_path / "s"))
    with httpx.Client(base_url="http://localhost", transport=transport, timeout=20) as client:
        assert wait_until(lambda: client.post("/consumer?name=f", json=body).status_code == 201, seconds=20)
    assert server.log.count("INSECURE") == 2 and "code on every worker" in server.log
    assert [each.name for each in mlq.functions()] == ["f"]
    shut = serve(env=secret)
    with shut.client() as client:
        assert client.post("/consumer", json=body).json()["code"] == "envelope-refused"
    assert "INSECURE" not in shut.log
