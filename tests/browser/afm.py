"""A bare page that mounts built bundles without Jupyter: quick, and with a model that a test can look into.

The host is ``afm_host.js``. State goes to it as a kernel would send it: arrays are binary, at any byte offset.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hosts import ROOT, Theme, screenshot
from playwright.sync_api import BrowserContext, JSHandle, Locator, Page, Route

STATIC = ROOT / "xai_widgets" / "static"
HOST = Path(__file__).parent / "afm_host.js"
#: Requests to it never leave the browser: the page answers them. By its name the browser counts it as secure.
ORIGIN = "http://localhost"
#: JupyterLab's values of the variables that views may use.
THEME = """
body { margin: 0; background: var(--jp-layout-color0); color: var(--jp-content-font-color1);
       font: 13px system-ui, sans-serif;
       --jp-layout-color0: #fff; --jp-layout-color1: #fff; --jp-layout-color2: #eee; --jp-border-color1: #bdbdbd;
       --jp-border-color2: #e0e0e0; --jp-content-font-color1: rgba(0, 0, 0, 0.87); --jp-brand-color1: #1976d2;
       --jp-ui-font-color0: #000; --jp-ui-font-color1: rgba(0, 0, 0, 0.87); --jp-ui-font-color2: rgba(0, 0, 0, 0.54);
       --jp-ui-font-size1: 13px; --jp-error-color1: #d32f2f; --jp-widgets-color: rgba(0, 0, 0, 0.87); }
body[data-jp-theme-light="false"] { color-scheme: dark;
       --jp-layout-color0: #111; --jp-layout-color1: #212121; --jp-layout-color2: #424242; --jp-border-color1: #616161;
       --jp-border-color2: #424242; --jp-content-font-color1: #fff; --jp-brand-color1: #2196f3;
       --jp-ui-font-color0: #fff; --jp-ui-font-color1: rgba(255, 255, 255, 0.87);
       --jp-ui-font-color2: rgba(255, 255, 255, 0.54); --jp-error-color1: #ef5350;
       --jp-widgets-color: rgba(255, 255, 255, 0.87); }
main { padding: 16px; }
"""
DOCUMENT = f"""<!doctype html><html><head><meta charset="utf-8"><title>views</title><style>{THEME}</style></head>
<body data-jp-theme-light="true"><main></main></body></html>"""


def encode(value: Any) -> Any:
    """Convert traits to JSON values: bytes as ``{"__bytes__": base64}``, arrays as the wire has them."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"__bytes__": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, np.ndarray):
        contiguous = np.ascontiguousarray(value)
        return encode({"dtype": str(value.dtype), "shape": list(value.shape), "data": contiguous.tobytes()})
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def decode(value: Any) -> Any:
    """Undo :func:`encode`, except that arrays stay as the wire has them."""
    if isinstance(value, dict):
        if set(value) == {"__bytes__"}:
            return base64.b64decode(value["__bytes__"])
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


class Mounted:
    """One widget on the page, and its model.

    Attributes
    ----------
    el : Locator
        The element that holds the views of this widget; ``el.locator(...)`` looks inside.
    """

    def __init__(self, handle: JSHandle, el: Locator) -> None:
        self._handle = handle
        self.el = el

    def get(self, name: str) -> Any:
        """Return a trait as the browser's model has it."""
        return decode(self._handle.evaluate("(mount, name) => mount.get(name)", name))

    def update(self, **state: Any) -> None:
        """Send new values, as a kernel does."""
        self._handle.evaluate("(mount, state) => mount.update(state)", encode(state))

    def receive(self, content: Any, buffers: Sequence[bytes] = ()) -> None:
        """Send a custom message, as a kernel does."""
        self._handle.evaluate("(mount, message) => mount.receive(message)", [content, encode(list(buffers))])

    def render(self) -> None:
        """Draw one more view of the same model."""
        self._handle.evaluate("(mount) => mount.render()")

    def close(self) -> None:
        """Run the cleanup of every view and of the model."""
        self._handle.evaluate("(mount) => mount.close()")

    @property
    def saved(self) -> list[dict[str, Any]]:
        """The state that each ``save_changes`` sent to the kernel, oldest first."""
        value: list[dict[str, Any]] = decode(self._handle.evaluate("(mount) => mount.saved()"))
        return value

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The custom messages sent to the kernel, ``{"content": ..., "buffers": [...]}``, oldest first."""
        value: list[dict[str, Any]] = decode(self._handle.evaluate("(mount) => mount.sent()"))
        return value

    @property
    def listening(self) -> int:
        """How many listeners the model has; a view that is gone leaves none."""
        return int(self._handle.evaluate("(mount) => mount.model.listening"))

    def wait_for(self, name: str, expected: Any) -> None:
        """Wait until a trait has a value that JSON can hold."""
        self.el.page.wait_for_function(
            "([mount, name, json]) => JSON.stringify(mount.get(name)) === JSON.stringify(JSON.parse(json))",
            arg=[self._handle, name, json.dumps(expected)],
        )


class AfmPage:
    """A page without Jupyter on which bundles are mounted.

    Attributes
    ----------
    page : Page
        The Playwright page.
    console : list of str
        Errors of the page's console, and exceptions nobody caught; closing the page fails when there is one.
    foreign : list of str
        Addresses asked for outside the page; closing the page fails when there is one.
    """

    def __init__(self, context: BrowserContext, width: int = 1000, height: int = 800) -> None:
        self.console: list[str] = []
        self.foreign: list[str] = []
        self._scripts: dict[str, str] = {}
        self.page: Page = context.new_page()
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.route("**/*", self._answer)
        self.page.goto(f"{ORIGIN}/")

    def _answer(self, route: Route) -> None:
        url = route.request.url
        name = url.removeprefix(f"{ORIGIN}/")
        if name == "":
            route.fulfill(body=DOCUMENT, content_type="text/html")
        elif name == HOST.name:
            route.fulfill(path=HOST, content_type="text/javascript")
        elif name in self._scripts:
            route.fulfill(body=self._scripts[name], content_type="text/javascript")
        elif name == "favicon.ico":
            route.fulfill(status=204)
        else:
            self.foreign.append(url)
            route.abort()

    def mount(self, view: Any, state: Mapping[str, Any] | None = None) -> Mounted:
        """Mount a widget, or a bundle by its name.

        Parameters
        ----------
        view : str or anywidget.AnyWidget
            ``"heatmap_view"`` mounts ``xai_widgets/static/heatmap_view.js`` with its stylesheet; a widget is mounted
            with its own module and the state that a kernel would send.
        state : mapping, optional
            Traits by name, on top of the widget's own. Arrays may be numpy's.
        """
        if isinstance(view, str):
            script = (STATIC / f"{view}.js").read_text(encoding="utf-8")
            sheet = STATIC / f"{view}.css"
            css = sheet.read_text(encoding="utf-8") if sheet.exists() else ""
            traits: dict[str, Any] = {}
        else:
            traits = view.get_state()
            script, css = traits.pop("_esm"), traits.pop("_css", "")
        name = f"module_{len(self._scripts)}.js"
        self._scripts[name] = script
        handle = self.page.evaluate_handle(
            "([host, ...rest]) => import(host).then(({ Mount }) => Mount.create(...rest))",
            [f"/{HOST.name}", f"/{name}", encode({**traits, **(state or {})}), css],
        )
        return Mounted(handle, self.page.locator("main > div").nth(len(self._scripts) - 1))

    def theme(self, name: Theme) -> None:
        """Change the theme as JupyterLab does: by an attribute of the body."""
        self.page.evaluate(
            "(light) => { document.body.dataset.jpThemeLight = light }", str(name == "light").lower()
        )

    def screenshot(self, name: str) -> Path:
        """Save what is seen to ``test-results/name.png``."""
        return screenshot(self.page, name)

    def report(self) -> str:
        """Describe the messages of the page, for a failing test."""
        return "errors of the page:\n" + ("\n".join(self.console) or "(none)")

    def close(self) -> None:
        """Close the page; fails when it reported an error or asked for anything from elsewhere."""
        self.page.close()
        assert not self.foreign, f"the page asked for {self.foreign}"
        assert not self.console, f"the page reported {self.console}"
