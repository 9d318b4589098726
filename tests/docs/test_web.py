"""The web example, as somebody runs it: a drawing goes in, and what becomes of it comes out, step by step."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy
import pytest
from sklearn.datasets import load_digits

from tests_support import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the example, which runs with a private server of its own."""
    folder = tmp_path_factory.mktemp("web")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLQ_", "WEBHOOK_"))}
    place = {**clean, "MLQ_REDIS_DATA": str(folder / "server"), "XDG_CONFIG_HOME": str(folder)}
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = str(unused.getsockname()[1])
    command = [sys.executable, str(ROOT / "docs/examples/web/run.py"), port]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, env=place, cwd=folder, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until(lambda: answers(client), seconds=60)
                yield client
        finally:
            running.terminate()
            running.wait(30)
            print((folder / "log").read_text())
            stop = [sys.executable, "-m", "mlq_cli", "redis", "stop", "--quiet"]
            subprocess.run(stop, env=place, check=True)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 200
    except httpx.TransportError:
        return False


def drawing(number: int) -> bytes:
    """One of the images that the model knows, eight times as large."""
    image = load_digits().images[number]
    pixels: bytes = (numpy.kron(image, numpy.ones((8, 8))) * 15).astype(numpy.uint8).tobytes()
    return pixels


def test_a_drawing_is_read_while_the_page_follows_and_the_callback_comes_signed(web: httpx.Client) -> None:
    posted = web.post("/drawings", content=drawing(3))
    assert posted.status_code == 202
    events = []
    with web.stream("GET", f"/drawings/{posted.json()['id']}/events") as told:
        kind = ""
        for line in told.iter_lines():
            name, _, value = line.partition(": ")
            kind = value if name == "event" else kind
            if name == "data":
                events.append((kind, json.loads(value)))
    kinds = [kind for kind, _ in events]
    assert kinds[0] == "state" and kinds[-3:] == ["answer", "callback", "end"] and {"part", "progress"} <= set(kinds)
    said = dict(events)
    assert said["answer"]["digit"] == 3 and len(said["answer"]["chances"]) == 10
    assert "signed: succeeded, 3" in said["callback"]


def test_what_is_no_drawing_and_what_is_no_callback_of_ours_is_refused(web: httpx.Client) -> None:
    assert web.post("/drawings", content=b"too short").status_code == 422
    assert web.get("/drawings/999999/events").status_code == 404
    body = json.dumps({"type": "job.succeeded", "data": {"id": "1", "state": "succeeded"}})
    assert web.post("/callback", content=body).status_code == 401
    forged = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,Zm9yZ2Vk"}
    assert web.post("/callback", content=body, headers=forged).status_code == 401
