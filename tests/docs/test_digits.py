"""The digits example from beginning to end, as `make demo` runs it. `make test-demo` runs it where this skips."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "docs" / "examples" / "digits" / "demo.py"

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed: make test-demo")


def test_the_demo_reads_the_digits_mends_its_job_and_leaves_nothing(short_folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(DEMO)], env=in_folder(short_folder), capture_output=True, text=True, timeout=110
    )
    assert ran.returncode == 0, ran.stderr
    for said in ("trained: 0% 10%", "jobs per second", "FileNotFoundError", "$ mlq dlq retry", "All went well"):
        assert said in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr
    assert not list(short_folder.iterdir())


@pytest.mark.minutes
def test_the_demo_leaves_nothing_when_it_is_interrupted(short_folder: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, str(DEMO)],
        env=in_folder(short_folder),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    while "mlq worker" not in demo.stdout.readline():
        pass
    time.sleep(1)
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert not list(short_folder.iterdir())


def in_folder(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}
