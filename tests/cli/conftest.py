"""What the tests of the command line share: a way to run `mlq`, and to end jobs without a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack

SOURCE = Path(__file__).parents[2] / "src"

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
End = Callable[..., str]


@pytest.fixture
def cli(redis_url: str, namespace: str, tmp_path: Path) -> Run:
    """Run `mlq` as a process of its own, in an empty folder, on the test's server and namespace."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLQ_")}
    environment |= {
        "PYTHONPATH": str(SOURCE),
        "MLQ_REDIS_URL": redis_url,
        "MLQ_NAMESPACE": namespace,
        "HOME": str(tmp_path),
        "COLUMNS": "80",
    }

    def run(
        *words: str | bytes, stdin: bytes | None = None, env: dict[str, str] | None = None, **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 30} | more
        if stdin is None:
            given["stdin"] = subprocess.DEVNULL
        else:
            given["input"] = stdin
        command = [sys.executable, "-m", "mlq_cli", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment | (env or {}), check=False, **given)

    return run


@pytest.fixture
def end(mlq: MLQ) -> End:
    """Post a job and bring it to an end as a worker would; returns its id."""

    def end(
        result: Any = None, *, short: str | None = None, error: tuple[str, str] | None = None, queue: str = "default"
    ) -> str:
        job_id = mlq.post("a message", queue=queue)
        store, rules = mlq.store, Rules()
        claims = store.ask(store.claim([queue], 1, worker="w", lane="l", token=f"token{job_id}", rules=rules))
        assert [job.id for job in claims.jobs] == [job_id]
        if error is None:
            first = b"" if short is None else b"=" + short.encode()
            outcome = Outcome(job_id, f"token{job_id}", Kind.DONE, 0.1, first, pack(result))
        else:
            kind, message = error
            trace = f"Traceback: somewhere\n{kind}: {message}".encode()
            outcome = Outcome(job_id, f"token{job_id}", Kind.ERROR, 0.1, kind.encode(), message.encode(), trace)
        assert store.ask(store.finish([outcome], rules=rules)) == {}
        return job_id

    return end


def one_line_error(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the error that a command reported, which is one line, perhaps with a hint, and never a traceback."""
    lines = done.stderr.decode().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, lines
    assert all(line.startswith(("error: ", "hint: ")) for line in lines), lines
    return errors[0].removeprefix("error: ")


@pytest.fixture(autouse=True)
def _own_limit_of_digits() -> Iterator[None]:
    """What writes JSON lifts Python's limit for the process, which for commands is their own."""
    before = sys.get_int_max_str_digits()
    yield
    sys.set_int_max_str_digits(before)
