"""`mlq get --follow`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from mlq_cli import MLQ
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.store.base import Held, Part, Progress
from tests_support import wait_until

from .conftest import Run, one_line_error

RULES = Rules(retries=0)


def running(mlq: MLQ, *parts: Any) -> Held:
    """A job that has emitted this."""
    job_id = mlq.post("x")
    held = Held(job_id, f"token{job_id}")
    claim = mlq.store.claim(["default"], 1, worker="w", lane="w", token=held.token, rules=RULES)
    assert len(mlq.store.ask(claim).jobs) == 1
    emit(mlq, held, *parts)
    return held


def emit(mlq: MLQ, held: Held, *values: Any, first: int = 1) -> None:
    parts = [Part(*held, serial, pack(value)) for serial, value in enumerate(values, first)]
    assert mlq.store.ask(mlq.store.emit(parts)) == 0


def finish(mlq: MLQ, held: Held, result: Any = None, kind: Kind = Kind.DONE) -> str:
    third = (b"", pack(result), b"") if kind is Kind.DONE else (b"ValueError", b"no", b"")
    mlq.store.ask(mlq.store.finish([Outcome(*held, kind.value, 0.1, *third)], rules=RULES))
    return held.id


def test_text_is_printed_as_it_came_and_other_values_as_lines_of_json(cli: Run, mlq: MLQ) -> None:
    job_id = finish(mlq, running(mlq, "Once ", "upon a time\n", "there", {"n": 1}, [2], b"\xff", "", "end"), "whole")
    done = cli("get", job_id, "--follow")
    assert done.stdout == b'Once upon a time\nthere\n{"n":1}\n[2]\n{"$bytes":"/w=="}\nend'
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_job_that_emits_nothing_gives_its_result(cli: Run, mlq: MLQ) -> None:
    assert cli("get", finish(mlq, running(mlq), 18), "--follow").stdout == b"18\n"


def test_the_outcome_is_the_exit_code_and_the_parts_are_there(cli: Run, mlq: MLQ) -> None:
    failed = cli("get", finish(mlq, running(mlq, "half"), kind=Kind.ERROR), "--follow")
    assert (failed.returncode, failed.stdout) == (5, b"half") and "ValueError: no" in one_line_error(failed)
    held = running(mlq, "half")
    mlq.cancel(held.id)
    assert cli("get", held.id, "--follow").returncode == 6
    assert cli("get", "999", "--follow").returncode == 3
    waiting = cli("get", running(mlq, "half").id, "--follow", "--wait", "0.2")
    assert (waiting.returncode, waiting.stdout) == (4, b"half")


def test_with_json_every_event_is_a_line(cli: Run, mlq: MLQ) -> None:
    held = running(mlq, {"b": b"1"})
    mlq.store.ask(mlq.store.progress([Progress(*held, pack(50))]))
    done = cli("get", finish(mlq, held), "--follow", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["state", "part", "progress", "state"]
    assert lines[0]["value"]["state"] == "running" and lines[0]["id"]
    assert lines[1]["value"] == {"b": {"$bytes": "MQ=="}} and lines[2]["value"] == 50
    failed = cli("get", finish(mlq, running(mlq), kind=Kind.ERROR), "--follow", "--json")
    assert failed.returncode == 5 and json.loads(failed.stdout)["value"]["error"] == "ValueError: no"


@pytest.mark.parametrize("flag", [["--short"], ["--progress"], ["--traceback"], ["-o", "file"]])
def test_other_ways_to_print_do_not_go_with_it(cli: Run, flag: list[str]) -> None:
    assert cli("get", "1", "--follow", *flag).returncode == 2


def test_a_person_sees_parts_at_once_states_beside_them_and_nothing_that_a_terminal_obeys(
    mlq: MLQ, redis_url: str, namespace: str
) -> None:
    held = running(mlq, "one\x1b[31m ")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "MLQ_REDIS_URL": redis_url, "MLQ_NAMESPACE": namespace}
    command = [sys.executable, "-m", "mlq_cli", "get", held.id, "--follow"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    os.set_blocking(ours, False)
    seen = b""

    def shows(words: bytes) -> bool:
        nonlocal seen
        try:
            seen += os.read(ours, 65536)
        except (BlockingIOError, OSError):
            pass  # nothing new, or the other end is closed
        return words in seen

    wait_until(lambda: shows(b"one\\x1b[31m "), seconds=20)
    emit(mlq, held, "two", first=2)
    wait_until(lambda: shows(b" two"))
    mlq.store.ask(mlq.store.progress([Progress(*held, pack(50))]))
    wait_until(lambda: shows(b"two\r\njob " + held.id.encode() + b": 50\r\n"))
    finish(mlq, held, "unseen")
    wait_until(lambda: shows(b": succeeded\r\n"))
    assert process.wait(10) == 0 and b"\x1b[31m" not in seen
    os.close(ours)
