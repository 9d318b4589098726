"""Each route by each role: what does not say that it is open asks for one (H-9). No GET changes anything (H-7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mlq_cli import MLQ
from mlq_cli.http.app import make_app
from mlq_cli.http.door.book import Book
from mlq_cli.http.door.door import Door, Rules
from mlq_cli.http.door.hosts import Hosts
from mlq_cli.http.door.pages import Pages
from mlq_cli.http.roles import Role, is_open
from mlq_cli.model.access import digest, new_key
from mlq_cli.store.redis.connect import UrlEndpoint, Wire

#: What is asked of a role that is not written down here has to be written down here first.
POSTING = {("post", "/jobs"), ("delete", "/jobs/{job_id}"), ("post", "/jobs/{job_id}/retry")}
OPEN = {
    "/healthz",
    "/readyz",
    "/docs",
    "/docs/{file}",
    "/",
    "/static/{path:path}",
    "/static",
    "/favicon.ico",
    "/{file}",
}


@pytest.fixture
def app(mlq: MLQ) -> FastAPI:
    return make_app(mlq)


@pytest.fixture
def client(mlq: MLQ, app: FastAPI) -> Iterator[TestClient]:
    """A client behind a door that asks for tokens."""
    book = Book(lambda: mlq.store.access().all())
    door = Door(app, Rules(Hosts("127.0.0.1", 5001), Pages(), 1 << 24, token_needed=True), book)
    with TestClient(door, base_url="http://127.0.0.1:5001", raise_server_exceptions=False) as opened:
        yield opened
    book.close()


def _operations(app: FastAPI) -> list[tuple[str, str]]:
    return [(method, path) for path, methods in app.openapi()["paths"].items() for method in methods]


def _needed(method: str, path: str) -> Role | None:
    if path in OPEN:
        return None
    if method == "get":
        return Role.READ
    return Role.POST if (method, path) in POSTING else Role.ADMIN


def _filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: {"job_id": "404", "ext": "txt"}.get(found[1], "default"), path)


def test_every_route_of_the_app_declares_a_role_or_is_open(app: FastAPI) -> None:
    looked_at = 0
    for route in app.routes:
        path: str = getattr(route, "path", "")
        if path in OPEN:
            assert is_open(_filled(path).replace("/static/default", "/static/x")), path
            continue
        asked = [getattr(each.dependency, "role", None) for each in getattr(route, "dependencies", ())]
        methods = {method.lower() for method in getattr(route, "methods", None) or ()} - {"head"}
        assert asked and methods, path
        for method in methods:
            assert asked == [_needed(method, path)], (method, path)
        looked_at += 1
    assert looked_at >= 20


def test_every_route_is_in_the_document(app: FastAPI) -> None:
    told = set(_operations(app))
    for route in app.routes:
        if getattr(route, "include_in_schema", False):
            assert all((method.lower(), getattr(route, "path", "")) in told for method in getattr(route, "methods", ()))


def test_each_role_may_exactly_what_it_may(client: TestClient, app: FastAPI, mlq: MLQ) -> None:
    keys: dict[Role | None, dict[str, str]] = {None: {}}
    for role in Role:
        key = new_key(role)
        mlq.store.access().add(key.id, role, digest(key.secret))
        keys[role] = {"Authorization": f"Bearer {key}"}
    operations = _operations(app)
    assert len(operations) >= 20
    for method, path in operations:
        needed = _needed(method, path)
        if path.endswith("/events"):
            continue  # below: such an answer does not end
        for role, headers in keys.items():
            sent: dict[str, Any] = {"json": {"msg": 1}} if path == "/jobs" and method == "post" else {}
            answer = client.request(method, _filled(path), headers=headers, **sent)
            said = (method, path, role, answer.status_code, answer.text[:100])
            if needed is not None and role is None:
                assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer"), said
            elif needed is not None and role is not None and role < needed:
                assert answer.status_code == 403 and answer.json()["code"] == "not-allowed", said
            else:
                assert answer.status_code != 401 and "not-allowed" not in answer.text, said
                assert answer.status_code < 500, said
    for path in ("/events", "/jobs/404/events"):
        assert client.get(path).status_code == 401
    for path in ("/jobs/404", "/nothing", "/static", "/docs.", "/jobs/count/../../x"):
        assert client.get(path).status_code == 401, "what does not exist is not told from what does"


def test_no_get_changes_anything(client: TestClient, app: FastAPI, mlq: MLQ, redis_url: str, namespace: str) -> None:
    ids = [mlq.post(number) for number in range(3)]
    mlq.cancel(ids[0])
    key = new_key(Role.ADMIN)
    mlq.store.access().add(key.id, key.role, digest(key.secret))
    wire = Wire(UrlEndpoint(redis_url))

    def all_that_is_kept() -> dict[bytes, bytes]:
        (keys,) = wire.exchange([("KEYS", f"mlq:{{{namespace}}}:*")])
        return dict(zip(keys, wire.exchange([("DUMP", each) for each in keys]), strict=True))

    before = all_that_is_kept()
    for _, path in _operations(app):
        if path.endswith("/events"):
            continue
        for job_id in ids:
            for method in ("GET", "HEAD", "OPTIONS"):
                where = _filled(path).replace("404", job_id)
                headers = {"Authorization": f"Bearer {key}", "X-HTTP-Method-Override": "DELETE"}
                assert client.request(method, where, headers=headers, params={"_method": "DELETE"}).status_code < 500
    assert all_that_is_kept() == before
    wire.close()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_page_of_another_origin_gets_anything_loaded(client: TestClient, app: FastAPI, site: str) -> None:
    for method, path in _operations(app):
        if path.endswith("/events"):
            continue
        for dest in ("image", "script", "iframe", "empty"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": dest}
            assert client.request(method, _filled(path), headers=headers).status_code == 403, (method, path)
