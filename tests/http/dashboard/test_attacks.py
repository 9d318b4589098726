"""Attacks through every field that a user can set, shown in every view, in a real browser: nothing runs.

Whether something ran is judged when a test ends, by `open_tab`: a script, a dialog, a report of the policy, a request
to another server.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from mlq_cli import MLQ
from mlq_cli.model.rules import Rules
from tests_support import wait_until

from .attacks import ATTACKS
from .conftest import Tab

POLYGLOT = b"GIF89a/*<script>window.noted.push('ran')</script>*/=1;" + bytes(40)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.noted.push(1)'/>"


def listed(text: str) -> str:
    """Return a name without what no name may have: blanks and control characters."""
    return "".join(letter for letter in text if letter.isprintable() and not letter.isspace())[:200] or "x"


def attack(mlq: MLQ, text: str, gate: Path) -> list[str]:
    """Post jobs that bring `text` everywhere; return their ids. The fourth runs until `gate` is there."""
    value = {"text": text, text: [text, {"deep": text}], "bytes": SVG}
    brief = text[:900]  # progress may have 4096 bytes
    said = [("progress", brief), ("progress", {brief: brief}), ("part", text), ("part", [text])]
    more = {"callback": f"http://127.0.0.1:1/{listed(text)}".replace('"', "%22").replace("\\", "%5C"), "retries": 0}
    done = mlq.post({"steps": said, "short": text, "result": value, "extra": value}, **more)
    bytes_ = mlq.post({"steps": [], "short": text, "result": POLYGLOT, "extra": text})
    dead = mlq.post({"steps": [*said, ("fail", [text or "x", text])], "extra": value}, **more)
    runs = mlq.post({"steps": [*said, ("wait", str(gate))], "extra": text})
    waits = mlq.post({"extra": value}, functions=[listed(text)], queue="other", delay=3600)
    return [done, bytes_, dead, runs, waits]


def pretend_to_be_a_worker(mlq: MLQ, text: str) -> None:
    """Say that a worker lives that calls itself, its host and its functions so."""
    about = dict.fromkeys(("host", "pid", "started_at", "queues", "executors", "functions", "running", "done"), text)
    rules = Rules(lease=600.0)
    mlq.store.ask(mlq.store.heartbeat(listed(text), [], rules=rules, life=600.0, about=about))  # type: ignore[arg-type]


def both_are_there(mlq: MLQ, ids: list[str], progress: Any) -> bool:
    """Whether the one is dead and the other runs."""
    return mlq.get_job(ids[2])["state"] == "dead" and mlq.get_job(ids[3])["progress"] == progress


def look_at_all(tab: Tab, ids: list[str], text: str) -> None:
    """Open every view, fold out what is folded, press what shows more, and see that the text is there as text."""
    done, bytes_, dead, runs, waits = ids
    start = shown(text)[:100]
    page = tab.go("#/")
    expect(page.locator("#live")).to_have_text("live")
    for view in (
        "jobs",
        "jobs?state=running",
        "jobs?state=dead",
        "jobs?state=succeeded",
        "workers",
        "post",
        "dead",
        "schedules",
    ):
        page.evaluate("hash => { location.hash = hash }", f"#/{view}")
        expect(page.locator("main h1")).to_be_visible()
        if view in ("jobs?state=running", "jobs?state=dead"):
            expect(page.locator("main .id").first).to_be_visible()
    page.evaluate("location.hash = '#/dead?queue=default'")
    expect(page.locator(".dead-list .error").first).to_be_visible()
    page.locator(".dead-list summary").first.click()
    assert start in shown(page.locator(".dead-list").inner_text())
    for job in (done, bytes_, dead, runs, waits):
        page.evaluate("id => { location.hash = `#/jobs/${id}` }", job)
        expect(page.locator("h1 .id")).to_have_text(job)
        expect(page.locator("main pre.value:not(.stream)").first).to_be_visible()
        if job in (done, dead, runs):
            expect(page.locator(".stream .part").first).to_be_visible()
            assert start in shown(page.locator(".stream").inner_text())
        if job == done:
            assert start in shown(page.locator(".short").inner_text())
        if job == dead:
            assert start in shown(page.locator("main p.error").inner_text())
    page.evaluate(
        "text => { location.hash = `#/jobs/${encodeURIComponent(text)}?state=${encodeURIComponent(text)}` }", text
    )
    page.evaluate("text => { location.hash = `#/${text}` }", text)
    page.evaluate("text => { location.hash = `#/jobs?queue=${encodeURIComponent(text)}` }", text)
    expect(page.locator("main h1")).to_be_visible()


def shown(text: str) -> str:
    """Return what is comparable of a text that a page has set in lines."""
    return "".join(text.split()).replace("\ufeff", "")


def test_a_few_attacks_at_once_run_nothing(tab: Tab, mlq: MLQ, act: Any, tmp_path: Path) -> None:
    all_of_them = "\n".join(ATTACKS)
    ids = attack(mlq, all_of_them, tmp_path / "gate")
    pretend_to_be_a_worker(mlq, all_of_them)
    act(executors=2)
    expected = ["succeeded", "succeeded", "dead", "running", "scheduled"]
    wait_until(lambda: [mlq.get_job(job)["state"] for job in ids] == expected)
    look_at_all(tab, ids, all_of_them)
    (tmp_path / "gate").touch()
    tab.page.wait_for_timeout(300)  # for whatever was to run late


@pytest.mark.minutes
@pytest.mark.timeout(600)
def test_no_attack_runs_anything(tab: Tab, mlq: MLQ, act: Any, tmp_path: Path) -> None:
    assert len(ATTACKS) >= 40
    act(executors=2)
    began = time.monotonic()
    for number, text in enumerate(ATTACKS):
        gate = tmp_path / f"gate{number}"
        ids = attack(mlq, text, gate)
        pretend_to_be_a_worker(mlq, text)
        wait_until(partial(both_are_there, mlq, ids, {text: text}), seconds=30)
        look_at_all(tab, ids, text)
        gate.touch()
        assert tab.blame() == [], text
    assert time.monotonic() - began < 500


def test_the_page_refuses_markup_and_foreign_servers_and_the_watch_notices(tab: Tab) -> None:
    page = tab.go("#/")
    expect(page.locator("main h1")).to_have_count(1)
    add = "tag => document.body.append(Object.assign(document.createElement(tag), {src: 'https://attacker.invalid/'}))"
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>'")
    with pytest.raises(Exception, match="TrustedScriptURL"):
        page.evaluate(add, "script")
    page.evaluate(add, "img")
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    page.evaluate("alert('x')")
    wait_until(lambda: page.evaluate("noted.length") >= 5 or None, seconds=5)
    assert {"alert", "img-src https://attacker.invalid/"} <= set(tab.blame())
    page.evaluate("noted.length = 0")
    tab.trouble.clear()
