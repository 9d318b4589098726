"""Hostile jobs: each is classified, and leaves the worker, its next job, its descriptors and its folders as they were.

Most of them meet one and the same worker, one after another: what one leaves behind is the trouble of the next.
J-1 to J-16 are the lines of the plan of tests that they belong to.
"""

from __future__ import annotations

import contextvars
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlq_cli import MLQ, State
from mlq_cli.model import generation
from mlq_cli.model.errors import NotCarried, Refused
from mlq_cli.store.redis.embedded import _environment as server_environment
from mlq_cli.worker.failure import described
from mlq_cli.worker.output import LAST, MOST
from tests_support import alive, wait_until

IMPORTABLE = Path(__file__).parent / "importable"
NAME = f"ward{os.getpid()}"  # of the worker: the same tests may be running beside these
MARK = f"MLQ_WORKER={NAME}".encode()
SOON = 3.0  # seconds; a second is meant, on a machine that others use too
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel has to tell of other processes")


class Ward:
    """One worker that all have to live with."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.mlq = MLQ.from_profile(redis_url=url, namespace=f"hostile{os.getpid()}")
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.folder = folder
        options: dict[str, Any] = {
            "functions": ["hostile:hostile"],
            "paths": [str(IMPORTABLE)],
            "name": NAME,
            "grace": 2.0,
        }
        options["memory_limit"] = 768 << 20
        rules = {"lease": 10.0, "backoff": 0.01, "max_crashes": 0}
        given = {"url": url, "namespace": self.mlq.namespace, "options": options, "rules": rules}
        with (folder / "log").open("w") as log:
            self.worker = subprocess.Popen(
                [sys.executable, str(IMPORTABLE / "run_worker.py"), json.dumps(given)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.temporary,
                env={**os.environ, "TMPDIR": str(self.temporary)},
            )  # fmt: skip

    def begin(self) -> None:
        assert self.mlq.wait(self.mlq.post("fine"), 20) == "fine", shown(self)
        # Its bells are opened a moment after the first job: counted is what has stayed the same for a second.
        seen: deque[int] = deque(maxlen=150)
        wait_until(lambda: seen.append(self.held()) or (len(seen) == 150 and len(set(seen)) == 1), seconds=20)
        self.descriptors = seen[-1]

    def held(self) -> int:
        return len(os.listdir(f"/proc/{self.worker.pid}/fd"))

    def run(self, name: str, argument: Any = None, **options: Any) -> dict[str, Any]:
        """Run a job to its end, whatever that is, and return its record."""
        job_id = self.mlq.post([name, argument], **options)
        self.mlq.wait_ended(job_id, 30)
        return dict(self.mlq.get_job(job_id))

    def check(self) -> None:
        """It still is as it was: same process, the next job soon, nothing left."""
        began = time.monotonic()
        assert self.mlq.wait(self.mlq.post("fine"), 20) == "fine"
        assert time.monotonic() - began < SOON
        assert self.worker.poll() is None
        if sys.platform == "linux":
            wait_until(lambda: self.strangers() == [], seconds=SOON)
            wait_until(lambda: self.held() <= self.descriptors, seconds=SOON)
        assert os.listdir(self.temporary) == []

    def strangers(self) -> list[str]:
        """Return the processes around the worker that are neither its executor nor the guard of that."""
        marked, children = [], []
        for process in processes():
            ours = MARK in process.environment
            if ours:
                marked.append(process)
            if process.parent == self.worker.pid:
                children.append(process)
        executors = [each for each in marked if each.parent == self.worker.pid and each.group == each.pid]
        groups = {each.pid for each in executors}
        guards = [each for each in children if each not in executors and each.group in groups and not each.environment]
        known = {each.pid for each in (*executors[:1], *guards[:1])}
        return [str(each) for each in (*marked, *children) if each.pid not in known or each.state == "Z"]


class Process(NamedTuple):
    pid: int
    name: str
    state: str
    parent: int
    group: int
    environment: list[bytes]


def processes() -> list[Process]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
                environment = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            command, _, rest = stat.partition("(")[2].rpartition(")")
            state, parent, group = rest.split()[:3]
            words = [word for word in environment.split(b"\0") if word and not word.startswith(b"PWD=")]
            found.append(Process(int(name), command, state, int(parent), int(group), words))
    return found


@pytest.fixture(scope="module")
def shared_ward(redis_url: str) -> Iterator[Ward]:
    with tempfile.TemporaryDirectory(prefix="mlq", dir="/tmp") as folder:
        ward = Ward(redis_url, Path(folder))
        try:
            ward.begin()
            yield ward
            ward.worker.terminate()
            assert ward.worker.wait(20) == 0
        finally:
            ward.worker.kill()
            ward.worker.wait()
        left = [str(each) for each in processes() if MARK in each.environment and each.state != "Z"]
        assert left == []
        ward.mlq.close()


@pytest.fixture
def ward(shared_ward: Ward) -> Iterator[Ward]:
    yield shared_ward
    shared_ward.check()


# --- J-1, J-2, J-3, J-6, J-8: crashes -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "argument", "words"),
    [
        ("segfault", None, "SIGSEGV"),
        ("abort", None, "SIGABRT"),
        ("exit_0", None, "exited with code 0 and without an outcome"),
        ("exit_3", None, "exited with code 3"),
        ("kill_group", None, "SIGKILL"),
        ("recurse_in_c", None, "SIGSEGV"),
        ("garbage", b"no frame at all\n", "something else than outcomes"),
        ("garbage", b"\x00" * 100_000, "something else than outcomes"),
        ("garbage", b"\xc7\xff\xff", ""),
        ("forge", ["done", "ID", "TOKEN", "soon", b"", b"\xc0", b""], "something else than outcomes"),
        ("forge", ["done", "ID", "TOKEN", math.nan, b"", b"\xc0", b""], "something else than outcomes"),
        ("forge", ["done", "ID", "TOKEN", 1.0, b"", "text", b""], "something else than outcomes"),
        ("forge", ["done", ["ID"], "TOKEN", 1.0, b"", b"\xc0", b""], "something else than outcomes"),
        ("forge", ["progress", "ID", "TOKEN", 50], "something else than outcomes"),
        ("forge", ["ready", 1, -5], "something else than outcomes"),
        ("forge", ["broken", 1, 2], "something else than outcomes"),
    ],
)
def test_a_crash_is_a_crash_however_it_comes_about(ward: Ward, name: str, argument: Any, words: str) -> None:
    # What a job forges may also be the beginning of a frame that never ends: its timeout sees to that.
    record = ward.run(name, argument, timeout=1.0 if not words else None)
    assert record["state"] is State.DEAD and record["attempt"] == 1
    if words:
        assert (record["error_type"], record["crashes"]) == ("ExecutorCrash", 1)
        assert words in record["error"]
    else:
        assert record["error_type"] == "JobTimeout"


def test_a_segfault_leaves_its_stack_and_the_last_words_in_the_traceback(ward: Ward) -> None:
    trace = str(ward.run("segfault_with_words")["traceback"])
    assert "the last words\nFatal Python error: Segmentation fault" in trace
    assert "hostile.py" in trace and "in segfault_with_words" in trace
    assert len(trace) <= LAST


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sys_exit", "SystemExit"), ("interrupt", "KeyboardInterrupt"), ("base_exception", "BaseException"),
        ("recurse", "RecursionError"),
    ],
)  # fmt: skip
def test_whatever_is_raised_is_an_error_and_no_crash(ward: Ward, name: str, kind: str) -> None:
    record = ward.run(name)
    assert (record["state"], record["error_type"], record["crashes"]) == (State.DEAD, kind, 0)


# --- forks and groups -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("how", "code"), [("return", 0), ("raise", 1), ("exit", 3)])
def test_a_child_that_comes_out_of_the_listener_too_ends_there_and_its_parents_word_counts(
    ward: Ward, how: str, code: int
) -> None:
    record = ward.run("fork_and", how)
    assert (record["state"], record["result"]) == (State.SUCCEEDED, code)


def test_a_child_that_comes_out_of_an_async_listener_ends_there(mlq: MLQ, start_worker: Any) -> None:
    start_worker("hostile:fork_and_return")
    assert [mlq.wait(mlq.post("return"), 20) for _ in range(3)] == [0, 0, 0]


@LINUX
def test_an_executor_whose_job_has_signalled_its_group_still_ends_with_its_worker(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("hostile:hostile", name="signalled")
    assert mlq.wait(mlq.post(["signal_group", None]), 20) == "still here"
    sleeping = mlq.post(["pause", 60.0])
    wait_until(lambda: mlq.get_job(sleeping)["state"] is State.RUNNING)
    worker.kill()
    worker.wait()
    wait_until(lambda: not any(b"MLQ_WORKER=signalled" in each.environment for each in processes()), seconds=SOON)


# --- J-3, J-5: what does not end ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["spin", "hold_the_lock", "bad_pattern", "stop_self"])
def test_what_does_not_end_is_ended_by_its_timeout(ward: Ward, name: str) -> None:
    record = ward.run(name, timeout=0.5)
    assert (record["state"], record["error_type"], record["crashes"]) == (State.DEAD, "JobTimeout", 0)
    assert 0.5 <= record["processing_finished"] - record["processing_started"] < 0.5 + SOON


def test_a_job_that_kills_its_worker_is_taken_up_by_another(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    first = start_worker("hostile:hostile", lease=1.0)
    job_id = mlq.post(["kill_parent", str(tmp_path / "killed")])
    assert first.wait(20) == -signal.SIGKILL
    start_worker("hostile:hostile", lease=1.0)
    assert mlq.wait(job_id, 20) == "ran again"
    assert mlq.get_job(job_id)["retries"] == 1


# --- J-4: memory ----------------------------------------------------------------------------------------------------
@LINUX
def test_a_job_over_the_memory_limit_is_killed_as_a_crash_of_its_own_kind(ward: Ward) -> None:
    record = ward.run("grow", 4000, timeout=20)
    assert (record["state"], record["error_type"], record["crashes"]) == (State.DEAD, "MemoryLimit", 1)
    assert "MiB of memory, over the limit of 768 MiB, and was killed" in record["error"]
    grown = float(re.search(r"used ([\d,]+) MiB", record["error"])[1].replace(",", ""))  # type: ignore[index]
    assert grown < 4000, "before it had all that it wanted"


# --- J-7: what is left running --------------------------------------------------------------------------------------
@LINUX
@pytest.mark.parametrize("name", ["daemon", "daemon_that_shouts", "background"])
def test_what_a_job_leaves_running_delays_nothing_and_is_ended(ward: Ward, name: str) -> None:
    path = ward.folder / f"{name}.pid"
    ward.run("pause", 0.05)  # what is started with the executor would be taken for its setup's
    record = ward.run(name, str(path))
    ended_at = time.monotonic()
    assert record["result"] == "left"
    assert record["processing_finished"] - record["processing_started"] < SOON
    wait_until(lambda: not alive(int(path.read_text())), seconds=2 * SOON)
    assert time.monotonic() - ended_at < 2 * SOON


@LINUX
def test_a_daemon_lives_as_long_as_the_job_that_started_it(ward: Ward) -> None:
    started, go = ward.folder / "stays.pid", ward.folder / "go"
    ward.run("pause", 0.05)  # what is started with the executor would be taken for its setup's
    job_id = ward.mlq.post(["daemon_and_stay", {"daemon": str(started), "go": str(go)}])
    pid = int(wait_until(started.read_text))
    looks_until = time.monotonic() + 1.6
    wait_until(lambda: not alive(pid) or time.monotonic() > looks_until)
    assert alive(pid) and ward.mlq.get_job(job_id)["state"] is State.RUNNING
    go.touch()
    assert ward.mlq.wait(job_id, 20) == "stayed"
    wait_until(lambda: not alive(pid), seconds=2 * SOON)


@LINUX
def test_a_daemon_of_a_crashed_executor_is_ended(ward: Ward) -> None:
    path = ward.folder / "crashed.pid"
    assert ward.run("daemon_then_crash", str(path))["error_type"] == "ExecutorCrash"
    wait_until(lambda: not alive(int(path.read_text())), seconds=2 * SOON)


@LINUX
def test_what_the_setup_starts_lives_as_long_as_its_executor(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    worker = start_worker("hostile:hostile", setup="hostile:start_helper", lease=30.0)
    assert mlq.wait(mlq.post("fine"), 20) == "fine"
    pid = int(wait_until((tmp_path / "helper").read_text))
    looks_until = time.monotonic() + 1.6
    wait_until(lambda: not alive(pid) or time.monotonic() > looks_until)
    assert mlq.wait(mlq.post("fine"), 20) == "fine" and alive(pid)
    worker.terminate()
    assert worker.wait(20) == 0
    wait_until(lambda: not alive(pid), seconds=SOON)


def test_a_private_server_that_a_job_happens_to_start_is_not_taken_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLQ_WORKER", "ward")
    monkeypatch.setenv("MLQ_EXECUTOR", "0")
    assert {"MLQ_WORKER", "MLQ_EXECUTOR"}.isdisjoint(server_environment()) and "PATH" in server_environment()


# --- J-8: descriptors -----------------------------------------------------------------------------------------------
def test_a_job_that_uses_up_the_descriptors_fails_and_its_executor_is_replaced(ward: Ward) -> None:
    before = ward.run("state")["result"]["pid"]
    record = ward.run("leak_descriptors")
    assert (record["error_type"], record["crashes"]) == ("OSError", 0) and "Too many open files" in record["error"]
    assert ward.run("state")["result"]["pid"] != before


def test_an_async_executor_that_has_used_up_the_descriptors_is_replaced(mlq: MLQ, start_worker: Any) -> None:
    start_worker("hostile:leak_descriptors_async")
    before = mlq.wait(mlq.post("pid"), 20)
    failing = mlq.post("leak")
    mlq.wait_ended(failing, 20)
    assert mlq.get_job(failing)["error_type"] == "RuntimeError"
    assert mlq.wait(mlq.post("pid"), 20) != before


@pytest.mark.parametrize("name", ["close_foreign", "close_stdout"])
def test_an_executor_whose_descriptors_a_job_has_closed_is_replaced(ward: Ward, name: str) -> None:
    before = ward.run("state")["result"]["pid"]
    assert ward.run(name)["state"] is State.SUCCEEDED
    assert ward.run("state")["result"]["pid"] != before


# --- J-9: output ----------------------------------------------------------------------------------------------------
def shown(ward: Ward) -> str:
    return (ward.folder / "log").read_text(errors="replace")


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("shout", 200),
        ("log_lines", 30_000),
        pytest.param("shout", 1000, marks=pytest.mark.minutes),
        pytest.param("log_lines", 1_000_000, marks=pytest.mark.minutes),
    ],
)
def test_what_a_job_prints_is_shown_up_to_a_limit_and_said_to_be_cut(ward: Ward, name: str, argument: int) -> None:
    before = len(shown(ward))
    job_id = ward.mlq.post([name, argument])
    ward.mlq.wait_ended(job_id, 110)
    record = ward.mlq.get_job(job_id)
    assert record["state"] is State.SUCCEEDED and record["attempt"] == 1, "its lease was renewed all the time"
    assert ward.run("say", "and another")["result"] == "said"
    wait_until(lambda: {"and another", "and another on stderr"} <= set(shown(ward)[before:].splitlines()))
    said = shown(ward)[before:]
    assert said.count(f"job {job_id} printed more than 1 MiB; further output is not shown") == 1
    # A little may come after its end and count as the next one's.
    assert MOST <= len(said) < MOST + 200_000


def test_lines_of_two_executors_are_not_torn_into_each_other(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("hostile:say_in_pieces", executors=2)
    for job_id in [mlq.post(letter) for letter in "abababab"]:
        mlq.wait(job_id, 30)
    wait_until(lambda: sum(line in ("a" * 100, "b" * 100) for line in worker.log().splitlines()) == 8 * 200)
    torn = [line for line in worker.log().splitlines() if line[:1] in "ab" and line not in ("a" * 100, "b" * 100)]
    assert torn == []


def test_an_unfinished_line_is_shown_while_its_job_runs(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("hostile:hostile")
    mlq.post("prompt")
    wait_until(lambda: worker.log().endswith("50 % …"))


def test_a_worker_whose_stdout_nobody_reads_any_more_goes_on(redis_url: str, namespace: str, mlq: MLQ) -> None:
    options = {"functions": ["hostile:hostile"], "paths": [str(IMPORTABLE)]}
    given = {"url": redis_url, "namespace": namespace, "options": options, "rules": {}}
    command = [sys.executable, str(IMPORTABLE / "run_worker.py"), json.dumps(given)]
    worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert worker.stdout is not None
    try:
        assert mlq.wait(mlq.post(["say", "heard"]), 20) == "said"
        assert worker.stdout.readline() == b"heard\n"
        stalled = mlq.post(["shout", 3])  # nobody reads: it waits, and the worker does not
        alive_at = wait_until(lambda: mlq.get_job(stalled)["state"] is State.RUNNING and time.monotonic())
        wait_until(lambda: time.monotonic() > alive_at + 0.5 or worker.poll() is not None)
        assert mlq.get_job(stalled)["state"] is State.RUNNING
        worker.stdout.close()
        assert mlq.wait(stalled, 20) == "shouted"
        assert mlq.wait(mlq.post(["say", "unheard"]), 20) == "said"
        worker.terminate()
        assert worker.wait(20) == 0
    finally:
        worker.kill()
        worker.wait()


def test_an_executor_that_crashes_while_it_starts_says_why(start_worker: Any) -> None:
    worker = start_worker("hostile:hostile", setup="hostile:crash_at_import")
    assert worker.wait(20) == 2
    error = worker.log().partition("error: ")[2]
    assert "the worker cannot start: its executor was killed by signal 11 (SIGSEGV)" in error
    assert "the card is on fire" in error and "in crash_at_import" in error


# --- J-10, J-13: values and errors ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("lambda", "NotCarried", "type function"),
        ("iterator", "NotCarried", "type range_iterator"),
        ("odd", "NotCarried", "hostile.Odd"),
        ("long name", "NotCarried", "NNNNN"),
        ("deep", "NotCarried", "nested too deeply"),
        ("surrogate", "NotCarried", "not valid Unicode"),
        ("long short result", "TooLarge", "over the limit"),
    ],
)
def test_a_value_that_cannot_be_carried_is_a_clear_error(ward: Ward, what: str, kind: str, words: str) -> None:
    record = ward.run("give", what)
    assert (record["error_type"], record["crashes"]) == (kind, 0)
    assert words in record["error"] and len(record["error"]) <= 65_536 + 210  # and its type


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("loud", "Loud", "xxxxx"),
        ("deep", "Deep", "(its message cannot be shown)"),
        ("worded", "Worded", "odd words"),
        ("nameless", "Exception", "no words"),
        ("long name", "N" * 200, ""),
        ("cycle", "ValueError", "first"),
        ("control", "ValueError", "\0?\u2028\u202e\x1b[31m"),
    ],
)
def test_an_error_is_told_in_bounds_whatever_it_says(ward: Ward, what: str, kind: str, words: str) -> None:
    record = ward.run("fail", what)
    assert (record["error_type"], record["crashes"]) == (kind, 0)
    assert words in record["error"] and len(record["error"]) <= 65_536 + 210  # and its type
    trace = record["traceback"] or ""  # there is none of an error whose type has no name
    assert len(trace) <= 65_536 + 10 and ("in fail" in trace or what == "nameless")


def test_a_long_traceback_keeps_its_frames_and_its_end() -> None:
    try:
        raise ValueError("x" * 1_000_000 + "the end")
    except ValueError as error:
        _, message, trace = described(error)
    assert len(message) == 65_536
    assert b"test_hostile.py" in trace and trace.endswith(b"the end\n") and len(trace) < 66_000


@pytest.mark.parametrize(
    "value",
    ["a\0b", "\u2028\u2029", "\u202eabc", "👩\u200d🔬", "\ufeffbom", math.inf, -math.inf, -0.0, 10**5000, "1e400",
     b"\xff", {"__proto__": 1, "": None}],
    ids=lambda value: repr(value)[:12] if not isinstance(value, int) else "10**5000",
)  # fmt: skip
def test_odd_values_come_back_as_they_went(ward: Ward, value: Any) -> None:
    result = ward.run("echo", value)["result"]
    assert result == value and type(result) is type(value)
    assert not isinstance(value, float) or math.copysign(1, result) == math.copysign(1, value)


def test_nan_and_numbers_of_any_size_come_back(ward: Ward) -> None:
    assert math.isnan(ward.run("echo", math.nan)["result"])
    assert ward.run("big_number")["result"] == 10**5000


def test_a_message_that_cannot_be_carried_is_refused_before_it_is_sent(mlq: MLQ) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for message in (deep, "\ud800", object(), {"key": "\udfff"}):
        with pytest.raises(NotCarried):
            mlq.post(message)
    assert mlq.list_jobs() == []


# --- J-14: what a job changes ---------------------------------------------------------------------------------------
def test_what_a_job_changes_of_its_process_is_put_back(ward: Ward) -> None:
    before = ward.run("state")["result"]
    assert ward.run("change_everything", "/")["result"] == "changed"
    begin = len(shown(ward))
    assert ward.run("state")["result"] == before, "and in the same process"
    wait_until(lambda: "this one prints\n" in shown(ward)[begin:])


def test_an_async_executor_puts_back_what_was_changed_once_it_is_idle(mlq: MLQ, start_worker: Any) -> None:
    start_worker("hostile:state_async")
    before = mlq.wait(mlq.post("state"), 20)
    long, changing = mlq.post("wait"), mlq.post("/")
    assert mlq.wait(changing, 20)["cwd"] == "/" == mlq.wait(long, 20)["cwd"]
    assert mlq.wait(mlq.post("state"), 20) == before


def test_modules_that_a_job_has_changed_last_as_long_as_its_executor(mlq: MLQ, start_worker: Any) -> None:
    start_worker("hostile:hostile", max_jobs=1)
    pid = mlq.wait(mlq.post(["change_modules", None]), 20)
    other, dumped = mlq.wait(mlq.post(["modules", None]), 20)
    assert other != pid and dumped == "1"


# --- J-15: longer than the lease ------------------------------------------------------------------------------------
@pytest.mark.parametrize("leases", [3, pytest.param(20, marks=pytest.mark.minutes)])
def test_a_job_that_runs_for_many_leases_runs_once(mlq: MLQ, start_worker: Any, tmp_path: Path, leases: int) -> None:
    start_worker("hostile:long", lease=1.0)
    start_worker("hostile:long", lease=1.0)
    job_id = mlq.post({"file": str(tmp_path / "ran"), "seconds": leases * 1.0})
    assert mlq.wait(job_id, 60) == "ran"
    record = mlq.get_job(job_id)
    assert (record["attempt"], record["retries"]) == (1, 0) and (tmp_path / "ran").read_text() == "ran\n"


# --- J-16: a job that posts itself ------------------------------------------------------------------------------------
def test_a_job_that_posts_itself_without_end_is_stopped_by_a_clear_error(ward: Ward) -> None:
    record = ward.run("breed", [ward.url, ward.mlq.namespace])
    for number in range(5):
        assert record["state"] is State.SUCCEEDED, number
        ward.mlq.wait_ended(record["result"], 20)
        record = dict(ward.mlq.get_job(record["result"]))
    assert (record["state"], record["error_type"]) == (State.DEAD, "Refused")
    assert "6th in its chain" in record["error"]


def test_what_is_posted_for_later_begins_a_chain_of_its_own() -> None:
    context = contextvars.copy_context()
    context.run(generation.enter, 100)
    assert context.run(generation.next_generation, 100, later=False) == 100
    assert context.run(generation.next_generation, 100, later=True) == 0
    context.run(generation.enter, 101)
    with pytest.raises(Refused):
        context.run(generation.next_generation, 100, later=False)
    assert context.run(generation.next_generation, None, later=False) == 101
    assert generation.next_generation(0, later=False) == 0, "outside of any job"


# --- J-11: results of every size --------------------------------------------------------------------------------------
LIMIT = 1_000_000  # bytes of a packed result, five of them its head: see run_worker.py


@pytest.mark.parametrize("size", [0, 1, 8_192, LIMIT - 6, LIMIT - 5])
def test_a_result_up_to_its_limit_comes_back_whole(ward: Ward, size: int) -> None:
    assert ward.run("result_of", size)["result"] == b"x" * size


@pytest.mark.parametrize("size", [LIMIT - 4, 64 << 20])
def test_a_result_over_its_limit_is_an_error_and_the_executor_goes_on(ward: Ward, size: int) -> None:
    record = ward.run("result_of", size)
    assert (record["state"], record["error_type"], record["crashes"]) == (State.DEAD, "TooLarge", 0)
