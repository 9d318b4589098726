"""The dashboard's files: what they are served with, and that none of them could turn text into markup."""

from __future__ import annotations

import asyncio
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

import mlq_cli.http
from mlq_cli.http.routes import static

FOLDER = Path(mlq_cli.http.__file__).parent / "static"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]

#: Ways from text to markup, script or style; ways around the one function that sends requests.
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|createContextualFragment|DOMParser"
    r"|setHTML|srcdoc|cssText|\.style\b|javascript:|createPolicy|postMessage|importScripts|XMLHttpRequest|WebSocket"
    r"|EventSource|sendBeacon|window\.open|\.action\b|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|location\s*=|\.src\b"
)


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask() -> Ask:
    app = Starlette(routes=static.router.routes)

    async def answer(path: str, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.get(path, headers=headers)

    return lambda path, headers=None: asyncio.run(answer(path, headers or {}))


def relative(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def test_all_files_of_the_folder_are_served_and_typed(ask: Ask) -> None:
    assert len(FILES) > 20 and static.the_files().keys() == {relative(path) for path in FILES}
    for name, file in static.the_files().items():
        answer = ask(f"/static/{name}")
        assert answer.status_code == 200 and answer.content == file.body
        assert answer.headers["content-type"] == file.media_type
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_comes_with_a_policy_that_lets_no_text_become_markup(ask: Ask) -> None:
    answer = ask("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'" and policy["trusted-types"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
    assert "unsafe" not in str(policy) and "*" not in str(policy) and "http" not in str(policy)
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_file_that_the_browser_has_is_not_sent_again(ask: Ask) -> None:
    first = ask("/static/js/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = ask("/static/js/main.js", headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
    assert again.status_code == 304 and not again.content
    assert ask("/static/js/main.js", headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "js", "js/", "", "/etc/passwd", "js/../../roles.py", "no.js"]
)
def test_nothing_beside_the_files_is_served(ask: Ask, name: str) -> None:
    assert ask(f"/static/{name}").status_code == 404


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_no_script_has_a_way_from_text_to_markup(path: Path) -> None:
    code = "\n".join(re.sub(r"(?:^|\s)//.*", "", line) for line in path.read_text().splitlines())
    assert not SINKS.findall(code)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_are_small_and_name_no_other_server(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert max(map(len, text.splitlines())) <= 160 or path.suffix == ".svg"
    foreign = set(re.findall(r"(?:https?:)?//[a-z0-9][a-z0-9.-]+\.[a-z]{2,}", text)) - {"http://www.w3.org"}
    assert not foreign


def test_the_page_has_no_script_or_style_inside() -> None:
    page = (FOLDER / "index.html").read_text()
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page)
    assert all(re.search(r'src="static/', tag) for tag in re.findall(r"<script[^>]*>", page))
    assert "<script>" not in page


@pytest.mark.minutes
def test_the_wheel_has_all_of_them(tmp_path: Path) -> None:
    import subprocess
    import sys

    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert {f"mlq_cli/http/static/{relative(path)}" for path in FILES} <= set(wheel.namelist())
