"""`mlq list`, `cancel`, `dlq`, `queue`, `status`, `config` and `redis`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ
from mlq_cli.model.job import State
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack

from .conftest import End, Run, one_line_error


def _documents(output: bytes) -> list[Any]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_list_in_a_pipe_is_one_untruncated_line_a_job(cli: Run, mlq: MLQ) -> None:
    mlq.post({"text": "tab\there " + "x" * 200})
    job_id = mlq.post("line\nbreak \x1b]0;t\x07", queue="slow")
    lines = cli("list").stdout.decode().splitlines()
    assert len(lines) == 2
    assert lines[0].split("\t")[:3] == [job_id, "queued", "slow"]
    assert lines[0].endswith("\tline\\nbreak \\x1b]0;t\\x07")
    assert "x" * 200 in lines[1]


def test_a_list_is_narrowed_by_state_queue_and_limit(cli: Run, mlq: MLQ, end: End) -> None:
    ended = end(1)
    waiting = [mlq.post("x", queue="slow") for _ in range(3)]
    ids = [job["id"] for job in _documents(cli("list", "--state", "queued", "--limit", "2", "--json").stdout)]
    assert ids == waiting[:0:-1]
    assert [job["id"] for job in _documents(cli("list", "--state", "succeeded,dead", "--json").stdout)] == [ended]
    assert len(_documents(cli("list", "-q", "slow", "--json").stdout)) == 3
    assert one_line_error(cli("list", "--state", "done")) == "there is no state 'done'"


def test_jobs_are_canceled(cli: Run, mlq: MLQ, end: End) -> None:
    ids = [mlq.post("x"), mlq.post("y")]
    done = cli("cancel", *ids)
    assert (done.returncode, done.stderr) == (0, b"canceled 2 jobs\n")
    assert {job["state"] for job in mlq.list_jobs()} == {State.CANCELED}
    assert cli("cancel", end(1)).returncode == 7
    assert cli("cancel", "999999").returncode == 3


def test_dead_jobs_are_listed_shown_and_retried(cli: Run, mlq: MLQ, end: End) -> None:
    bad = end(error=("ValueError", "no \x1b image"))
    assert cli("dlq", "list").stdout.decode().split("\t")[:2] == [bad, "dead"]
    shown = cli("dlq", "show", bad).stdout.decode()
    assert "error\tValueError: no \\x1b image\n" in shown
    assert shown.endswith("Traceback: somewhere\nValueError: no \x1b image\n")
    assert cli("dlq", "retry", bad).returncode == 0
    assert mlq.get_job(bad)["state"] is State.QUEUED
    assert cli("dlq", "show", bad).returncode == 7


def test_all_dead_jobs_of_an_error_are_retried(cli: Run, mlq: MLQ, end: End) -> None:
    first, second = end(error=("ValueError", "no")), end(error=("KeyError", "no"), queue="slow")
    done = cli("dlq", "retry", "--all", "--error", "KeyError", "--json")
    assert json.loads(done.stdout) == {"retried": 1}
    assert (mlq.get_job(first)["state"], mlq.get_job(second)["state"]) == (State.DEAD, State.QUEUED)
    assert cli("dlq", "retry", "--all", "--queue", "default").stderr == b"1 job will run again\n"
    assert cli("dlq", "retry").returncode == 2
    assert cli("dlq", "retry", "1", "--all").returncode == 2


@pytest.mark.parametrize("words", [("dlq", "purge"), ("queue", "purge", "default"), ("queue", "release", "default")])
def test_what_cannot_be_undone_needs_a_yes_where_nobody_can_be_asked(
    cli: Run, mlq: MLQ, end: End, words: tuple[str, ...]
) -> None:
    end(error=("ValueError", "no"))
    mlq.post("x")
    mlq.store.ask(mlq.store.claim(["default"], 1, worker="w", lane="l", token="t", rules=Rules()))
    mlq.post("y")
    before = mlq.counts()[0].states
    done = cli(*words)
    assert done.returncode == 2
    assert "--yes" in done.stderr.decode()
    assert mlq.counts()[0].states == before
    assert cli(*words, "--yes").returncode == 0
    assert mlq.counts()[0].states != before


def test_a_queue_is_paused_and_resumed(cli: Run, mlq: MLQ) -> None:
    mlq.post("x")
    assert cli("queue", "pause", "default").stderr == b"queue default is paused, 1 job waiting\n"
    (queue,) = _documents(cli("queue", "list", "--json").stdout)
    assert (queue["queue"], queue["paused"], queue["states"]["queued"]) == ("default", True, 1)
    assert cli("queue", "resume", "default", "--quiet").stderr == b""
    assert not mlq.counts()[0].paused


def test_status_is_one_document_and_plain_lines_in_a_pipe(cli: Run, end: End, namespace: str) -> None:
    end(1)
    document = json.loads(cli("status", "--json").stdout)
    assert document["namespace"] == namespace
    assert document["queues"][0]["states"]["succeeded"] == 1
    assert cli("status").stdout.decode().split("\t")[:2] == ["default", "0"]
    assert cli("workers").stdout == b""


def test_status_tells_of_lost_leases_and_refused_outcomes(cli: Run, mlq: MLQ) -> None:
    mlq.post("x")
    store, rules = mlq.store, Rules()
    assert b"refused" not in cli("status").stderr
    (job,) = store.ask(store.claim(["default"], 1, worker="w", lane="l", token="first", rules=rules)).jobs
    mlq.release()
    late = Outcome(job.id, "first", Kind.DONE, 0.1, b"", pack(1))
    assert store.ask(store.finish([late], rules=rules)) == {job.id: "queued"}
    assert b"1 outcomes refused: they came too late\n" in cli("status").stderr


def test_settings_say_where_they_come_from(cli: Run, namespace: str) -> None:
    settings = json.loads(cli("config", "show", "--json", "--redis-url", "redis://me:secret@nowhere/0").stdout)
    assert settings["redis.url"] == {"value": "redis://me:****@nowhere/0", "from": "flag"}
    assert settings["namespace"] == {"value": namespace, "from": "MLQ_NAMESPACE"}
    assert settings["worker.lease"]["from"] == "default"


def test_the_secret_is_shown_as_receivers_take_it_and_masked_elsewhere(cli: Run, tmp_path: Path) -> None:
    none = cli("config", "secret")
    assert none.returncode == 7 and b"config secret --new" in none.stderr
    text = base64.b64encode(b"any text").decode()
    assert cli("config", "secret", env={"MLQ_SECRET": "any text"}).stdout == f"whsec_{text}\n".encode()
    two = "whsec_b2xk whsec_bmV3"
    assert cli("config", "secret", env={"MLQ_SECRET": two}).stdout.decode().split() == two.split()
    settings = json.loads(cli("config", "show", "--json", env={"MLQ_SECRET": two}).stdout)
    assert settings["secret"] == {"value": "****", "from": "MLQ_SECRET"}
    new = cli("config", "secret", "--new").stdout.decode()
    assert new.startswith("whsec_") and new != cli("config", "secret", "--new").stdout.decode()
    mine = {"MLQ_REDIS_URL": "", "MLQ_REDIS_DATA": str(tmp_path / "data")}
    assert cli("config", "secret", env=mine).stdout.decode().strip() == (tmp_path / "data" / "secret").read_text()
    assert not (tmp_path / "data" / "redis.sock").exists(), "to tell it, no server has to be started"


def test_checking_connects_and_warns(cli: Run) -> None:
    done = cli("config", "check")
    assert done.returncode == 0
    assert b"answers" in done.stdout
    assert b"warning: the append-only file is off" in done.stderr


def test_a_server_that_a_url_names_is_not_ours_to_stop(cli: Run) -> None:
    for verb in ("start", "stop"):
        done = cli("redis", verb)
        assert done.returncode == 7
        assert "not ours" in one_line_error(done)
    assert json.loads(cli("redis", "status", "--json").stdout)["running"] is True
