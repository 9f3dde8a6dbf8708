"""Chromium of the system, for the tests of every folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

#: Longest wait for something on a page, in seconds. A loaded machine is twenty times slower than a quiet one.
PAGE_PATIENCE = 120
CHROMIUM_NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
#: Arguments that keep Chromium quiet and let it run as root and in a container.
CHROMIUM_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser, without a window; the test fails where there is none."""
    names = (os.environ["CHROMIUM"],) if os.environ.get("CHROMIUM") else CHROMIUM_NAMES
    executable = next((path for name in names if (path := shutil.which(name))), None)
    if executable is None:
        pytest.fail(f"no Chromium found (looked for {', '.join(names)}): run make system", pytrace=False)
    expect.set_options(timeout=PAGE_PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


def open_file(context: BrowserContext, path: Path, trouble: list[str], **media: Any) -> Page:
    """Open a file in a page 1100 px wide; its errors, warnings and requests are appended to ``trouble``.

    ``media`` is the argument of Playwright's ``emulate_media`` takes.
    """

    def note(message: ConsoleMessage) -> None:
        # A canvas is read often by the test.
        if message.type in ("error", "warning") and not message.text.startswith(
            "Canvas2D: Multiple readback"
        ):
            trouble.append(message.text)

    def note_request(url: str) -> None:
        if not url.startswith(("file:", "blob:", "data:")):
            trouble.append(url)

    page = context.new_page()
    page.set_viewport_size({"width": 1100, "height": 900})
    page.emulate_media(**media)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", note)
    page.on("request", lambda request: note_request(request.url))
    page.goto(path.as_uri())
    return page
