"""The OpenAPI document is complete and true: schemathesis looks for a request that shows otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from tests_http import Served, fail, finish

from mlq_cli import MLQ
from mlq_cli.http.roles import Role
from mlq_cli.model.jsonable import to_json

#: 424 and 410 are how jobs have ended, whatever was asked of them, so they are no refusal of a request.
#: And DELETE cancels a job, which keeps its record: so `use_after_free`, which looks for 404 behind it, is left out.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "410", "424", "429", "5xx"]
"""


def document(client: httpx.Client) -> dict[str, Any]:
    made: dict[str, Any] = client.get("/openapi.json").json()
    return made


def test_every_route_is_in_the_document_and_nothing_else(client: httpx.Client, server: Served) -> None:
    paths = document(client)["paths"]
    there = {(m.upper(), path) for path, methods in paths.items() for m in methods}
    routes = {(m, r.path) for r in server.app.routes if isinstance(r, APIRoute) for m in r.methods or ()}
    assert there == routes


def test_every_operation_has_a_name_a_tag_words_and_its_answers(client: httpx.Client) -> None:
    api = document(client)
    operations = [one for methods in api["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    tags = {tag["name"] for tag in api["tags"]}
    assert len(names) == len(set(names)) and all(re.fullmatch(r"[a-z_]+", name) for name in names)
    for one in operations:
        assert one["summary"] and one["description"] and set(one["tags"]) <= tags, one["operationId"]
        for status in ("400", "401", "403", "421", "422", "500", "503"):
            assert "application/problem+json" in one["responses"][status]["content"], (one["operationId"], status)
        assert any(status < "400" for status in one["responses"]) or one["operationId"].endswith("_function")
    assert api["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_every_reference_leads_somewhere(client: httpx.Client) -> None:
    api = document(client)
    text = httpx.Response(200, json=api).text
    for name in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert name in api["components"]["schemas"]


def test_the_page_of_the_document_takes_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    files = [client.get(f"/docs/{name}") for name in ("docs.js", "docs.css")]
    for text in (page.text, *(file.text for file in files)):
        assert "http:" not in text and "https:" not in text
    assert "<script>" not in page.text and " on" not in re.sub(r">[^<]*<", "><", page.text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|outerHTML|document\.write|eval\(", files[0].text)
    assert client.get("/docs/docs.html").status_code == 422
    assert [file.headers["content-type"].partition(";")[0] for file in files] == ["text/javascript", "text/css"]


def explore(server: Served, folder: Path, examples: int, *more: str) -> None:
    """Let schemathesis look, and fail with what it has found. Streams that do not end are not for it."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    (folder / "openapi.json").write_bytes(to_json(server.app.openapi()))
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(folder / "schemathesis.toml"),
        "run", str(folder / "openapi.json"), "--url", server.url,
        "--checks", "all", "--max-examples", str(examples), "--seed", "7",
        "--exclude-operation-id", "follow_all", "--exclude-operation-id", "follow_job", "--continue-on-failure",
        "--request-timeout", "30", "--generation-database", "none", "--no-color",
        "--exclude-checks", "use_after_free", *more,
    ]  # fmt: skip
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500)
    assert found.returncode == 0, re.split("= (?:FAILURES|WARNINGS) =", found.stdout)[1][:6000]


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for jobs that no worker runs."""
    monkeypatch.setattr("mlq_cli.http.routes.posting.MOST_WAIT", 0.05)


def furnish(mlq: MLQ) -> None:
    """Post jobs that have ended in every way, for the ids that are guessed."""
    for job_id in ("a", "A"):
        finish(mlq, mlq.post({"a": b"\x00"}, id=job_id), {"b": 1}, "short")
    mlq.post("dead", id="dead", queue="dead")
    fail(mlq, "dead")


@pytest.mark.parametrize("role", [Role.ADMIN])
def test_no_request_gets_an_answer_that_the_document_does_not_know(
    serve: Callable[..., Served], mlq: MLQ, tmp_path: Path, role: Role | None
) -> None:
    furnish(mlq)
    explore(serve(mlq, role, fresh_keys=True), tmp_path, 2, "--phases", "examples,coverage,fuzzing")


@pytest.mark.minutes
@pytest.mark.timeout(1600)
@pytest.mark.parametrize("role", [None, Role.READ, Role.POST, Role.ADMIN])
def test_none_of_many_requests_to_each_route_does_whoever_sends_them(
    serve: Callable[..., Served], mlq: MLQ, tmp_path: Path, role: Role | None
) -> None:
    furnish(mlq)
    # A job that was purged is gone; to schemathesis that looks as if it had never been. The test above purges.
    kept = ("--exclude-operation-id", "purge_queue", "--exclude-operation-id", "purge_dead_jobs")
    explore(serve(mlq, role, fresh_keys=True), tmp_path, int(os.environ.get("EXAMPLES", "500")), *kept)
