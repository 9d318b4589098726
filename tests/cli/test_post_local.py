"""`mlq post --local`: results out, nothing posted, no server."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests_support import alive, wait_until

from .conftest import SOURCE

TASKS = """
import os, subprocess, sys, time

def square(msg):
    return msg * msg

def picky(msg):
    print("looking at", msg)
    subprocess.run(["echo", "from a child"])
    if msg % 3 == 0:
        raise ValueError(f"not {msg}\\nbut another")
    return {"n": msg, "ü": "\\x1b[31m"}

def crash(msg):
    os._exit(7)

def slow(msg):
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(msg)

def chain(msg, ctx):
    return msg if msg == 0 else 1 + ctx.block_until_result(ctx.post(msg - 1))
"""
#: Notes every connection that this process, or one that it starts, tries to make.
SPY = """
import os, sys

def hear(event, args):
    if event in ("socket.connect", "socket.bind"):
        with open(os.environ["SPY"], "a") as file:
            file.write(f"{event} {args[1]}\\n")

sys.addaudithook(hear)
"""

Here = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which mlq would start its own server, and any connection would be noted."""
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(SPY)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLQ_", "XDG_"))}
    return {
        **kept,
        "PYTHONPATH": f"{tmp_path / 'spy'}:{SOURCE}",
        "SPY": str(tmp_path / "connections"),
        "HOME": str(tmp_path),
        "MLQ_WORKER_BACKOFF": "0.01",
    }


@pytest.fixture
def here(environment: dict[str, str], tmp_path: Path) -> Iterator[Here]:
    """Run `mlq post … --local` beside tasks.py, and see afterwards that nobody has looked for a server."""
    (tmp_path / "tasks.py").write_text(TASKS)

    def run(*words: str, stdin: str | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlq_cli", "post", "--local", *words]
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
            **given,
            **more,
        )

    yield run
    assert not (tmp_path / "connections").exists(), (tmp_path / "connections").read_text()
    left = {path.name for path in tmp_path.iterdir()} - {"tasks.py", "spy", "__pycache__", "pids", "lines", "begun"}
    assert not left, "a folder of data"


def test_a_message_goes_in_and_its_result_comes_out_as_json(here: Here) -> None:
    done = here("7", "--fn", "tasks:square")
    assert (done.returncode, done.stdout, done.stderr) == (0, "49\n", "")


@pytest.mark.parametrize("size", ["1", "2"])
def test_each_line_gets_a_line_of_result_in_order(here: Here, size: str, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("".join(f"{number}\n" for number in range(2000)))
    done = here("--jsonl", "lines", "--fn", "tasks:square", "-x", size)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{number * number}\n" for number in range(2000))


@pytest.mark.parametrize("size", ["1", "2"])
def test_failures_are_told_with_their_lines_and_what_functions_print_is_no_result(here: Here, size: str) -> None:
    done = here("--jsonl", "-", "--fn", "tasks:picky", "-x", size, stdin="1\n\n3\n5\n6\n")
    assert done.returncode == 5
    assert done.stdout == '{"n":1,"ü":"\\u001b[31m"}\n{"n":5,"ü":"\\u001b[31m"}\n'
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("line ")] == [
        "line 3: ValueError: not 3",
        "line 5: ValueError: not 6",
    ]
    assert lines.count("from a child") == 4 and "looking at 5" in lines and lines[-1] == "2 of 4 failed"


def test_with_json_each_line_gets_its_whole_record(here: Here) -> None:
    done = here("--jsonl", "-", "--fn", "tasks:picky", "--json", "--quiet", stdin="1\n3\n")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(record["line"], record["state"], record["error"]) for record in records] == [
        (1, "succeeded", None),
        (2, "dead", "ValueError: not 3\nbut another"),
    ]
    assert "raise ValueError" in records[1]["traceback"] and "failed" not in done.stderr


def test_a_single_failure_is_an_error(here: Here) -> None:
    done = here("3", "--fn", "tasks:picky", "-v")
    assert (done.returncode, done.stdout) == (5, "")
    assert "error: ValueError: not 3" in done.stderr and "raise ValueError" in done.stderr


def test_a_crash_in_a_process_of_its_own_is_a_failure_of_its_line(here: Here) -> None:
    done = here("--jsonl", "-", "--fn", "tasks:crash", "-x", "2", stdin="1\n")
    assert done.returncode == 5 and "line 1: ExecutorCrash: its executor exited with code 7" in done.stderr


def test_jobs_may_post_and_wait_for_others(here: Here) -> None:
    assert here("5", "--fn", "tasks:chain", "-x", "2").stdout == "5\n"


def test_what_stands_before_a_bad_line_has_run(here: Here) -> None:
    done = here("--jsonl", "-", "--fn", "tasks:square", stdin="1\n2\noops\n4\n")
    assert (done.returncode, done.stdout) == (2, "1\n4\n")
    assert "all that stand before line 3" in done.stderr and "error: line 3: the message is no JSON" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1"], "--local needs a function"),
        (["1", "--fn", "tasks:square", "--callback", "http://x/"], "--callback and --local exclude each other"),
        (["1", "--fn", "tasks:square", "--wait", "5"], "--wait and --local exclude each other"),
        (["1", "--fn", "tasks:square", "--id", "mine"], "--id and --local exclude each other"),
        (["--jsonl", "-", "--fn", "tasks:square", "--parallel", "2"], "-x N runs N processes"),
        (["1", "--fn", "tasks:nothing"], "the module 'tasks' has no 'nothing'"),
        (["1", "--fn", "nowhere:nothing", "-x", "2"], "there is no module 'nowhere'"),
    ],
)
def test_what_makes_no_sense_is_refused(here: Here, words: list[str], said: str) -> None:
    done = here(*words)
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr


def test_flags_of_a_local_run_mean_nothing_without_it(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlq_cli", "post", "1", "--fn", "tasks:square"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 2 and "go with --local" in done.stderr


@pytest.mark.parametrize("size", ["1", "2"])
def test_results_come_out_while_more_lines_are_awaited(environment: dict[str, str], tmp_path: Path, size: str) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    words = ["post", "--local", "--jsonl", "-", "--fn", "tasks:square", "-x", size]
    with subprocess.Popen(
        [sys.executable, "-m", "mlq_cli", *words],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        for number in (3, 4):
            running.stdin.write(b"%d\n" % number)
            running.stdin.flush()
            assert running.stdout.readline() == b"%d\n" % (number * number)
        running.stdin.close()
        assert running.wait(timeout=30) == 0


@pytest.mark.parametrize("size", ["1", "2"])
def test_ctrl_c_is_quiet_and_leaves_no_process(environment: dict[str, str], tmp_path: Path, size: str) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "lines").write_text("60\n60\n60\n")
    words = ["post", "--local", "--jsonl", "lines", "--fn", "tasks:slow", "-x", size]
    with subprocess.Popen(
        [sys.executable, "-m", "mlq_cli", *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        begun = tmp_path / "pids"
        wait_until(lambda: begun.exists() and len(begun.read_text().split()) == int(size), seconds=30)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (130, b"", b"")
    wait_until(lambda: not any(alive(int(pid)) for pid in begun.read_text().split()))


def test_a_long_line_comes_as_fast_as_its_pipe_gives_it(environment: dict[str, str], tmp_path: Path) -> None:
    """A pipe holds 64 KiB, so this line comes in 300 parts, and each of them may not be there yet."""
    (tmp_path / "tasks.py").write_text("def measure(msg):\n    return len(msg)\n")
    command = [sys.executable, "-m", "mlq_cli", "post", "--jsonl", "-", "--local", "--fn", "tasks:measure"]
    began = time.monotonic()
    with subprocess.Popen(command, stdin=-1, stdout=-1, cwd=tmp_path, env=environment) as run:
        assert run.stdin is not None and run.stdout is not None
        run.stdin.write(b'"' + b"x" * 20_000_000 + b'"\n')
        run.stdin.close()
        assert run.stdout.read() == b"20000000\n"
    assert time.monotonic() - began < 8, "a look every 50 ms takes 15 s"


def test_a_reader_that_leaves_ends_the_run(here: Here, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "lines").write_text("7\n" * 50_000)
    command = (
        f"{sys.executable} -m mlq_cli post --local --jsonl lines --fn tasks:square | head -n 2; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("49\n49\n141\n", "")


def test_a_bar_moves_on_a_terminal_while_results_go_to_a_file(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "lines").write_text("0.1\n" * 8)
    ours, theirs = pty.openpty()
    words = ["post", "--local", "--jsonl", "lines", "--fn", "tasks:slow"]
    with subprocess.Popen(
        [sys.executable, "-m", "mlq_cli", *words],
        cwd=tmp_path,
        env={**environment, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        shown = b""
        while True:
            try:
                if not (data := os.read(ours, 4096)):
                    break
            except OSError:
                break
            shown += data
        assert running.stdout is not None
        assert running.stdout.read() == b"null\n" * 8 and running.wait(timeout=30) == 0
    os.close(ours)
    assert b"running" in shown and b"8/8" in shown
