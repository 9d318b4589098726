"""`POST /jobs`: what is taken, what is refused, and that nobody gets another one's answer."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
import time
from typing import Any

import httpx
import pytest
from tests_http import Served, fail, finish

from mlq_cli import MLQ
from mlq_cli.http.bodies import MOST_DEPTH
from mlq_cli.model.errors import Misuse
from mlq_cli.store.redis import layout
from tests_support import wait_until

#: As they are typed in the README of the original; the last one loses quotes to the shell.
LINES = [
    """curl localhost:5001/jobs -X POST -d '{"msg": {"arg1": 6, "arg2": 3}}' -H 'Content-Type: application/json'""",
    """curl localhost:5001/jobs -X POST -H 'Content-Type: application/json' """
    """-d '{"msg":"message", "functions":["my_func"]}'""",
    """curl localhost:5001/jobs -X POST -H 'Content-Type: application/json' """
    """-d '{"msg":"message", "callback":'http://localhost:5001/some_callback'}'""",
]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


def shell(server: Served, line: str) -> bytes:
    typed = line.replace("localhost:5001/jobs", f"localhost:{server.port}/jobs").replace("curl ", "curl -s -4 ", 1)
    return subprocess.run(["sh", "-c", typed], capture_output=True, check=True, timeout=20).stdout


@needs_curl
def test_the_curl_lines_of_the_original_work_as_typed(server: Served, mlq: MLQ) -> None:
    ids = [shell(server, line).decode() for line in LINES]

    jobs = [mlq.get_job(job_id) for job_id in ids]
    assert ids == ["1", "2", "3"]
    assert [job["msg"] for job in jobs] == [{"arg1": 6, "arg2": 3}, "message", "message"]
    assert jobs[1]["functions"] == ["my_func"]
    assert jobs[2]["callback"] == "http://localhost:5001/some_callback"


def test_a_callback_may_be_signed_and_goes_nowhere_that_is_never_called(client: httpx.Client, mlq: MLQ) -> None:
    url = "http://localhost:8000/done"
    posted = client.post("/jobs", json={"msg": 1, "callback": url, "callback_method": "POST"})
    assert posted.status_code == 202
    record = mlq.get_job(posted.text)
    assert (record["callback"], record["callback_method"]) == (url, "POST")
    for host in ("169.254.169.254", "0.0.0.0", "2852039166", "0xa9fea9fe"):
        refused = client.post("/jobs", json={"msg": 1, "callback": f"http://{host}/"})
        assert (refused.status_code, refused.json()["code"]) == (403, "callback-refused")
    assert mlq.job_count() == 1


def test_the_callbacks_of_strangers_reach_no_private_network(serve: Any, redis_url: str, namespace: str) -> None:
    hosts = ("http://localhost/", "http://10.0.0.7/", "https://example.com/")
    for private, statuses in ((None, [403, 403, 202]), (True, [202, 202, 202])):
        with (
            MLQ.from_profile(redis_url=redis_url, namespace=namespace, callbacks_private=private) as mlq,
            httpx.Client(base_url=serve(mlq, strangers=True).url, timeout=20) as client,
        ):
            posted = [client.post("/jobs", json={"msg": 1, "callback": host}) for host in hosts]
            assert [each.status_code for each in posted] == statuses
            job = f"mlq:{{{namespace}}}:job:{posted[-1].text}"
            (strict,) = mlq.store._read([("HEXISTS", job, layout.field("callback_public"))])
            assert strict == (private is None), "the worker looks at the address again, by the same rules"


@needs_curl
def test_the_results_of_the_original_come_by_curl(server: Served, mlq: MLQ) -> None:
    for _ in range(53):
        mlq.post("x")
    finish(mlq, "53", b"\xff\xfb\x90 mp3")

    assert shell(server, "curl localhost:5001/jobs/53/result") == b"\xff\xfb\x90 mp3"
    assert shell(server, "curl localhost:5001/jobs/53/result.mp3") == b"\xff\xfb\x90 mp3"
    assert shell(server, "curl localhost:5001/jobs/count") == b"0"
    assert shell(server, "curl localhost:5001/jobs/53/short_result") == b"[no result]"
    assert shell(server, "curl localhost:5001/jobs/53/progress") == b"[completed]"


def test_the_answer_is_the_id_as_text_and_the_job_as_json_for_who_asks(client: httpx.Client) -> None:
    bare = client.post("/jobs", json={"msg": 1})
    whole = client.post("/jobs", json={"msg": 1}, headers={"accept": "application/json"})

    assert (bare.status_code, bare.text, bare.headers["location"]) == (202, "1", "/jobs/1")
    assert bare.headers["content-type"].startswith("text/plain")
    assert (whole.status_code, whole.json()["id"], whole.json()["state"]) == (202, "2", "queued")


def test_all_options_reach_the_job(client: httpx.Client, mlq: MLQ) -> None:
    options = {
        "callback": "http://localhost:9/x", "functions": ["f", "g"], "queue": "slow", "priority": 7, "retries": 3,
        "timeout": 5.5, "id": "mine", "delay": 100,
    }  # fmt: skip
    assert client.post("/jobs", json={"msg": "m", **options}).text == "mine"

    job = mlq.get_job("mine")
    assert [job[name] for name in ("callback", "functions", "queue", "priority")] == list(options.values())[:4]
    assert (job["retries_allowed"], job["timeout"], job["state"]) == (3, 5.5, "scheduled")


def test_a_whole_number_may_be_written_with_a_point(client: httpx.Client, mlq: MLQ) -> None:
    kind = {"content-type": "application/json"}
    job_id = client.post("/jobs", content=b'{"msg":1,"priority":5.0,"retries":2.0}', headers=kind).text
    assert (mlq.get_job(job_id)["priority"], mlq.get_job(job_id)["retries_allowed"]) == (5, 2)
    assert client.post("/jobs", json={"msg": 1, "priority": 5.5}).status_code == 422


ODD = {
    "no json": ("{", 400, "no-json"),
    "nothing": ("", 400, "no-json"),
    "no object": ("[1]", 422, "invalid"),
    "no message": ("{}", 422, "invalid"),
    "another key": ('{"msg":1,"prio":2}', 422, "invalid"),
    "not a number": ('{"msg":NaN}', 400, "no-json"),
    "infinity": ('{"msg":-Infinity}', 400, "no-json"),
    "too large a float": ('{"msg":1e999}', 400, "too-large-number"),
    "a key twice": ('{"msg":{"a":1,"a":2}}', 400, "duplicate-key"),
    "too many digits": ('{"msg":' + "9" * 5000 + "}", 400, "too-many-digits"),
    "half a pair": (r'{"msg":"\ud800"}', 400, "not-carried"),
    "a byte order mark": ('\ufeff{"msg":1}', 400, "no-json"),
    "too deep": ('{"msg":' + "[" * MOST_DEPTH + "]" * MOST_DEPTH + "}", 400, "too-deep"),
    "far too deep": ('{"msg":' + "[" * 100_000 + "]" * 100_000 + "}", 400, "too-deep"),
    "too many keys": (json.dumps({"msg": {str(i): 0 for i in range(100_001)}}), 400, "too-many-keys"),
    "two times": ('{"msg":1,"delay":1,"at":1}', 422, "invalid"),
    "a queue of ours": ('{"msg":1,"queue":"_callbacks"}', 422, "invalid"),
    "a number as id": ('{"msg":1,"id":"5"}', 422, "invalid"),
    "a callback that is none": ('{"msg":1,"callback":"javascript:alert(1)"}', 422, "invalid"),
    "a truth as priority": ('{"msg":1,"priority":true}', 422, "invalid"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_bodies_are_refused_with_a_code(one_client: httpx.Client, name: str) -> None:
    body, status, code = ODD[name]
    answer = one_client.post("/jobs", content=body.encode(), headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_wrong_is_named_by_json_pointers(one_client: httpx.Client) -> None:
    answer = one_client.post("/jobs", json={"msg": 1, "priority": 9999, "functions": ["f", 3], "a/b": 1})

    assert {one["pointer"] for one in answer.json()["errors"]} == {"#/priority", "#/functions/1", "#/a~1b"}


EVEN = {
    "null": None,
    "text": "grüße 🎉 \u2028 \x00",
    "a large integer": 10**4000,
    "nested": {"a": [{"b": [[]]}], "": 0.1, "😀": False},
    "as deep as may be": json.loads("[" * (MOST_DEPTH - 1) + "]" * (MOST_DEPTH - 1)),
}


@pytest.mark.parametrize("name", EVEN)
def test_any_json_value_is_carried_unchanged(one_client: httpx.Client, one_mlq: MLQ, name: str) -> None:
    job_id = one_client.post("/jobs", json={"msg": EVEN[name]}).text

    assert one_mlq.get_job(job_id)["msg"] == EVEN[name]
    assert one_client.get(f"/jobs/{job_id}").json()["msg"] == EVEN[name]


@pytest.mark.parametrize(
    ("kind", "more", "status"),
    [
        ("application/json", {}, 202),
        ("application/json; charset=utf-8", {"origin": "https://elsewhere.example"}, 202),
        ("application/problem+json", {}, 415),
        ("application/x-www-form-urlencoded", {}, 202),
        (None, {}, 415),
        ("application/x-www-form-urlencoded", {"origin": "https://elsewhere.example"}, 415),
        ("application/x-www-form-urlencoded", {"sec-fetch-site": "cross-site"}, 415),
        (None, {"origin": "null"}, 415),
        ("text/plain", {}, 415),
        ("multipart/form-data; boundary=x", {}, 415),
    ],
)
def test_a_form_is_taken_for_json_only_where_no_browser_speaks(
    one_client: httpx.Client, kind: str | None, more: dict[str, str], status: int
) -> None:
    headers = more if kind is None else {"content-type": kind, **more}
    assert one_client.post("/jobs", content=b'{"msg":1}', headers=headers).status_code == status


def test_a_message_over_the_limit_is_413(redis_url: str, namespace: str, serve: Any) -> None:
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace, limits_message="1KiB") as small:
        answer = httpx.post(f"{serve(small).url}/jobs", json={"msg": "x" * 2000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


# --- the same again -------------------------------------------------------------------------------------------------
def test_an_id_of_ones_own_is_posted_once(client: httpx.Client, mlq: MLQ) -> None:
    answers = [client.post("/jobs", json={"msg": number, "id": "mine"}) for number in (1, 2)]

    assert [answer.text for answer in answers] == ["mine", "mine"]
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true"]
    assert mlq.get_job("mine")["msg"] == 1


@pytest.mark.parametrize("key", ["order-5", '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "12345", "with / and {}"])
def test_an_idempotency_key_makes_one_job(client: httpx.Client, mlq: MLQ, key: str) -> None:
    headers = {"idempotency-key": key}
    first, again = (client.post("/jobs", json={"msg": {"a": 1, "b": 2}}, headers=headers) for _ in range(2))
    other = client.post("/jobs", json={"msg": {"a": 1, "b": True}}, headers=headers)
    options = client.post("/jobs", json={"msg": {"a": 1, "b": 2}, "priority": 1}, headers=headers)

    assert first.status_code == again.status_code == 202 and first.text == again.text
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
    assert (options.status_code, options.json()["job_id"]) == (422, first.text)
    assert mlq.job_count() == 1


@pytest.mark.parametrize("key", ["", "x" * 300, "a\x7fb"])
def test_a_key_that_is_none_is_refused(one_client: httpx.Client, key: str) -> None:
    assert one_client.post("/jobs", json={"msg": 1}, headers={"idempotency-key": key}).status_code == 400


# --- waiting --------------------------------------------------------------------------------------------------------
def test_prefer_wait_gives_the_result_when_it_is_there_in_time(client: httpx.Client, mlq: MLQ) -> None:
    def work() -> None:
        wait_until(mlq.job_count)
        finish(mlq, "1", {"answer": 42})

    thread = threading.Thread(target=work)
    thread.start()
    answer = client.post("/jobs", json={"msg": 1}, headers={"prefer": "respond-async, wait=10"})
    thread.join()

    assert (answer.status_code, answer.json()) == (200, {"answer": 42})
    assert (answer.headers["preference-applied"], answer.headers["location"]) == ("wait=10", "/jobs/1")
    assert answer.elapsed.total_seconds() < 5


def test_prefer_wait_ends_with_202_when_it_takes_longer(client: httpx.Client) -> None:
    began = time.monotonic()
    answer = client.post("/jobs", json={"msg": 1}, headers={"prefer": "wait=1"})

    assert (answer.status_code, answer.text) == (202, "1") and "preference-applied" not in answer.headers
    assert 0.9 < time.monotonic() - began < 4


def test_a_job_that_failed_while_it_was_waited_for_is_424(client: httpx.Client, mlq: MLQ) -> None:
    def work() -> None:
        wait_until(mlq.job_count)
        fail(mlq, "1")

    thread = threading.Thread(target=work)
    thread.start()
    answer = client.post("/jobs", json={"msg": 1}, headers={"prefer": "wait=10"})
    thread.join()

    assert (answer.status_code, answer.json()["code"], answer.json()["job_id"]) == (424, "job-failed", "1")
    assert "Traceback" not in answer.text


def test_a_server_that_stops_answers_who_waits(server: Served, client: httpx.Client) -> None:
    timer = threading.Timer(0.5, server.tell_to_stop)
    timer.start()
    answer = client.post("/jobs", json={"msg": 1}, headers={"prefer": "wait=30"})

    assert answer.status_code == 202 and answer.elapsed.total_seconds() < 5


# --- many at once ---------------------------------------------------------------------------------------------------
async def _post_all(url: str, bodies: list[Any], headers: dict[str, str] | None = None) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        return await asyncio.gather(*(client.post("/jobs", json=body, headers=headers) for body in bodies))


def test_posts_that_come_together_leave_together_and_each_gets_its_own_answer(server: Served, mlq: MLQ) -> None:
    bodies = [{"msg": number, "queue": f"q{number % 3}"} for number in range(300)]
    bodies += [{"msg": f"own {number}", "id": f"own-{number}"} for number in range(50)]
    answers = asyncio.run(_post_all(server.url, bodies))

    assert {answer.status_code for answer in answers} == {202}
    jobs = mlq.get_jobs(answer.text for answer in answers)
    assert [(job or {})["msg"] for job in jobs] == [body["msg"] for body in bodies]
    assert [(job or {})["queue"] for job in jobs[:300]] == [body["queue"] for body in bodies[:300]]


def test_one_key_from_many_clients_at_once_makes_one_job(server: Served, mlq: MLQ) -> None:
    answers = asyncio.run(_post_all(server.url, [{"msg": 1}] * 60, {"idempotency-key": "once"}))

    assert {(answer.status_code, answer.text) for answer in answers} == {(202, "once")}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert mlq.job_count() == 1


def test_a_client_that_leaves_confuses_nobody(server: Served, mlq: MLQ) -> None:
    async def leave_some() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            tasks = [asyncio.create_task(client.post("/jobs", json={"msg": number})) for number in range(100)]
            await asyncio.sleep(0.02)
            for task in tasks[::2]:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            return [one for one in ended[1::2] if isinstance(one, httpx.Response)]

    answers = asyncio.run(leave_some())
    assert len(answers) == 50
    numbers = [(job or {})["msg"] for job in mlq.get_jobs(answer.text for answer in answers)]
    assert numbers == list(range(1, 100, 2))


def test_no_job_has_the_id_behind_which_their_number_is(client: httpx.Client, mlq: MLQ) -> None:
    refused = client.post("/jobs", json={"msg": 1, "id": "count"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/id")
    with pytest.raises(Misuse):
        mlq.post(1, id="count")
    by_key = client.post("/jobs", json={"msg": 1}, headers={"Idempotency-Key": "count"})
    assert by_key.status_code == 202 and by_key.text.startswith("key-")
    assert client.get(by_key.headers["location"]).json()["id"] == by_key.text
