"""Single jobs, queues and dead letters over HTTP, and what the framework says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from tests_http import Served, claim, fail, finish

from mlq_cli import MLQ
from mlq_cli.http.desk import Desk
from mlq_cli.http.roles import Role
from mlq_cli.model.call import Call
from mlq_cli.model.errors import StoreFull
from mlq_cli.model.job import State
from tests_support import Server


def test_a_record_is_sent_again_only_when_it_has_changed(client: httpx.Client, mlq: MLQ) -> None:
    job_id = mlq.post({"a": b"\x00\xff"})
    first = client.get(f"/jobs/{job_id}")
    same = client.get(f"/jobs/{job_id}", headers={"if-none-match": first.headers["etag"]})
    finish(mlq, job_id, 7)
    changed = client.get(f"/jobs/{job_id}", headers={"if-none-match": first.headers["etag"]})

    assert first.json()["msg"] == {"a": {"$bytes": "AP8="}} and first.json()["position"] == 0
    assert (same.status_code, same.content) == (304, b"")
    assert (changed.status_code, changed.json()["state"], changed.json()["result"]) == (200, "succeeded", 7)


def test_cancel_and_retry(client: httpx.Client, mlq: MLQ) -> None:
    job_id = mlq.post(1)
    canceled = client.delete(f"/jobs/{job_id}")
    again = client.post(f"/jobs/{job_id}/retry")
    refused = client.post(f"/jobs/{job_id}/retry")

    assert (canceled.status_code, canceled.json()["state"]) == (202, "canceled")
    assert (again.status_code, again.json()["state"]) == (202, "queued")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong-state")
    assert client.delete("/jobs/999").status_code == client.post("/jobs/999/retry").status_code == 404


def test_head_and_options(client: httpx.Client, mlq: MLQ) -> None:
    job_id = mlq.post(1)
    head, get = client.head(f"/jobs/{job_id}"), client.get(f"/jobs/{job_id}")

    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", get.headers["etag"])
    assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head(f"/jobs/{job_id}/events").status_code == 200
    assert client.options(f"/jobs/{job_id}").headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert client.options("/jobs").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert client.options("/nothing").status_code == 404


def test_what_the_framework_refuses_is_a_problem_too(client: httpx.Client) -> None:
    answers = [
        client.get("/nothing"),
        client.put("/jobs"),
        client.get("/jobs?limit=0"),
        client.get("/jobs/%20x"),
        client.get("/jobs/" + "x" * 200),
    ]
    assert [answer.status_code for answer in answers] == [404, 405, 422, 422, 422]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code and answer.json()["code"]
    assert answers[1].headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert answers[2].json()["errors"][0]["parameter"] == "limit"


def test_something_unexpected_tells_nothing_of_what_is_inside(
    client: httpx.Client, mlq: MLQ, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fall(*_: Any) -> int:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(mlq, "job_count", fall)
    answer = client.get("/jobs/count")

    assert (answer.status_code, answer.json()["code"]) == (500, "unexpected")
    assert "secret" not in answer.text and "Traceback" not in answer.text


# --- queues and dead letters ----------------------------------------------------------------------------------------
def test_queues_can_be_paused_resumed_released_and_purged(client: httpx.Client, mlq: MLQ) -> None:
    ids = mlq.post_many(range(3), queue="slow")
    assert client.post("/queues/slow/pause").json() == {"jobs": 3}
    assert [queue["paused"] for queue in client.get("/queues").json()["queues"]] == [True]
    assert client.post("/queues/slow/resume").json() == {"jobs": 3}
    claim(mlq, ids[0])
    assert client.post("/queues/slow/release").json() == {"jobs": 3}
    assert client.post("/queues/slow/purge").json() == {"jobs": 3}
    assert client.get("/queues").json()["queues"][0]["states"]["queued"] == 0
    for verb in ("pause", "resume", "release", "purge"):
        assert client.post(f"/queues/other/{verb}").json()["code"] == "no-such-queue"


def test_dead_letters_are_listed_retried_and_purged(client: httpx.Client, mlq: MLQ) -> None:
    for kind in ("ValueError", "KeyError", "KeyError"):
        fail(mlq, mlq.post(1), kind)

    dead = client.get("/dlq").json()
    assert [job["id"] for job in dead["jobs"]] == ["3", "2", "1"] and dead["next"] is None
    assert dead["jobs"][0]["traceback"].startswith("Traceback") and "msg" not in dead["jobs"][0]
    assert [job["id"] for job in client.get("/dlq?error=ValueError").json()["jobs"]] == ["1"]
    assert client.post("/dlq/retry", json={"ids": ["1"]}).json() == {"retried": 1}
    assert client.post("/dlq/retry", json={"ids": ["1"]}).status_code == 409
    assert client.post("/dlq/retry", json={"all": True, "error_type": "KeyError"}).json() == {"retried": 2}
    fail(mlq, "3")
    assert client.post("/dlq/purge", json={"queue": "default"}).json() == {"purged": 1}
    assert client.post("/dlq/retry", json={}).status_code == 422
    assert client.post("/dlq/retry", json={"all": True, "ids": ["1"]}).status_code == 422


def test_workers_functions_schedules_and_stats(
    client: httpx.Client, mlq: MLQ, start_worker: Callable[..., Any]
) -> None:
    mlq.post("x")
    start_worker("jobs:echo", "jobs:pid")
    mlq.wait("1", 20)

    (worker,) = client.get("/workers").json()["workers"]
    assert worker["executors"] == 1 and isinstance(worker["started_at"], float) and isinstance(worker["pid"], int)
    named = client.get("/functions").json()["functions"]
    assert [(one["name"].rpartition(":")[2], one["workers"]) for one in named] == [("echo", 1), ("pid", 1)]
    assert client.get("/schedules").json() == {"schedules": []}
    stats = client.get("/stats").json()
    assert (stats["namespace"], stats["workers"], set(stats["rates"])) == (
        mlq.namespace, 1, {"posted", "succeeded", "dead"},
    )  # fmt: skip
    assert "valkey" in stats["server"]["name"].lower() or "redis" in stats["server"]["name"].lower()


def test_the_server_tells_whether_it_lives_and_whether_it_can_work(
    short_folder: Path, serve: Callable[..., Served]
) -> None:
    with Server(short_folder) as redis, MLQ.from_profile(redis_url=redis.url, namespace="t") as mlq:
        url = serve(mlq).url
        assert (httpx.get(f"{url}/healthz").text, httpx.get(f"{url}/readyz").text) == ("ok", "ok")
        redis.kill()
        assert httpx.get(f"{url}/healthz").text == "ok"
        began = time.monotonic()
        answers = [httpx.get(f"{url}/readyz", timeout=20), httpx.post(f"{url}/jobs", json={"msg": 1}, timeout=20)]
        assert [answer.status_code for answer in answers] == [503, 503] and time.monotonic() - began < 15
        assert all(answer.headers["retry-after"] for answer in answers)
        redis.start()
        assert httpx.post(f"{url}/jobs", json={"msg": 1}, timeout=20).status_code == 202


# --- the desk -------------------------------------------------------------------------------------------------------
def test_an_error_of_one_call_reaches_only_its_requests(mlq: MLQ) -> None:
    from mlq_cli.http.desk import Posting
    from mlq_cli.model.options import PostOptions

    store = mlq.store
    run = store.run

    def full_for_slow(*calls: Any) -> list[Any]:
        answers = run(*calls)
        return [StoreFull() if b"slow" in call.args[0] else answer for call, answer in zip(calls, answers, strict=True)]

    desk = Desk(store)
    store.run = full_for_slow  # type: ignore[method-assign]
    options = PostOptions(), PostOptions(queue="slow")
    answers = desk._post([Posting(b"\x01", options[number % 2], None) for number in range(6)])

    assert [isinstance(answer, StoreFull) for answer in answers] == [False, True] * 3
    assert [answer.job_id for answer in answers[::2]] == ["1", "2", "3"]


def test_posts_that_share_their_options_are_one_call_and_callers_are_few(mlq: MLQ) -> None:
    from mlq_cli.http.desk import CALLS, Posting
    from mlq_cli.model.options import PostOptions

    store, sent = mlq.store, []
    run = store.run

    def counting(*calls: Any) -> list[Any]:
        sent.append(len(calls))
        return run(*calls)

    store.run = counting  # type: ignore[method-assign]
    desk = Desk(store)
    for _ in range(5):
        desk._post([Posting(b"\x01", PostOptions(queue=f"q{number % 2}"), None) for number in range(CALLS)])
    desk._post([Posting(b"\x01", PostOptions(), f"own-{number}") for number in range(CALLS)])

    assert sent == [2, 2, 2, 2, 2, CALLS]
    (kept,) = store._read([("KEYS", f"mlq:{{{mlq.namespace}}}:once:*")])  # type: ignore[attr-defined]
    assert len(kept) == CALLS
    assert len(mlq.store.ids(None, [State.QUEUED], None)) == 6 * CALLS


def test_too_many_at_once_are_told_to_come_again(
    client: httpx.Client, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlq_cli.http.desk.MOST", 0)
    answers = [client.post("/jobs", json={"msg": 1}), client.get("/jobs/1"), client.get("/queues")]

    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert {answer.json()["code"] for answer in answers} == {"busy"} and answers[0].headers["retry-after"] == "1"


# --- who may do what ------------------------------------------------------------------------------------------------
OPEN = {"/healthz", "/readyz", "/docs", "/docs/{file}"}
POSTS = {("POST", "/jobs"), ("DELETE", "/jobs/{job_id}"), ("POST", "/jobs/{job_id}/retry")}


def wanted(method: str, path: str) -> Role | None:
    if path in OPEN:
        return None
    if method == "GET":
        return Role.READ
    return Role.POST if (method, path) in POSTS else Role.ADMIN


def routes(server: Served) -> list[tuple[str, str]]:
    return [(method, r.path) for r in server.app.routes if isinstance(r, APIRoute) for method in r.methods or ()]


@pytest.mark.parametrize("role", [None, *Role])
def test_each_route_is_open_to_its_role_and_to_nobody_below(
    serve: Callable[..., Served], mlq: MLQ, role: Role | None
) -> None:
    server = serve(mlq, role)
    with httpx.Client(base_url=server.url, timeout=10) as client:
        for method, path in routes(server):
            filled = path.format(job_id="999", extension="png", queue="other", file="docs.js")
            if path == "/events":
                filled = "/events/none"  # it would not end; its role is looked at below
            answer = client.request(method, filled)
            need = wanted(method, path)
            if need is not None and path != "/events":
                expected = {None: 401}.get(role, 403) if role is None or role < need else None
                told = answer.json()["code"] if answer.status_code in (401, 403) else None
                if expected:
                    assert answer.status_code == expected, (method, path)
                else:
                    assert told in (None, "functions-closed"), (method, path)
            elif path in OPEN:
                assert answer.status_code == 200, (method, path)


def test_every_route_says_which_role_it_needs(server: Served) -> None:
    for route in server.app.routes:
        if isinstance(route, APIRoute):
            found = [getattr(one.dependency, "role", None) for one in route.dependencies]
            for method in route.methods or ():
                assert found == [need for need in [wanted(method, route.path)] if need], (method, route.path)


# --- what is loaded -------------------------------------------------------------------------------------------------
def test_posting_from_the_shell_loads_nothing_of_the_web(redis_url: str, namespace: str) -> None:
    code = (
        "import sys, json; from mlq_cli.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(json.dumps([m for m in ('fastapi', 'uvicorn', 'starlette', 'pydantic', 'mlq_cli.http') "
        "if m in sys.modules]))"
    )
    arguments = ["post", "hello", "--redis-url", redis_url, "-n", namespace]
    said = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[0] == "1" and json.loads(said.splitlines()[-1]) == []


def test_a_call_is_an_object_in_json(client: httpx.Client, mlq: MLQ) -> None:
    job_id = mlq.post_call(Call("pkg.mod:func", (1,), {"x": 2}))
    answer = client.get(f"/jobs/{job_id}").json()
    assert answer["msg"] == {"call": "pkg.mod:func", "args": [1], "kwargs": {"x": 2}}
    assert answer["functions"] == ["pkg.mod:func"]
