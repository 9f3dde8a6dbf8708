"""Hosts that run a notebook as an app: Voila and marimo, each with a server of its own.

A test cannot ask their kernels: what a kernel has heard is made to be seen on the page.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from chromium_browser import PAGE_PATIENCE
from hosts import Theme, screenshot
from notebook_server import PATIENCE, notebook, own_folders
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect

#: marimo is not to ask for its newest version.
OF_APPS = {"MARIMO_SKIP_UPDATE_CHECK": "1"}


class AppServer:
    """A server that shows one app at ``url``.

    Parameters
    ----------
    command : sequence of str
        After the Python that runs the tests; "{port}" becomes a free port.
    ready : str
        A regular expression of a line of the log after which the server answers.
    scratch : Path
        Folder for everything the server reads and writes.
    asks : str, default ""
        What the host's own page asks for elsewhere, whatever it shows: how such addresses begin. They get no answer.
    """

    def __init__(self, command: Sequence[str], ready: str, scratch: Path, asks: str = "") -> None:
        self.asks = asks
        self.log: deque[str] = deque(maxlen=400)
        self._ready = ready
        self._listening = threading.Event()
        home = scratch / "home"
        home.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        self._process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=port) for part in command)],
            cwd=scratch,
            env=os.environ
            | own_folders(home)
            | {"XDG_STATE_HOME": str(home / "state"), "MARIMO_SKIP_UPDATE_CHECK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._listening.wait(PATIENCE) or self._process.poll() is not None:
            self.stop()
            raise RuntimeError(f"{command[0]} did not start:\n{self.log_tail()}")

    def _read_log(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line)
            if re.search(self._ready, line):
                self._listening.set()
        # The server ended: whoever waits for it is to hear so.
        self._listening.set()

    def log_tail(self, lines: int = 60) -> str:
        """Return the last lines of the server's log."""
        return "".join(list(self.log)[-lines:])

    def stop(self) -> None:
        """End the server and with it its kernels; may be called twice."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()


def voila(cells: Sequence[str], scratch: Path) -> AppServer:
    """Start Voila on a notebook of these code cells."""
    (scratch / "app.ipynb").write_text(json.dumps(notebook(cells)), encoding="utf-8")
    options = ("--no-browser", "--Voila.ip=127.0.0.1", "--port={port}", "--Voila.root_dir=.")
    # Its template has links to a stylesheet of icons, and shows none of them.
    icons = "https://cdn.jsdelivr.net/npm/@fortawesome/"
    return AppServer(("voila", "app.ipynb", *options), "is running at", scratch, asks=icons)


def marimo(cells: Sequence[str], scratch: Path, theme: Theme = "light") -> AppServer:
    """Start marimo on an app of these cells, each the body of a function: it takes and returns what it names."""
    (scratch / "pyproject.toml").write_text(f'[tool.marimo.display]\ntheme = "{theme}"\n')
    head = "import marimo\napp = marimo.App(width='full')\n"
    (scratch / "app.py").write_text("\n".join([head, *(f"@app.cell\n{cell.strip()}\n" for cell in cells)]))
    options = ("--headless", "--no-token", "--host=127.0.0.1", "--port={port}")
    return AppServer(("marimo", "run", "app.py", *options), "URL:", scratch)


class AppPage:
    """An app open in a browser.

    Attributes
    ----------
    page : Page
        The Playwright page.
    console : list of str
        Errors of the page's console, and exceptions nobody caught.
    foreign : list of str
        Addresses asked for outside the server; closing the page fails when there is one.
    """

    def __init__(
        self,
        browser: Browser,
        server: AppServer,
        *,
        width: int = 1200,
        height: int = 1000,
        scheme: Theme = "light",
    ) -> None:
        self.server = server
        self.console: list[str] = []
        self.foreign: list[str] = []
        self._context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self._context.set_default_timeout(PAGE_PATIENCE * 1000)
        self._context.set_default_navigation_timeout(PATIENCE * 1000)
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.route(re.compile(f"^(?!{re.escape(server.url)})https?:"), self._refuse)
        self.page.goto(server.url)

    def _refuse(self, route: Route) -> None:
        if not (self.server.asks and route.request.url.startswith(self.server.asks)):
            self.foreign.append(route.request.url)
        route.abort()

    def screenshot(self, name: str) -> Path:
        """Save what is seen to ``test-results/name.png``."""
        return screenshot(self.page, name)

    def report(self) -> str:
        """Describe the messages of the page, for a failing test."""
        errors = "\n".join(self.console) or "(none)"
        return f"errors of the page:\n{errors}\nlog of the server:\n{self.server.log_tail()}"

    def close(self) -> None:
        """Close the page; fails when it asked for anything outside the server."""
        self._context.close()
        assert not self.foreign, f"the page asked for {self.foreign}"


#: A map of 4 x 6 values on a black image, each a rectangle in its color.
VIEW = """
import numpy as np
import xai_widgets as xw
view = xw.HeatmapView(
    image=np.zeros((20, 30, 3), np.uint8), maps=np.linspace(-3, 5, 24).reshape(4, 6), interpolation="pixelated",
    percentile=100, colormap="purple_green", title="map",
)
"""
EXPLORER = """
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
explorer = xw.DeletionExplorer(model, scenes.scene(2, split="test").image, methods=["gradient"], steps=8)
"""


def expect_map_drawn(page: Page) -> None:
    """Check that the middle of every cell on the screen has the color that Python gives it."""
    made: dict[str, Any] = {}
    exec(VIEW, made)
    still = made["view"].static_image()
    stage = page.locator(".xw-heatmap-view .xw-stage").first
    expect(stage).to_be_visible(timeout=PATIENCE * 1000)
    # It is drawn in the frame after it is laid out.
    page.wait_for_function(
        """(canvas) => canvas.getContext("2d").getImageData(
            canvas.width * 0.05 | 0, canvas.height * 0.1 | 0, 1, 1).data[3] === 255""",
        arg=stage.locator("canvas").first.element_handle(),
    )
    seen = np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("RGB"))
    for row in range(4):
        for column in range(6):
            pixels = [
                one[int((row + 0.5) / 4 * one.shape[0]), int((column + 0.5) / 6 * one.shape[1])].astype(int)
                for one in (seen, still)
            ]
            assert np.abs(pixels[0] - pixels[1]).max() <= 2, (row, column, pixels)


def hover(page: Page, row: int, column: int) -> Locator:
    """Move the mouse to a cell of the map, and return the readout of the value."""
    stage = page.locator(".xw-heatmap-view .xw-stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + (column + 0.5) / 6 * box["width"], box["y"] + (row + 0.5) / 4 * box["height"])
    readout = page.locator(".xw-heatmap-view .xw-readout").first
    expect(readout).to_contain_text(f"row {row}, col {column}")
    return readout


def choose_class(page: Page, name: str) -> None:
    """Choose a class of the explorer by the keyboard, and wait for its curves, which the kernel computes."""
    legend = page.locator(".xw-curve-view").first
    area = legend.locator(".xw-legend-area").first
    expect(area).to_have_text(re.compile(r"^\d\.\d{3}$"), timeout=PATIENCE * 1000)
    expect(page.locator(".xw-run-bar").first).to_contain_text("done", timeout=PATIENCE * 1000)
    before = area.inner_text()
    field = page.locator(".xw-class-picker").first.get_by_role("combobox")
    field.fill(name)
    field.press("Enter")
    expect(area).not_to_have_text(before, timeout=PATIENCE * 1000)
    expect(area).to_have_text(re.compile(r"^\d\.\d{3}$"), timeout=PATIENCE * 1000)
    expect(page.locator(".xw-run-bar").first).to_contain_text("done", timeout=PATIENCE * 1000)


def drag_cursor(page: Page, share: float) -> None:
    """Drag the cursor of the curves to a share of the pixels; the image beside it shows the nearest step."""
    plot = page.locator(".xw-curve-view .u-over").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.05, box["y"] + box["height"] / 2)
    page.mouse.down()
    # The axis is that of square roots.
    page.mouse.move(box["x"] + box["width"] * share**0.5, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    caption = page.locator(".xw-ordered-mask-view .xw-amount").first
    expect(caption).not_to_contain_text("0.0 % deleted")
    shown = float(caption.inner_text().partition(" %")[0])
    # Half of a step of an eighth.
    assert abs(shown / 100 - share) <= 0.0626
    assert page.locator(".xw-curve-view .xw-cursor-handle").first.inner_text() == f"{shown:.1f} %"
