"""`mlq worker` and `mlq reaper` from the shell."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mlq_cli import MLQ, State

from .conftest import Run, one_line_error


@pytest.fixture
def tasks(tmp_path: Path) -> str:
    """A module with listeners in the folder where the commands run."""
    (tmp_path / "mytasks.py").write_text("def multiply(msg):\n    return msg['arg1'] * msg['arg2']\n")
    return "mytasks"


def test_post_worker_get_as_in_the_readme(cli: Run, tasks: str) -> None:
    job_id = cli("post", '{"arg1": 6, "arg2": 3}').stdout.decode().strip()
    assert cli("worker", "--fn", f"{tasks}:multiply", "--burst").returncode == 0
    assert cli("get", job_id).stdout == b"18\n"


def test_a_worker_logs_json_when_asked(cli: Run, mlq: MLQ, tasks: str) -> None:
    mlq.post({"arg1": 1, "arg2": 1})
    done = cli("worker", "--fn", f"{tasks}:multiply", "--burst", "--log-format", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines
    assert all({"time", "level", "message"} <= set(line) for line in lines)


@pytest.mark.parametrize(
    "words",
    [
        ("worker",),
        ("worker", "--fn", "a:b", "--log-format", "xml"),
        ("worker", "--fn", "a:b", "--max-jobs", "0"),
        ("worker", "--fn", "a:b", "--max-memory", "much"),
        ("worker", "--fn", "a:b", "--memory-limit", "much"),
        ("worker", "--fn", "a:b", "--memory-limit", "0"),
        ("worker", "--fn", "a:b", "--lease", "0"),
        ("worker", "--fn", "a:b", "-x", "0"),
        ("worker", "--fn", "a:b", "-x", "two"),
        ("reaper", "--interval", "soon"),
    ],
)
def test_a_worker_that_makes_no_sense_does_not_start(cli: Run, words: tuple[str, ...]) -> None:
    done = cli(*words)
    assert done.returncode == 2
    assert one_line_error(done)


def test_the_reaper_looks_once_for_cron(cli: Run, mlq: MLQ) -> None:
    # Nobody has been heard of here, so living workers get one lease to speak up.
    mlq.post("x")
    assert cli("reaper", "--once", env={"MLQ_WORKER_LEASE": "200ms"}).returncode == 0


def test_a_worker_whose_log_nobody_reads_works_and_stops(cli: Run, mlq: MLQ, tasks: str) -> None:
    jobs = mlq.post_many([{"arg1": 1}] * 2000)  # each of them fails, and is told of in a line of the log
    reader, writer = os.pipe()
    try:
        done = cli("worker", "--fn", f"{tasks}:multiply", "--burst", stdout=writer, stderr=writer)
        assert len(os.read(reader, 1 << 20)) > 60_000, "the pipe was full"
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 0
    assert {job["state"] for job in mlq.get_jobs(jobs) if job is not None} == {State.DEAD}
