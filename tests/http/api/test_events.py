"""Server-sent events: sent as things happen, resumed where they broke off, and hundreds at once."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests_http import RULES, Served, claim, events, finish

from mlq_cli import MLQ
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.values import pack
from mlq_cli.store.base import Part, Progress
from tests_support import Server, wait_until


def succeed(mlq: MLQ, job_id: str, token: str, value: Any) -> None:
    outcome = Outcome(job_id, token, Kind.DONE, 0.1, b"", pack(value))
    assert mlq.store.ask(mlq.store.finish([outcome], rules=RULES)) == {}


_serials = itertools.count(1)


def emit(mlq: MLQ, job_id: str, token: str, value: Any) -> None:
    assert mlq.store.ask(mlq.store.emit([Part(job_id, token, next(_serials), pack(value))])) == 0


def test_a_job_is_told_of_from_the_queue_to_its_end(client: httpx.Client, mlq: MLQ) -> None:
    job_id = mlq.post("x")
    with client.stream("GET", f"/jobs/{job_id}/events") as answer:
        assert answer.headers["cache-control"] == "no-cache" and answer.headers["x-accel-buffering"] == "no"
        told = events(answer)
        first = next(told)
        assert (first.kind, first.value["state"], first.value["position"]) == ("state", "queued", 0)
        token = claim(mlq, job_id)
        began = time.monotonic()
        emit(mlq, job_id, token, {"n": 1, "text": "a\nb \u2028 \r"})
        while (event := next(told)).kind != "part":
            assert event.kind in ("state", "position"), "a worker is heard of, so how long it waits may be known by now"
        assert event.value == {"n": 1, "text": "a\nb \u2028 \r"} and event.id
        assert time.monotonic() - began < 3
        mlq.store.ask(mlq.store.progress([Progress(job_id, token, pack(50))]))
        event = next(told)
        assert (event.kind, event.value) == ("progress", 50)
        succeed(mlq, job_id, token, 7)
        rest = list(told)
    assert [(event.kind, event.value["state"]) for event in rest] == [("state", "succeeded")]


def test_a_long_stream_is_read_page_by_page(client: httpx.Client, mlq: MLQ, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = mlq.post("x")
    token = claim(mlq, job_id)
    for first in range(0, 1000, 100):
        parts = [Part(job_id, token, next(_serials), pack(number)) for number in range(first, first + 100)]
        assert mlq.store.ask(mlq.store.emit(parts)) == 0
    asked: list[int] = []
    entries = mlq.store.entries

    def noting(job_id: str, after: str | None, most: int) -> Any:
        found = entries(job_id, after, most)
        asked.append(len(found))
        return found

    monkeypatch.setattr(mlq.store, "entries", noting)
    assert client.head(f"/jobs/{job_id}/events").status_code == 200  # which ends where a stream would begin
    assert len(asked) == 1 and asked[0] < 1000
    succeed(mlq, job_id, token, 7)
    with client.stream("GET", f"/jobs/{job_id}/events") as answer:
        assert [event.value for event in events(answer) if event.kind == "part"] == list(range(1000))


def test_a_client_that_comes_back_gets_what_it_has_not_and_then_is_told_to_stay_away(
    client: httpx.Client, mlq: MLQ
) -> None:
    job_id = mlq.post("x")
    token = claim(mlq, job_id)
    for number in range(5):
        emit(mlq, job_id, token, number)
    with client.stream("GET", f"/jobs/{job_id}/events") as answer:
        parts = [event for event, _ in zip((e for e in events(answer) if e.kind == "part"), range(3), strict=False)]
    succeed(mlq, job_id, token, 7)
    with client.stream("GET", f"/jobs/{job_id}/events", headers={"last-event-id": parts[-1].id}) as answer:
        rest = list(events(answer))
    assert [event.value for event in parts + [e for e in rest if e.kind == "part"]] == [0, 1, 2, 3, 4]
    assert rest[-1].value["state"] == "succeeded"
    last = [event.id for event in rest if event.id][-1]
    assert client.get(f"/jobs/{job_id}/events", headers={"last-event-id": last}).status_code == 204


def test_what_is_no_job_or_no_event_is_no_stream(client: httpx.Client) -> None:
    assert client.get("/jobs/999/events").status_code == 404
    assert client.get("/jobs/999/events", headers={"last-event-id": "x"}).status_code == 422


def test_a_quiet_stream_is_kept_alive(client: httpx.Client, mlq: MLQ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlq_cli.http.routes.events.KEEPALIVE_SECONDS", 0.2)
    with client.stream("GET", f"/jobs/{mlq.post('x')}/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 3000"
        assert sum(line == ": keepalive" for line, _ in zip(lines, range(12), strict=False)) >= 3


def test_streams_end_when_the_server_stops(server: Served, client: httpx.Client, mlq: MLQ) -> None:
    with (
        client.stream("GET", f"/jobs/{mlq.post('x')}/events") as answer,
        client.stream("GET", "/events") as board,
    ):
        streams = [events(answer), events(board)]
        for told in streams:
            next(told)
        server.tell_to_stop()
        began = time.monotonic()
        for told in streams:
            list(told)
        assert time.monotonic() - began < 5


def test_a_word_that_was_missed_is_found_by_looking(
    client: httpx.Client, mlq: MLQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlq_cli.http.hub.Hub._pass_on", lambda *_: None)  # no news ever come through
    job_id = mlq.post("x")
    with client.stream("GET", f"/jobs/{job_id}/events") as answer:
        told = events(answer)
        next(told)
        finish(mlq, job_id)
        began = time.monotonic()
        assert [event.value["state"] for event in told][-1] == "succeeded"
        assert time.monotonic() - began < 6


@pytest.mark.minutes
def test_redis_that_is_away_for_long_ends_streams_and_waits(
    short_folder: Path, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlq_cli.http.routes.events.OUTAGE_SECONDS", 2.0)
    monkeypatch.setattr("mlq_cli.http.hub.OUTAGE_SECONDS", 2.0)
    with Server(short_folder) as redis, MLQ.from_profile(redis_url=redis.url, namespace="t") as mlq:
        url, waited = serve(mlq).url, []

        def wait() -> None:
            waited.append(httpx.post(f"{url}/jobs", json={"msg": 1}, headers={"prefer": "wait=50"}, timeout=40))

        job_id = mlq.post("x")
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: mlq.job_count() == 2)
        with httpx.stream("GET", f"{url}/jobs/{job_id}/events", timeout=40) as answer:
            told = events(answer)
            next(told)
            redis.kill()
            assert list(told) == []
        thread.join()
    assert (waited[0].status_code, waited[0].json()["job_id"], waited[0].headers["location"]) == (503, "2", "/jobs/2")


def test_a_short_outage_is_bridged(short_folder: Path, serve: Callable[..., Served]) -> None:
    with (
        Server(short_folder, "--appendonly", "yes", "--appendfsync", "always") as redis,
        MLQ.from_profile(redis_url=redis.url, namespace="t") as mlq,
    ):
        job_id = mlq.post("x")
        with httpx.stream("GET", f"{serve(mlq).url}/jobs/{job_id}/events", timeout=40) as answer:
            told = events(answer)
            next(told)
            redis.kill()
            redis.start()
            finish(mlq, job_id, 1)
            assert [event.value["state"] for event in told if event.kind == "state"][-1] == "succeeded"


def test_the_dashboard_hears_of_queues_and_of_jobs(client: httpx.Client, mlq: MLQ) -> None:
    ids = mlq.post_many(range(3))
    with client.stream("GET", "/events") as answer:
        told = events(answer)
        overview = next(told)
        assert (overview.kind, overview.value["queues"][0]["states"]["queued"]) == ("overview", 3)
        assert overview.value["workers"] == [] and overview.value["namespace"] == mlq.namespace
        for job_id in ids:
            finish(mlq, job_id)
        heard: dict[str, str] = {}
        while len(heard) < 3:
            event = next(told)
            if event.kind == "jobs":
                heard |= {one["id"]: one["word"] for one in event.value}
    assert set(heard.values()) == {"succeeded"}


def test_a_client_that_does_not_read_is_cut_off_and_not_buffered_for(
    server: Served, mlq: MLQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlq_cli.http.sse.SLOW_SECONDS", 0.5)
    job_id = mlq.post("x")
    token = claim(mlq, job_id)
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(f"GET /jobs/{job_id}/events HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        hub = server.app.state.served.hub
        wait_until(lambda: hub._number == 1)
        for _ in range(100):
            emit(mlq, job_id, token, "x" * 100_000)
        wait_until(lambda: hub._number == 0, seconds=20)
    assert httpx.get(f"{server.url}/healthz").text == "ok"


async def _many(server: Served, mlq: MLQ, waits: int, streams: int) -> tuple[list[str], list[str]]:
    """Let so many wait and follow at once, finish all their jobs, and return what each has heard last."""
    await asyncio.to_thread(mlq.post, "followed", id="followed")
    limits = httpx.Limits(max_connections=waits + streams)
    async with httpx.AsyncClient(base_url=server.url, timeout=90, limits=limits) as client:

        async def wait(number: int) -> str:
            answer = await client.post("/jobs", json={"msg": number, "queue": "w"}, headers={"prefer": "wait=60"})
            return f"{answer.status_code} {answer.text}"

        async def follow() -> str:
            last = ""
            async with client.stream("GET", "/jobs/followed/events") as answer:
                async for line in answer.aiter_lines():
                    last = line if line.startswith("data:") else last
            return last

        tasks = [asyncio.create_task(wait(number)) for number in range(waits)]
        follows = [asyncio.create_task(follow()) for _ in range(streams)]
        hub = server.app.state.served.hub
        await asyncio.to_thread(wait_until, lambda: hub._number == waits + streams, seconds=60)

        def work() -> None:
            left = waits
            while left:
                claims = mlq.store.ask(mlq.store.claim(["w"], 100, worker="w", lane="w", token=str(left), rules=RULES))
                outcomes = [Outcome(job.id, str(left), Kind.DONE, 0.1, b"", pack(job.id)) for job in claims.jobs]
                mlq.store.ask(mlq.store.finish(outcomes, rules=RULES))
                left -= len(outcomes)
            finish(mlq, "followed", 1)

        await asyncio.to_thread(work)
        return await asyncio.gather(*tasks), await asyncio.gather(*follows)


def _crowd(server: Served, mlq: MLQ, waits: int, streams: int) -> None:
    waited, followed = asyncio.run(_many(server, mlq, waits, streams))
    ids = [answer.partition(" ")[2] for answer in waited]
    assert {answer.partition(" ")[0] for answer in waited} == {"200"} and len(set(ids)) == waits
    assert all('"succeeded"' in last for last in followed) and len(followed) == streams
    hub = server.app.state.served.hub
    wait_until(lambda: hub._number == 0 and not hub._followers)


def test_a_hundred_clients_at_once_are_all_answered(server: Served, mlq: MLQ) -> None:
    _crowd(server, mlq, 70, 30)


@pytest.mark.minutes
def test_five_hundred_clients_at_once_are_all_answered_and_memory_stays_flat(server: Served, mlq: MLQ) -> None:
    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    sizes = []
    for _ in range(5):
        _crowd(server, mlq, 400, 100)
        mlq.purge("default", ["succeeded"])  # type: ignore[list-item]
        sizes.append(resident())
    assert sizes[-1] < sizes[1] + (16 << 20), sizes
