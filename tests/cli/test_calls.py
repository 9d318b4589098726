"""Calls on the command line: shown as one would write them, and run by `mlq worker --calls`."""

from __future__ import annotations

import json

from mlq_cli import MLQ
from mlq_cli.model.call import Call

from .conftest import Run


def test_a_call_is_shown_readably_in_lists_and_as_an_object_in_json(cli: Run, mlq: MLQ) -> None:
    job_id = mlq.post_call(Call("pkg.mod:func", (1, "a\x1b]b"), {"x": b"\x00"}))
    (line,) = cli("list").stdout.decode().splitlines()
    assert line.endswith("\tpkg.mod:func(1, 'a\\x1b]b', x=b'\\x00')"), line
    expected = {"call": "pkg.mod:func", "args": [1, "a\x1b]b"], "kwargs": {"x": {"$bytes": "AA=="}}}
    assert json.loads(cli("list", "--json").stdout)["msg"] == expected
    assert json.loads(cli("get", job_id, "--json").stdout)["msg"] == expected


def test_a_worker_runs_calls_of_the_modules_that_it_is_told(cli: Run, mlq: MLQ) -> None:
    ids = [mlq.post_call(Call("textwrap:shorten", ("a b c", 3), {"placeholder": ""})), mlq.post_call(Call("os:getcwd"))]
    done = cli("worker", "--calls", "textwrap", "--calls", "os.path:basename", "--burst", "--quiet")
    assert done.returncode == 0, done.stderr
    assert mlq.get_result(ids[0]) == "a b"
    assert mlq.get_job(ids[1])["state"] != "succeeded"


def test_a_worker_without_any_function_says_what_it_could_be_given(cli: Run) -> None:
    done = cli("worker")
    assert done.returncode == 2 and "--calls package.module" in done.stderr.decode()
    done = cli("worker", "--calls", "no.such.module", "--burst", "--quiet")
    assert done.returncode == 2 and "there is no module 'no' whose functions could be called" in done.stderr.decode()
