"""What people do with the dashboard, done in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from mlq_cli import MLQ
from mlq_cli.model.access import Role
from tests_support import wait_until

from .conftest import BELOW, Served, Tab

VIEWS = ["#/", "#/jobs", "#/dead", "#/workers", "#/post", "#/schedules"]


def steps(*given: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"steps": given, **more}


def test_a_newcomer_is_told_what_to_type_and_the_overview_follows_what_is_posted(tab: Tab, mlq: MLQ) -> None:
    page = tab.go("#/")
    expect(page.get_by_text("mlq post", exact=False)).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    mlq.post_many([{"number": number} for number in range(3)], queue="vision")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="vision", exact=True))
    expect(row.locator("[data-label=Queued]")).to_have_text("3")
    row.get_by_role("button", name="Pause queue vision").click()
    expect(row.get_by_text("paused")).to_be_visible()
    assert [counts.paused for counts in mlq.counts()] == [True]
    row.get_by_role("button", name="Resume queue vision").click()
    expect(row.get_by_text("paused")).to_be_hidden()


def test_a_job_is_followed_from_its_post_to_its_result(tab: Tab, mlq: MLQ, act: Any, tmp_path: Path) -> None:
    job = mlq.post(
        steps(("progress", 40), ("part", "The answer "), ("part", "is <b>"), ("wait", f"{tmp_path}/go"),
              ("part", 7), short="seven", result={"label": 7, "big": 2**63 + 1})
    )  # fmt: skip
    page = tab.go(f"#/jobs/{job}")
    expect(page.locator(".pill")).to_have_text("queued")
    expect(page.get_by_text("next in line")).to_be_visible()
    act()
    expect(page.locator(".far .progress")).to_contain_text("40 %")
    expect(page.locator(".stream")).to_have_text("The answer is <b>")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    (tmp_path / "go").touch()
    expect(page.locator(".pill")).to_have_text("succeeded")
    result = page.locator("section", has=page.get_by_role("heading", name="Result"))
    expect(result.locator("pre")).to_contain_text('"big": 9223372036854775809')
    expect(result).to_contain_text("seven")
    expect(page.locator(".stream .part")).to_have_text("7")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save result").click()
    assert b'"label":7' in Path(download.value.path()).read_bytes().replace(b" ", b"")


def test_dead_jobs_show_their_traceback_and_run_again(tab: Tab, mlq: MLQ, act: Any) -> None:
    jobs = mlq.post_many([steps(("fail", ["NoSuchImage", f"number {number}"])) for number in range(3)])
    worker = act()
    wait_until(lambda: mlq.counts()[0].states["dead"] == 3)
    worker.terminate()
    worker.wait()
    page = tab.go("#/dead")
    expect(page.locator(".dead-list > li")).to_have_count(3)
    first = page.locator(".dead-list > li", has_text="number 1")
    expect(first.locator(".error")).to_have_text("NoSuchImage: number 1")
    first.locator("summary").click()
    expect(first.locator("pre")).to_contain_text("raise type(kind")
    first.get_by_role("button", name="Retry").click()
    expect(page.locator(".dead-list > li")).to_have_count(2)
    assert mlq.get_job(jobs[1])["state"] == "queued"
    page.get_by_role("button", name="Retry all").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry all").click()
    expect(page.get_by_text("No dead jobs here")).to_be_visible()
    assert mlq.counts()[0].states["queued"] == 3


@pytest.mark.minutes
def test_dead_jobs_of_a_queue_are_purged_only_after_a_yes(tab: Tab, mlq: MLQ, act: Any) -> None:
    mlq.post(steps(("fail", ["NoSuchImage", "one"])))
    act()
    wait_until(lambda: mlq.counts()[0].states["dead"] == 1)
    page = tab.go("#/dead?queue=default")
    page.get_by_role("button", name="Purge").click()
    page.get_by_role("button", name="Keep").click()
    assert mlq.counts()[0].states["dead"] == 1
    page.get_by_role("button", name="Purge").click()
    page.get_by_role("dialog").get_by_role("button", name="Purge").click()
    expect(page.get_by_text("No dead jobs here")).to_be_visible()
    assert mlq.counts()[0].states["dead"] == 0


def test_a_job_is_posted_by_the_form_exactly_as_it_was_typed_and_canceled(tab: Tab, mlq: MLQ) -> None:
    page = tab.go("#/post")
    page.get_by_label("Message").fill('{"broken": ')
    page.get_by_role("button", name="Post").click()
    expect(page.get_by_role("alert")).to_contain_text("none")
    page.get_by_label("Message").fill('{"big": 12345678901234567890}')
    page.get_by_label("Queue").fill("vision")
    page.get_by_label("Priority").fill("7")
    page.get_by_role("button", name="Post").click()
    expect(page.locator(".pill")).to_have_text("queued")
    (job,) = mlq.list_jobs()
    assert (job["msg"], job["queue"], job["priority"]) == ({"big": 12345678901234567890}, "vision", 7)
    expect(page.locator("pre:not(.stream).value")).to_contain_text("12345678901234567890")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".pill")).to_have_text("canceled")
    assert mlq.get_job(job["id"])["state"] == "canceled"


def test_a_server_that_wants_a_token_is_given_one_and_what_it_does_not_allow_is_explained(
    tab: Tab, mlq: MLQ, served: Served
) -> None:
    served.stop()
    served.token_needed = True
    served.start()
    mlq.post("x")
    page = tab.go("#/")
    for token in ("mlq_read_wrong", served.token(Role.READ)):
        page.get_by_role("textbox", name="Token").fill(token)
        page.get_by_role("button", name="Use token").click()
    expect(page.locator("#live")).to_have_text("live")
    page.get_by_role("button", name="Pause queue default").click()
    expect(page.locator("#notices")).to_contain_text("admin")
    assert mlq.counts()[0].paused is False
    page.reload()
    expect(page.locator("#live")).to_have_text("live")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("[document.cookie, localStorage.length, location.search]") == ["", 0, ""]


@pytest.mark.minutes
def test_it_works_below_a_path_of_a_proxy(tab: Tab, mlq: MLQ) -> None:
    job = mlq.post("x")
    tab.page.goto(f"{tab.served.url}{BELOW[1:]}/#/jobs/{job}")
    expect(tab.page.locator("#live")).to_have_text("live")
    expect(tab.page.locator(".pill")).to_have_text("queued")
    assert tab.page.evaluate("performance.getEntriesByType('resource').every(e => e.name.includes('/queue/a/'))")


@pytest.mark.minutes
def test_a_connection_that_is_lost_is_seen_and_comes_back(tab: Tab, mlq: MLQ, served: Served) -> None:
    job = mlq.post("x")
    page = tab.go(f"#/jobs/{job}")
    expect(page.locator("#live")).to_have_text("live")
    served.stop()
    expect(page.locator("#live")).to_have_text("connection lost")
    mlq.cancel(job)
    served.start()
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator(".pill")).to_have_text("canceled")


#: What stands beyond the right edge of a phone, outside of what scrolls within itself.
BEYOND = """[...document.querySelectorAll("main *")].filter((each) => !each.closest("pre, .unseen, thead, .spark"))
  .filter((each) => each.getBoundingClientRect().right > 390).map((each) => each.outerHTML.slice(0, 200))"""


def test_nothing_is_wider_than_a_phone(open_tab: Callable[..., Tab], mlq: MLQ, act: Any) -> None:
    long = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 12
    act(name="a-worker-with-quite-a-long-name-4711-a3f2")
    dead = mlq.post(steps(("part", long), ("fail", [long, long])), queue="a-queue-" + "q" * 50)
    good = mlq.post(steps(("part", {"a": long}), ("progress", long), short=long, result=[long, 2**200]))
    mlq.post({long: long}, functions=[long[:200]], callback=f"http://localhost:1/{long}", delay=600)
    wait_until(lambda: mlq.get_job(good)["state"] == "succeeded")
    tab = open_tab(width=390, height=844)
    for view in [*VIEWS, f"#/jobs/{dead}", f"#/jobs/{good}", "#/jobs?state=scheduled", "#/jobs/none"]:
        page = tab.go(view)
        page.wait_for_function("document.querySelector('main h1') !== null")
        expect(page.locator("#live")).to_have_text("live")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
        assert page.evaluate(BEYOND) == [], view


def test_all_is_reached_by_keyboard_and_focus_is_seen(tab: Tab, mlq: MLQ) -> None:
    mlq.post("x")
    page = tab.go("#/")
    expect(page.get_by_role("button", name="Pause queue default")).to_be_visible()
    walked = []
    for _ in range(24):
        page.keyboard.press("Tab")
        walked.append(page.evaluate("document.activeElement.textContent.trim().replace(/\\s+/g, ' ')"))
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert walked[-1] in ("Skip to content",) or page.evaluate(style) != "none", walked
        if walked[-1] == "Pause":
            break
    assert walked[0] == "Skip to content"
    assert {"Overview", "Jobs", "Post a job", "Auto", "default", "Pause"} <= set(walked)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume queue default")).to_be_focused()
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.evaluate("location.hash") == "#/"


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.minutes), "dark"])
def test_colours_follow_the_system_and_the_button_and_can_be_read(open_tab: Callable[..., Tab], scheme: str) -> None:
    tab = open_tab(color_scheme=scheme, reduced_motion="reduce")
    page = tab.go("#/")
    expect(page.locator("#live")).to_have_text("live")
    assert (lightness(page) > 128) == (scheme == "light")
    assert page.evaluate(CONTRAST) == []
    page.locator("#theme").click()  # dark
    assert lightness(page) < 64
    page.locator("#theme").click()  # light
    page.reload()
    expect(page.locator("#theme")).to_have_text("Light")
    assert lightness(page) > 192


def lightness(page: Any) -> int:
    return int(page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"))


#: Pairs of colours of the tokens that do not have a contrast of 4.5.
CONTRAST = """() => {
  const probe = document.createElement('i');
  document.body.append(probe);
  const light = (name) => {
    probe.className = '';
    const value = getComputedStyle(document.documentElement).getPropertyValue(name);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`.probe { color: var(${name}) }`);
    document.adoptedStyleSheets = [sheet];
    probe.className = 'probe';
    const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const pairs = [['--on-accent', '--accent'], ['--accent', '--accent-soft']];
  for (const ground of ['--ground', '--surface', '--sunk', '--raised'])
    for (const ink of ['--text', '--muted', '--accent', '--bad']) pairs.push([ink, ground]);
  for (const state of ['queued', 'running', 'scheduled', 'blocked', 'succeeded', 'bad'])
    pairs.push([`--${state}`, `--${state}-soft`]);
  const poor = pairs.map(([one, other]) => [one, other, ratio(one, other)]).filter(([, , r]) => !(r >= 4.5));
  document.adoptedStyleSheets = [];
  probe.remove();
  return poor;
}"""


def test_a_server_that_takes_unsigned_functions_says_so_in_red_on_every_view(
    served: Served, open_tab: Callable[..., Tab]
) -> None:
    page = open_tab().go("#/")
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#alarm")).to_be_hidden()
    served.stop()
    served.unsigned = True
    served.start()
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = open_tab(width=width, color_scheme=scheme).go("#/")
        for view in VIEWS:
            page.goto(f"{served.url}{view}")
            alarm = page.locator("#alarm")
            expect(alarm).to_contain_text("functions that nobody has signed")
            red, green, blue = alarm.evaluate("e => getComputedStyle(e).backgroundColor.match(/\\d+/g).map(Number)")
            assert red > 2 * max(green, blue)
        box = alarm.bounding_box()
        assert box and box["y"] == 0 and box["width"] == width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
