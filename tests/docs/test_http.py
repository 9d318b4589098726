"""The examples of docs/guides/http.md print what it says they print."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from tests_http import Served

from mlq_cli import MLQ

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "http.md"


def examples() -> list[tuple[str, str]]:
    """Return commands with what they print."""
    found = []
    for block in re.findall(r"```curl\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        for one in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = one.partition("\n")
            found.append((command, printed.strip()))
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_curl_examples_print_what_the_guide_says(mlq: MLQ, start_worker: Callable[..., Any]) -> None:
    served = Served(mlq)
    served.start()
    try:
        start_worker("jobs:echo")
        assert len(examples()) > 30
        for command, printed in examples():
            if "result" in command or "jobs/1" in command:
                mlq.wait("1", 20)
            if "state=succeeded" in command:
                mlq.wait("order-5", 20)
            line = command.replace("localhost:5001", f"127.0.0.1:{served.port}").replace(
                "curl ", "curl -sS --max-time 20 "
            )
            done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30)
            said = done.stdout.replace("\r\n", "\n").strip()
            pattern = ".*?".join(re.escape(part) for part in printed.split("…"))
            assert re.fullmatch(pattern, said, re.DOTALL), f"{command}\n{said}\n{done.stderr}"
    finally:
        served.stop()


def test_the_guide_names_every_route(mlq: MLQ) -> None:
    text = GUIDE.read_text()
    for route in Served(mlq).app.routes:
        if isinstance(route, APIRoute):
            last = [part for part in route.path.split("/") if part and "{" not in part]
            assert all(part in text for part in last), route.path
