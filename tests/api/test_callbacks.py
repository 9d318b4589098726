"""Callbacks: told once, tried three times at most, and never in the way of jobs."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from mlq_cli import MLQ, State
from mlq_cli.worker.callbacks import CallbackFailed, callback_url, deliver
from tests_support import wait_until


@pytest.fixture
def listening(mlq: MLQ) -> MLQ:
    def double(msg: Any) -> Any:
        if msg is None:
            raise ValueError("nothing to double")
        return (f"{msg} & twice", msg * 2)

    mlq.create_listener(double)
    return mlq


def message(url: str) -> dict[str, Any]:
    return {"url": url, "success": 1, "job_id": "1", "short_result": None}


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


def test_a_redirect_is_not_followed(target: Any) -> None:
    target.answers = [302]
    with pytest.raises(CallbackFailed, match="status 302"):
        asyncio.run(deliver(message(f"{target.url}/here")))
    assert [path for path, _ in target.asked] == ["/here"]


def test_a_target_that_refuses_is_a_failed_delivery() -> None:
    with pytest.raises(CallbackFailed, match="Connect call failed"):
        asyncio.run(deliver(message("http://127.0.0.1:1/")))


def test_a_target_that_speaks_no_http_is_a_failed_delivery() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example.com ESMTP\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(CallbackFailed, match="no HTTP"):
            asyncio.run(deliver(message(f"http://127.0.0.1:{server.getsockname()[1]}/")))


def test_targets_that_trickle_do_not_hold_up_the_others(listening: MLQ, target: Any) -> None:
    """Thirty that never finish their first line, then one that is well."""
    with socket.create_server(("127.0.0.1", 0)) as slow:
        for _ in range(30):
            listening.post(1, callback=f"http://127.0.0.1:{slow.getsockname()[1]}/slow")
        well = listening.post(1, callback=f"{target.url}/well")
        asked = wait_until(lambda: [query["job_id"] for path, query in target.asked if path == "/well"])
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


def test_the_parameters_are_encoded_and_come_after_those_of_the_url() -> None:
    url = callback_url("http://host/a?b=c", 1, "x:1", "ä & b/ü=\n")
    assert url == "http://host/a?b=c&success=1&job_id=x%3A1&short_result=%C3%A4%20%26%20b%2F%C3%BC%3D%0A"
