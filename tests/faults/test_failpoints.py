"""A worker, reaper or callback sender that fails at either side of any call to Redis loses and doubles nothing."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.crew import Crew
from harness.endings import assert_each_ended_once, members, wait_all_ended
from harness.failpoints import Failpoints, parse
from mlq_cli import MLQ, State
from mlq_cli.model.errors import StoreUnavailable
from tests_support import wait_until

JOBS = 50
LEASE = 2.0
PLACES = [
    ("heartbeat", 2),
    ("finish", 2),
    ("release", 1),
    ("progress", 2),
    ("claim/jobs", 3),
    ("claim/callbacks", 2),
    ("bell/listen", 3),
    ("bell/answered", 2),
    ("sweep", 3),
]
ACTIONS = ["kill9", "raise", f"sleep({2 * LEASE:g})"]
QUICK = {"claim/jobs:after=kill9@3", "finish:after=raise@2"}


def cases() -> list[Any]:
    found = []
    for place, nth in PLACES:
        for side in ("before", "after"):
            for action in ACTIONS:
                spec = f"{place}:{side}={action}@{nth}"
                found.append(pytest.param(spec, id=spec, marks=[] if spec in QUICK else [pytest.mark.minutes]))
    return found


@pytest.fixture
def callbacks() -> Iterator[tuple[str, Counter[str]]]:
    """A URL, and how often each job's success was told there."""
    told: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            assert query["success"] == ["1"]
            told[query["job_id"][0]] += 1
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", told
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("spec", cases())
def test_nothing_is_lost_or_recorded_twice_when_it_fails_at(
    spec: str, mlq: MLQ, redis_url: str, tmp_path: Path, callbacks: tuple[str, Counter[str]]
) -> None:
    place, url = spec.partition(":")[0], callbacks[0] if spec.startswith("claim/callbacks") else None
    options: dict[str, Any] = {"callback": url} if url else {}
    message = {"file": str(tmp_path / "runs"), "seconds": 0.02}
    with Crew(redis_url, mlq.namespace, tmp_path) as crew:
        if place == "sweep":
            failing = crew.reaper(spec=spec, supervised=True, lease=LEASE)
            worker = crew.worker(lease=LEASE, supervised=True)
        else:
            failing = worker = crew.worker(spec=spec, lease=LEASE, supervised=True, grace=0.1, executors=2)
        ids = list(mlq.post_many([message] * 10, **options))
        wait_until(lambda: mlq.states(ids[:1]) != [State.QUEUED], seconds=20)
        ids += mlq.post_many([{**message, "seconds": 1.0}] * 2, **options)
        if place == "release":  # stopped while long ones run: they are given back
            wait_until(lambda: State.RUNNING in mlq.states(ids[-2:]), seconds=20)
            worker.signal(signal.SIGTERM)
        elif place == "sweep":  # something to sweep
            wait_until(lambda: State.RUNNING in mlq.states(ids[-2:]), seconds=20)
            worker.signal(signal.SIGKILL)
        wait_until(lambda: failing.struck() == [spec], seconds=20)
        crew.worker(lease=LEASE)
        ids += mlq.post_many([message] * (JOBS - len(ids)), **options)
        wait_all_ended(mlq, ids, seconds=40)
        assert failing.starts > ("kill9" in spec)
        assert crew.dismiss(failing) == 0, "it has woken up and said its last word"
        stats = assert_each_ended_once(mlq, ids)
        assert stats["claimed"] <= JOBS + stats.get("lost", 0) + stats.get("released", 0)
        if url:
            sent = mlq.list_jobs(queue="_callbacks", limit=None)
            wait_all_ended(mlq, [record["id"] for record in sent], seconds=40)
            assert len(sent) == JOBS and set(callbacks[1]) == set(ids)
            assert set(members(mlq, "_callbacks").values()) == {1}


def test_a_failpoint_strikes_on_its_hit_at_its_side_and_once(tmp_path: Path) -> None:
    spec = "claim/jobs:after=raise@2;claim:before=raise@4;finish:before=sleep(0.01)"
    points = Failpoints(spec, tmp_path / "hits")
    for _ in range(2):
        points.hit("claim/callbacks", "before")
        points.hit("claim/callbacks", "after")
    points.hit("claim/jobs", "before")
    points.hit("claim/jobs", "after")
    with pytest.raises(StoreUnavailable, match="claim:before"):
        points.hit("claim/jobs", "before")
    with pytest.raises(StoreUnavailable, match="claim/jobs:after"):
        points.hit("claim/jobs", "after")
    for side in ("before", "after"):
        points.hit("claim/jobs", side)
    points.hit("finish", "before")
    assert (tmp_path / "hits").read_text().splitlines() == [
        "claim:before=raise@4",
        "claim/jobs:after=raise@2",
        "finish:before=sleep(0.01)",
    ]
    assert [point.seconds for point in parse(spec)] == [0, 0, 0.01]
    with pytest.raises(ValueError):
        parse("claim=kill9")
