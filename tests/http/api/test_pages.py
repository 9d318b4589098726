"""Lists by cursor: each job that stays comes once, however others move, and a page costs what it holds."""

from __future__ import annotations

import httpx
import pytest
from tests_http import RULES, claim, fail, finish

from mlq_cli import MLQ
from mlq_cli.model.job import State
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.values import pack
from mlq_cli.store.redis import layout


def walk(client: httpx.Client, address: str, most: int = 1000) -> list[str]:
    """Follow `Link: rel="next"` to the end."""
    ids: list[str] = []
    link: str | None = address
    for _ in range(most):
        assert link is not None
        answer = client.get(link)
        assert answer.status_code == 200, answer.text
        ids += [job["id"] for job in answer.json()["jobs"]]
        link = answer.links.get("next", {}).get("url")
        assert (link is None) == (answer.json()["next"] is None)
        if link is None:
            return ids
    raise AssertionError("it never ends")


def finish_all(mlq: MLQ, ids: list[str], queue: str = "default") -> None:
    claims = mlq.store.ask(mlq.store.claim([queue], 1000, worker="w", lane=ids[0], token=ids[0], rules=RULES))
    outcomes = [Outcome(job.id, ids[0], Kind.DONE, 0.1, b"", pack(1)) for job in claims.jobs if job.id in ids]
    assert len(outcomes) == len(ids)
    for part in range(0, len(outcomes), 100):
        mlq.store.ask(mlq.store.finish(outcomes[part : part + 100], rules=RULES))


@pytest.mark.parametrize("limit", [1, 3, 7, 500])
def test_all_states_and_queues_are_gone_through(client: httpx.Client, mlq: MLQ, limit: int) -> None:
    for queue in ("a", "b"):
        fail(mlq, mlq.post(1, queue=queue))
        finish(mlq, mlq.post(1, queue=queue))
        mlq.cancel(mlq.post(1, queue=queue))
        claim(mlq, mlq.post(1, queue=queue))
        mlq.post(1, queue=queue, delay=100)
        mlq.post(1, queue=queue, priority=5)
        mlq.post(1, queue=queue, id=f"own-{queue}")

    ids = walk(client, f"/jobs?limit={limit}")
    states = [mlq.get_job(job_id)["state"] for job_id in ids]
    assert len(ids) == len(set(ids)) == 14
    wanted = [State.RUNNING, State.QUEUED, State.SCHEDULED, State.DEAD, State.CANCELED, State.SUCCEEDED]
    assert list(dict.fromkeys(states)) == wanted
    some = walk(client, f"/jobs?limit={limit}&state=queued&state=dead&queue=b")
    assert {mlq.get_job(job_id)["queue"] for job_id in some} == {"b"} and len(some) == 3


def test_what_waits_comes_in_the_order_of_its_turn_and_what_has_ended_newest_first(
    client: httpx.Client, mlq: MLQ
) -> None:
    low, high = mlq.post(1), mlq.post(1, priority=3)
    assert walk(client, "/jobs?limit=1&state=queued") == [high, low]
    finish(mlq, high)
    finish(mlq, low)
    assert walk(client, "/jobs?limit=1&state=succeeded") == [low, high]


def test_many_that_were_canceled_in_one_moment_come_once_each(client: httpx.Client, mlq: MLQ) -> None:
    ids = list(mlq.post_many(range(300)))
    mlq.cancel(*ids)
    assert sorted(walk(client, "/jobs?limit=7&state=canceled"), key=int) == ids


@pytest.mark.parametrize("state", ["queued", "dead", "succeeded", "running"])
def test_jobs_that_stay_come_once_each_while_others_move(client: httpx.Client, mlq: MLQ, state: str) -> None:
    ids = list(mlq.post_many(range(60)))
    if state == "dead":
        for job_id in ids:
            fail(mlq, job_id)
    elif state == "succeeded":
        finish_all(mlq, ids)
    elif state == "running":
        token = claim(mlq, ids[-1])
    cursor, seen = "", []
    leaves = iter(ids[::3])
    while cursor is not None:
        answer = client.get(f"/jobs?state={state}&limit=5" + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [job["id"] for job in answer["jobs"]]
        cursor = answer["next"]
        # Meanwhile some leave, others come, and leases are renewed.
        for job_id in [next(leaves, None), next(leaves, None)]:
            if job_id and state == "queued":
                mlq.cancel(job_id)
            elif job_id and state == "dead":
                mlq.retry(job_id)
        if state == "queued":
            mlq.post("new", priority=9)
        elif state == "succeeded":
            finish_all(mlq, [mlq.post("new", queue="default")])
        elif state == "running":
            from mlq_cli.store.base import Held

            held = [Held(job_id, token) for job_id in ids[::2]]
            mlq.store.ask(mlq.store.heartbeat("w", held, rules=RULES, life=30, about={}))
    stayed = set(ids) - set(ids[::3]) if state in ("queued", "dead") else set(ids)
    assert len(seen) == len(set(seen)) and stayed <= set(seen)


@pytest.mark.parametrize("gone", [10, 450])
def test_a_walk_through_the_succeeded_goes_on_although_retention_takes_the_oldest(
    client: httpx.Client, mlq: MLQ, gone: int
) -> None:
    ids = list(mlq.post_many(range(900)))
    finish_all(mlq, ids)
    first = client.get("/jobs?state=succeeded&limit=300").json()
    seen = [job["id"] for job in first["jobs"]]
    key = layout.STATE(mlq.namespace, "default", State.SUCCEEDED)
    mlq.store._read([("LTRIM", key, gone, -1)])  # type: ignore[attr-defined]  # as trim.lua does
    finish_all(mlq, [mlq.post("new")])
    seen += walk(client, f"/jobs?state=succeeded&limit=300&cursor={first['next']}")

    assert seen == ids[gone:][::-1]


@pytest.mark.parametrize(
    "cursor", ["0", "eHg", "WyJxdWV1ZWQiLDEsMiwzXQ", "WzEsMl0", "WyJzdWNjZWVkZWQiLCJhIiwieC95IiwiMSJd"]
)
def test_a_cursor_that_is_none_is_refused(client: httpx.Client, cursor: str) -> None:
    answer = client.get(f"/jobs?cursor={cursor}")
    assert (answer.status_code, answer.json()["code"]) == (404, "no-such-page")


def test_a_page_costs_what_it_holds(client: httpx.Client, mlq: MLQ) -> None:
    mlq.post_many(range(5000))
    calls: list[int] = []
    exchange = mlq.store._wire.exchange  # type: ignore[attr-defined]

    def counting(commands: list[object], meanwhile: object = None) -> list[object]:
        calls.append(len(commands))
        return exchange(commands, meanwhile)

    mlq.store._wire.exchange = counting  # type: ignore[attr-defined]
    cursor, costs = "", []
    for _ in range(40):
        calls.clear()
        cursor = client.get(f"/jobs?limit=100{cursor and f'&cursor={cursor}'}").json()["next"]
        costs.append(sum(calls))
    assert max(costs[1:]) <= min(costs) + 20, costs
