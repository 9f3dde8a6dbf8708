"""The work of Chromium for a hover over similarities, counted in a trace of a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
images = [scenes.scene(number, split="test").image for number in range(4)]
"""
SHOW = "explorer = xw.SimilarityExplorer(model, images, layers=['stage2', 'stage3'])\nexplorer"
#: Enough moves that those after which the words on the page have another length are few.
MOVES = 40


def traced(page: Page, act: Callable[[], None]) -> list[dict[str, Any]]:
    """Return the events of the page's threads while ``act`` runs."""
    events: list[dict[str, Any]] = []
    session = page.context.new_cdp_session(page)
    session.on("Tracing.dataCollected", lambda message: events.extend(message["value"]))
    categories = "devtools.timeline,disabled-by-default-devtools.timeline,blink,cc"
    session.send("Tracing.start", {"categories": categories, "transferMode": "ReportEvents"})
    act()
    with page.expect_event("console", lambda message: message.text == "traced"):
        session.once("Tracing.tracingComplete", lambda _: page.evaluate("console.log('traced')"))
        session.send("Tracing.end")
    session.detach()
    return events


def test_a_hover_neither_lays_out_the_page_nor_arranges_its_layers(lab):
    notebook = lab.open([SETUP, SHOW], width=1300, height=1100)
    notebook.wait_for_kernel("explorer.run_bar.status", "done")
    page = notebook.page
    stage = page.locator(".xw-patch-stage").first
    expect(page.locator(".xw-mark.xw-here:visible")).to_have_count(1)
    box = stage.bounding_box()

    def hover() -> None:
        for number in range(MOVES):
            x, y = number * 7 % MOVES, number * 11 % MOVES
            page.mouse.move(
                box["x"] + (x + 0.5) / MOVES * box["width"], box["y"] + (y + 0.5) / MOVES * box["height"]
            )
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    hover()
    events = traced(page, hover)
    layouts = [
        event["args"]["beginData"] for event in events if event["name"] == "Layout" and "args" in event
    ]
    objects = [data["totalObjects"] for data in layouts]
    assert len(objects) >= MOVES / 2
    # Marks and captions of eight images, and the words above them; the page has thousands of objects.
    assert sorted(objects)[len(objects) // 2] < 400
    arranged = [event for event in events if event["name"] == "PaintArtifactCompositor::Update"]
    assert len(arranged) <= MOVES / 4
