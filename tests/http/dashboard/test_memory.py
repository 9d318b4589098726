"""A page that is left open while much happens stays as small as it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from mlq_cli import MLQ

from .conftest import Tab

SECONDS = 60.0
RATE = 50  # jobs a second, and parts of the one job that is looked at
GROWTH = 4_000_000  # bytes; one kept job would be some 1,000, and there are 3,000


def heap(tab: Tab) -> tuple[float, float]:
    """Return bytes of JavaScript that are in use after a collection, and nodes of the document."""
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return found["JSHeapUsedSize"], found["Nodes"]


@pytest.mark.minutes
@pytest.mark.timeout(300)
def test_pages_that_are_left_open_keep_nothing_of_what_went_by(
    open_tab: Callable[..., Tab], mlq: MLQ, act: Any
) -> None:
    act(executors=2)
    talker = mlq.post({"steps": [("talk", [2 * SECONDS, RATE])]})
    tabs = [open_tab() for _ in range(4)]
    for tab, view in zip(tabs, ["#/", "#/jobs", "#/workers", f"#/jobs/{talker}"], strict=True):
        tab.go(view)
        expect(tab.page.locator("#live")).to_have_text("live")

    def busy(seconds: float) -> None:
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            mlq.post_many([{"steps": [("progress", 50)], "short": f"number {number}"}] * RATE, queue="default")
            number += 1
            tabs[0].page.wait_for_timeout(1000)

    busy(SECONDS / 4)  # lists and curves fill up
    before = [heap(tab) for tab in tabs]
    busy(SECONDS)
    after = [heap(tab) for tab in tabs]
    assert mlq.counts()[0].states["succeeded"] > 100
    for (bytes_before, nodes_before), (bytes_after, nodes_after) in zip(before, after, strict=True):
        assert bytes_after - bytes_before < GROWTH, (before, after)
        assert nodes_after - nodes_before < 3000, (before, after)
    print(before, after)
