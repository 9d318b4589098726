"""Callbacks: told once, tried three times at most, and never in the way of jobs."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mlq_cli import MLQ, State
from mlq_cli.model.errors import Misuse
from mlq_cli.model.options import PostOptions
from mlq_cli.model.signing import keys_of, signatures
from mlq_cli.model.values import pack
from mlq_cli.worker.callbacks import parameters
from tests_support import wait_until


@pytest.fixture
def listening(redis_url: str, namespace: str) -> Iterator[MLQ]:
    def double(msg: Any) -> Any:
        if msg is None:
            raise ValueError("nothing to double")
        return (f"{msg} & twice", msg * 2)

    with MLQ.from_profile(redis_url=redis_url, namespace=namespace, worker_backoff=0.05) as mlq:
        mlq.create_listener(double)
        yield mlq


def callbacks(mlq: MLQ, state: State) -> int:
    return sum(counts.states[state] for counts in mlq.counts() if counts.queue == "_callbacks")


def test_success_and_failure_are_told_with_the_originals_parameters(listening: MLQ, target: Any) -> None:
    good, bad = listening.post(3, callback=f"{target.url}/done?mine=1"), listening.post(None, callback=target.url)
    wait_until(lambda: len(target.asked) == 2, seconds=20)
    assert sorted(target.asked) == sorted(
        [
            ("/done", {"mine": "1", "success": "1", "job_id": good, "short_result": "3 & twice"}),
            ("/", {"success": "0", "job_id": bad, "short_result": ""}),
        ]
    )
    wait_until(lambda: callbacks(listening, State.SUCCEEDED) == 2)


def test_a_target_that_answers_500_is_tried_three_times_and_no_more(listening: MLQ, target: Any) -> None:
    target.answers = [500] * 10
    listening.post(3, callback=target.url)
    wait_until(lambda: callbacks(listening, State.DEAD) == 1, seconds=30)
    assert len(target.asked) == 3
    (dead,) = listening.list_jobs(states=[State.DEAD], queue="_callbacks")
    assert "status 500" in str(dead["error"])


def test_a_redirect_is_not_followed_and_is_tried_three_times(listening: MLQ, target: Any) -> None:
    target.answers = [302, 301, 302]
    listening.post(3, callback=f"{target.url}/here")
    wait_until(lambda: callbacks(listening, State.DEAD) == 1, seconds=30)
    assert [path for path, _ in target.asked] == ["/here"] * 3


def test_a_target_that_is_gone_is_asked_once(listening: MLQ, target: Any) -> None:
    target.answers = [410]
    listening.post(3, callback=target.url)
    wait_until(lambda: callbacks(listening, State.DEAD) == 1, seconds=30)
    (dead,) = listening.list_jobs(states=[State.DEAD], queue="_callbacks")
    assert len(target.asked) == 1 and dead["error_type"] == "CallbackRefused" and "410" in str(dead["error"])


@pytest.mark.minutes
def test_a_target_that_asks_for_time_gets_it(listening: MLQ, target: Any) -> None:
    target.answers = [503]
    listening.post(3, callback=target.url)
    wait_until(lambda: callbacks(listening, State.SUCCEEDED) == 1, seconds=30)
    first, second = target.times
    assert second - first >= 2.9
    (told,) = listening.list_jobs(queue="_callbacks")
    assert (told["attempt"], told["failures"]) == (2, 1), "to be put off is no attempt"


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def signed(mlq: MLQ) -> MLQ:
    """The same jobs, and a secret."""
    return MLQ.from_profile(redis_url=mlq.profile.redis.url, namespace=mlq.namespace, secret=SECRET)


def test_each_outcome_is_posted_with_a_signature_of_its_own(mlq: MLQ, target: Any) -> None:
    with signed(mlq) as worker:

        @worker.create_listener
        def work(msg: Any) -> Any:
            if msg is None:
                raise ValueError("nothing to do")
            return ("short", msg)

        told = {"callback": target.url, "callback_method": "POST"}
        good, bad, late = mlq.post(1, **told), mlq.post(None, **told), mlq.post(2, delay=100, **told)
        mlq.cancel(late)
        wait_until(lambda: len(target.posted) == 3, seconds=20)
    assert mlq.get_job(good)["callback_method"] == "POST" and not target.asked
    outcomes, names = {}, set()
    for headers, body in target.posted:
        stamp = int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == signatures(keys_of(SECRET), headers["webhook-id"], stamp, body)
        names.add(headers["webhook-id"])
        told = json.loads(body)
        assert told["type"] == f"job.{told['data']['state']}"
        outcomes[told["data"].pop("id")] = told["data"]
    assert len(names) == 3
    nothing = {"short_result": None, "error": None, "error_type": None}
    assert outcomes == {
        good: {**nothing, "state": "succeeded", "queue": "default", "attempt": 1, "short_result": "short"},
        bad: {"state": "dead", "queue": "default", "attempt": 1, "short_result": None,
              "error": "ValueError: nothing to do", "error_type": "ValueError"},
        late: {**nothing, "state": "canceled", "queue": "default", "attempt": 0},
    }  # fmt: skip


def test_the_same_webhook_is_posted_again_with_the_same_id_when_it_was_not_taken(mlq: MLQ, target: Any) -> None:
    target.answers = [500]
    with signed(mlq) as worker:
        worker.create_listener(lambda msg: msg)
        mlq.post(1, callback=target.url, callback_method="POST")
        wait_until(lambda: len(target.posted) == 2, seconds=20)
    (first, body), (second, again) = target.posted
    assert first["webhook-id"] == second["webhook-id"] and body == again
    assert int(first["webhook-timestamp"]) < int(second["webhook-timestamp"])


def test_without_a_secret_a_post_is_a_dead_letter_that_can_be_sent_later(listening: MLQ, target: Any) -> None:
    listening.post(1, callback=target.url, callback_method="POST")
    wait_until(lambda: callbacks(listening, State.DEAD) == 1, seconds=30)
    (dead,) = listening.list_jobs(states=[State.DEAD], queue="_callbacks")
    assert "no secret" in str(dead["error"]) and not target.posted
    listening.shutdown()
    with signed(listening) as worker:
        worker.create_listener(lambda msg: msg)
        assert worker.retry_all(queue="_callbacks") == 1
        wait_until(lambda: len(target.posted) == 1, seconds=20)


def test_the_profile_says_how_is_told_by_default(redis_url: str, namespace: str) -> None:
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace, callbacks_method="post") as mlq:
        methods = [mlq.get_job(mlq.post(1, callback="http://localhost:1024/", callback_method=each))["callback_method"]
                   for each in (None, "GET", "POST")]  # fmt: skip
        assert methods == ["POST", "GET", "POST"]
        (job_id,) = mlq.post_many([1], callback="http://localhost:1024/")
        assert mlq.get_job(job_id)["callback_method"] == "POST"
        assert mlq.get_job(mlq.post(1))["callback_method"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"callback": "http://169.254.169.254/"}, "never called"),
        ({"callback": "http://127.0.0.1:8000/", "callback_public": True}, "public internet"),
        ({"callback": "http://localhost:8000/", "callback_public": True}, "this machine"),
        ({"callback": "http://localhost:8000/", "callback_method": "PUT"}, "PUT"),
        ({"callback_method": "POST"}, "without a callback"),
        ({"callback": "http://user:pw@localhost:8000/"}, "callback URL"),
        ({"callback": "http://localhost:6379/"}, "port 6379"),
    ],
)
def test_what_may_not_be_called_is_refused_when_it_is_posted(mlq: MLQ, options: dict[str, Any], said: str) -> None:
    for post in (lambda: mlq.post(1, **options), lambda: mlq.post_many([1], **options)):
        with pytest.raises(Misuse, match=said):
            post()
    assert mlq.job_count() == 0


def test_a_profile_may_close_and_open_private_networks(redis_url: str, namespace: str) -> None:
    url, closed = (
        "http://192.168.1.7:8000/",
        {"redis_url": redis_url, "namespace": namespace, "callbacks_private": False},
    )
    with MLQ.from_profile(**closed) as mlq, pytest.raises(Misuse, match="public internet"):
        mlq.post(1, callback=url)
    with MLQ.from_profile(**closed, callbacks_allow=["192.168.1.0/24"]) as mlq:
        assert mlq.post(1, callback=url)


def test_what_a_stranger_had_posted_is_not_told_to_private_addresses(listening: MLQ, target: Any) -> None:
    """The poster's profile allows the name; the worker's look-up says where it leads."""
    options = PostOptions(callback=target.url, callback_public=True)
    store = listening.store
    store.ask(store.post([pack(3)], options, None))
    wait_until(lambda: callbacks(listening, State.DEAD) == 1, seconds=20)
    assert not target.asked


def test_targets_that_trickle_do_not_hold_up_the_others(listening: MLQ, target: Any) -> None:
    """More that never finish their first line than one executor takes, then one that is well."""
    with socket.create_server(("127.0.0.1", 0)) as slow:
        slowly = f"http://127.0.0.1:{slow.getsockname()[1]}/slow"
        listening.post_many([1] * 150, callback=slowly)
        well = listening.post(1, callback=f"{target.url}/well")
        asked = wait_until(lambda: [query["job_id"] for path, query in target.asked if path == "/well"], seconds=20)
        listening.purge("_callbacks", [State.QUEUED, State.SCHEDULED])
    assert asked == [well]


def test_a_target_that_hangs_does_not_hold_up_jobs(listening: MLQ, target: Any) -> None:
    listening.post(1, callback=f"{target.url}/hang")
    wait_until(lambda: target.asked, seconds=20)
    began = time.monotonic()
    for _ in range(20):
        assert listening.wait(listening.post(2), 5) == 4
    other = listening.post(5, callback=f"{target.url}/quick")
    wait_until(lambda: ("/quick", {"success": "1", "job_id": other, "short_result": "5 & twice"}) in target.asked)
    assert time.monotonic() - began < 4, "neither jobs nor other callbacks waited for it"
    target.hang.set()


def test_the_parameters_are_encoded_and_a_long_text_is_cut() -> None:
    told = {"success": 1, "job_id": "x:1", "short_result": "ä & b/ü=\n"}
    assert parameters(told) == "success=1&job_id=x%3A1&short_result=%C3%A4%20%26%20b%2F%C3%BC%3D%0A"
    assert len(parameters({**told, "short_result": "ü" * 10_000})) < 4000
