"""Real hosts of widgets: a JupyterLab or Notebook 7 server of its own, and the notebooks opened in it.

Nothing here sleeps: every wait is for a condition, in the page, in the kernel or in the server's log.
"""

from __future__ import annotations

import ast
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal

from chromium_browser import PAGE_PATIENCE
from forked_kernels import DISPLAY, NAME, ForkServer
from playwright.sync_api import Browser, Locator, Page

Kind = Literal["lab", "notebook"]
Theme = Literal["light", "dark"]

ROOT = Path(__file__).resolve().parents[2]
#: Screenshots, and on failure the state of every open page, land here (git ignores it).
RESULTS = ROOT / "test-results"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
#: Longest wait for servers, kernels and cells, in seconds. A loaded machine is twenty times slower than a quiet one.
PATIENCE = 600
#: Pause between two questions to a kernel, in seconds: asked without one, it computes more slowly.
PAUSE = 0.1
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
FORKED = {"display_name": DISPLAY, "language": "python", "name": NAME}
#: No news, no question about updates: a dialog over the page would catch the clicks of a test.
OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # A test may press keys in a widget for seconds; nothing should save or ask in between.
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

# The panel of the notebook at `path`, once its kernel answers. Lab calls a session idle before its kernel is
# attached, and a click in that moment opens a dialog that blocks everything: hence `ready` and `info`.
READY = """async ([path, seconds]) => {
  const late = new Promise((_, reject) => setTimeout(
    () => reject(new Error(`no kernel for ${path} after ${seconds} s`)), seconds * 1000));
  const ready = async () => {
    const app = window.jupyterapp;
    await app.restored;
    const find = () => [...app.shell.widgets('main')].find((w) => w.context?.path === path && w.sessionContext);
    while (!find()) await new Promise((resolve) => requestAnimationFrame(resolve));
    const panel = find();
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    app.shell.activateById(panel.id);
    window.notebookPanel = panel;
  };
  await Promise.race([ready(), late]);
}"""

# Returns nothing: Playwright would copy the panel, with all that it refers to.
OPEN = "async (path) => { await window.jupyterapp.commands.execute('docmanager:open', { path }); }"

# Closes the notebook and whatever else is open, asks nothing, and brings back what a test may have put away.
CLOSE = """() => {
  const { shell } = window.jupyterapp;
  for (const widget of [...shell.widgets('main')]) widget.dispose();
  shell.expandLeft();
  delete window.notebookPanel;
}"""

# Runs all cells and returns the error outputs. Running ends early at a failing cell, as it does for a person.
RUN_ALL = """async (seconds) => {
  const cells = () => [...window.notebookPanel.content.widgets];
  const late = new Promise((_, reject) => setTimeout(() => {
    const at = cells().findIndex((cell) => cell.promptNode?.textContent?.includes('*'));
    reject(new Error(`cells still run after ${seconds} s, the first of them cell ${at + 1}`));
  }, seconds * 1000));
  await Promise.race([window.jupyterapp.commands.execute('notebook:run-all-cells'), late]);
  const errors = [];
  let unrun = 0;
  cells().forEach((cell, index) => {
    if (cell.model.type !== 'code') return;
    const outputs = cell.model.outputs;
    for (let i = 0; i < outputs.length; i++) {
      const output = outputs.get(i).toJSON();
      if (output.output_type === 'error') errors.push([index + 1, output.traceback.join('\\n')]);
    }
    if (cell.model.sharedModel.source.trim() && cell.model.executionCount === null) unrun += 1;
  });
  return [errors, unrun];
}"""

# Executes code in the notebook's own kernel, beside its cells: no output, no execution count.
EXECUTE = """async ([code, expression, seconds]) => {
  const kernel = window.notebookPanel.sessionContext.session?.kernel;
  if (!kernel) throw new Error('this notebook has no kernel');
  const late = new Promise((_, reject) => setTimeout(
    () => reject(new Error(`the kernel gave no answer within ${seconds} s`)), seconds * 1000));
  const future = kernel.requestExecute(
    {code, silent: false, store_history: false, user_expressions: expression ? {value: expression} : {}});
  return (await Promise.race([future.done, late])).content;
}"""

# Saves the notebook with the states of its widgets. The command of the settings menu is a switch that the server keeps.
SAVE_WITH_WIDGETS = """async () => {
  const { commands } = window.jupyterapp;
  const name = '@jupyter-widgets/jupyterlab-manager:saveWidgetState';
  if (!commands.isToggled(name)) await commands.execute(name);
  await commands.execute('docmanager:save');
}"""


class CellError(AssertionError):
    """A cell, or code executed beside the cells, raised in the kernel; the message holds its traceback."""


class JupyterServer:
    """One Jupyter server on a free port of 127.0.0.1, with a home, settings and kernels of its own.

    Parameters
    ----------
    kind : {"lab", "notebook"}
        JupyterLab or Notebook 7.
    scratch : Path
        Empty folder for everything the server reads and writes.
    forks : ForkServer, optional
        Forks the kernels of notebooks that are given by their cells. Without it, and for notebooks that are given as
        files, kernels start as a user's do.
    """

    def __init__(self, kind: Kind, scratch: Path, forks: ForkServer | None = None) -> None:
        self.kind = kind
        self.kernelspec = FORKED if forks else KERNELSPEC
        self.tabs: list[Tab] = []
        self.files = scratch / "files"
        self.log: deque[str] = deque(maxlen=400)
        self.token = secrets.token_hex(16)
        self._listening = threading.Event()
        self._names = count(1)
        for name in ("files", "home", "settings"):
            (scratch / name).mkdir()
        (scratch / "settings" / "overrides.json").write_text(json.dumps(OVERRIDES))
        folders = _own_folders(scratch / "home")
        if forks:
            forks.install(Path(folders["JUPYTER_DATA_DIR"]) / "kernels")
        app = "LabApp" if kind == "lab" else "JupyterNotebookApp"
        arguments = [
            *(sys.executable, "-m", "jupyterlab" if kind == "lab" else "notebook"),
            *("--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
            # Root may run it here: the server is alone in its scratch folder and behind a token.
            *("--allow-root", f"--IdentityProvider.token={self.token}"),
            f"--ServerApp.root_dir={self.files}",
            f"--{app}.app_settings_dir={scratch / 'settings'}",
            f"--{app}.expose_app_in_browser=True",
        ]
        self._process = subprocess.Popen(
            arguments,
            cwd=self.files,
            env=os.environ | folders,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.url = ""
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._listening.wait(PATIENCE) or not self.url:
            self.stop()
            raise RuntimeError(f"the {kind} server did not start:\n{self.log_tail()}")

    def _read_log(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line)
            if not self.url and (match := re.search(r"http://127\.0\.0\.1:\d+", line)):
                self.url = match[0]
                self._listening.set()
        # The server ended: whoever waits for it is to hear so.
        self._listening.set()

    def log_tail(self, lines: int = 60) -> str:
        """Return the last lines of the server's log; kernels write theirs there too."""
        return "".join(list(self.log)[-lines:])

    def write(self, cells: Sequence[str] | Path) -> str:
        """Put a notebook where the server finds it, and return its name."""
        name = f"test_{next(self._names)}.ipynb"
        content = (
            json.loads(cells.read_text(encoding="utf-8"))
            if isinstance(cells, Path)
            else notebook(cells, self.kernelspec)
        )
        (self.files / name).write_text(json.dumps(content), encoding="utf-8")
        return name

    def address(self, name: str) -> str:
        """Return the address of a notebook; ``reset`` forgets the tabs that earlier pages left in the workspace."""
        folder = "lab/tree" if self.kind == "lab" else "notebooks"
        return f"{self.url}/{folder}/{name}?reset&token={self.token}"

    def request(self, method: str, path: str) -> Any:
        """Call the server's own interface, for instance ``request("GET", "api/kernels")``."""
        call = urllib.request.Request(
            f"{self.url}/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(call, timeout=PATIENCE) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def stop(self) -> None:
        """End the server and with it its kernels."""
        while self.tabs:
            self.tabs.pop().close()
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()


def _own_folders(home: Path) -> dict[str, str]:
    """Return the variables that keep Jupyter, IPython and what notebooks import inside ``home``."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_CACHE_HOME")
    folders = {
        name: str(home / name.lower())
        for name in (*names, "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR")
    }
    lab = {f"JUPYTERLAB_{name}_DIR": str(home / f"lab_{name.lower()}") for name in ("SETTINGS", "WORKSPACES")}
    # The kernelspec of the environment that runs the tests, not one of the user's.
    return {"HOME": str(home), "JUPYTER_PREFER_ENV_PATH": "1", **folders, **lab}


def notebook(cells: Sequence[str], kernelspec: dict[str, str] = KERNELSPEC) -> dict[str, Any]:
    """Return a notebook of code cells; without the kernelspec Jupyter would ask for a kernel."""
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{index}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for index, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": kernelspec},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


class Tab:
    """A tab of a browser of its own, and its errors and requests since :meth:`clear`.

    Attributes
    ----------
    page : Page
        The Playwright page.
    console : list of str
        Errors of the page's console, and exceptions nobody caught.
    foreign : list of str
        Addresses asked for outside the server.
    """

    def __init__(self, browser: Browser, server: JupyterServer) -> None:
        self.console: list[str] = []
        self.foreign: list[str] = []
        self._home = (server.url, "data:", "blob:")
        self._context = browser.new_context()
        self._context.set_default_timeout(PAGE_PATIENCE * 1000)
        self._context.set_default_navigation_timeout(PATIENCE * 1000)
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith(self._home):
            self.foreign.append(url)

    def clear(self) -> None:
        """Forget earlier errors and requests."""
        self.console.clear()
        self.foreign.clear()

    def close(self) -> None:
        """Close the tab and its browser."""
        self._context.close()


class NotebookPage:
    """A notebook open in a browser, with a live kernel.

    JupyterLab is loaded once: a notebook that is opened after another was closed is opened in its tab.

    Attributes
    ----------
    page : Page
        The Playwright page: anything a hand can do is done through it.
    console : list of str
        Errors of the page's console, and exceptions nobody caught.
    foreign : list of str
        Addresses asked for outside the server; closing the page fails when there is one.
    """

    def __init__(self, browser: Browser, server: JupyterServer, name: str, width: int, height: int) -> None:
        self.server = server
        self.name = name
        loaded = bool(server.tabs)
        self._tab = server.tabs.pop() if loaded else Tab(browser, server)
        self.page, self.console, self.foreign = self._tab.page, self._tab.console, self._tab.foreign
        self._tab.clear()
        self.page.set_viewport_size({"width": width, "height": height})
        # Where the last test left it, it would hover over this notebook.
        self.page.mouse.move(0, 0)
        if loaded and server.kind == "lab":
            self.page.evaluate(OPEN, name)
        else:
            self.page.goto(server.address(name))
            self.page.wait_for_function("() => window.jupyterapp?.shell", timeout=PATIENCE * 1000)
        self.page.evaluate(READY, [name, PATIENCE])
        self._kernel_id = self.page.evaluate("() => window.notebookPanel.sessionContext.session.kernel.id")

    def run_all(self, timeout: float = PATIENCE) -> None:
        """Run every cell and wait until all are done, ``timeout`` seconds at most.

        Raises
        ------
        CellError
            With the traceback of the first cell that failed.
        """
        errors, unrun = self.page.evaluate(RUN_ALL, timeout)
        if errors:
            number, traceback = errors[0]
            raise CellError(f"cell {number} of {self.name} failed:\n{ESCAPES.sub('', traceback)}")
        if unrun:
            raise CellError(
                f"{unrun} cells of {self.name} did not run; the log of the server:\n{self.server.log_tail()}"
            )

    def kernel_exec(self, code: str, timeout: float = PATIENCE) -> None:
        """Execute ``code`` in the notebook's kernel, beside its cells."""
        self._execute(code, None, timeout)

    def kernel_eval(self, expression: str, timeout: float = PATIENCE) -> Any:
        """Return the value of a Python expression in the notebook's kernel, as JSON brings it over."""
        reply = self._execute("", f"__import__('json').dumps({expression})", timeout)
        value = reply["user_expressions"]["value"]
        if value["status"] != "ok":
            raise CellError(f"{expression}: {value['ename']}: {value['evalue']}")
        # The kernel shows a string as its repr.
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def _execute(self, code: str, expression: str | None, timeout: float) -> dict[str, Any]:
        reply: dict[str, Any] = self.page.evaluate(EXECUTE, [code, expression, timeout])
        if reply["status"] != "ok":
            traceback = "\n".join(reply.get("traceback", [])) or reply["status"]
            raise CellError(f"the kernel could not execute {code!r}:\n{ESCAPES.sub('', traceback)}")
        return reply

    def wait_for_kernel(self, expression: str, expected: Any = True, timeout: float = PATIENCE) -> Any:
        """Ask the kernel for ``expression`` until it equals ``expected``; each question is one round trip."""
        latest = time.monotonic() + timeout
        while (value := self.kernel_eval(expression)) != expected:
            if time.monotonic() > latest:
                raise AssertionError(f"{expression} is {value!r} in the kernel, expected {expected!r}")
            self.page.wait_for_timeout(1000 * PAUSE)
        return value

    def save_with_widgets(self) -> Path:
        """Save the notebook as "Save Widget State Automatically" does, and return its file."""
        self.page.evaluate(SAVE_WITH_WIDGETS)
        saved = self.server.files / self.name
        assert "widget-state+json" in saved.read_text(encoding="utf-8")
        return saved

    def shutdown_kernel(self) -> None:
        """End the kernel for good, as "Shut Down Kernel" does; the page stays as it is."""
        self.page.evaluate("() => window.notebookPanel.sessionContext.shutdown()")
        self.page.wait_for_function("() => !window.notebookPanel.sessionContext.session")
        running = [kernel["id"] for kernel in self.server.request("GET", "api/kernels")]
        assert self._kernel_id not in running, "the kernel outlived its shutdown"

    def theme(self, name: Theme) -> None:
        """Change the theme, and wait until the page has it."""
        self.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES[name]
        )
        self.page.wait_for_function(
            "(theme) => document.body.dataset.jpThemeName === theme", arg=THEMES[name]
        )

    def output(self, cell: int) -> Locator:
        """Return the output area of a cell, counted from 0, and scroll it into view."""
        self.page.evaluate("(index) => window.notebookPanel.content.scrollToItem(index)", cell)
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea").first

    def screenshot(self, name: str) -> Path:
        """Save what is seen to ``test-results/name.png``."""
        return screenshot(self.page, name)

    def report(self) -> str:
        """Return the errors of the page and the log of the server, for a failing test."""
        errors = "\n".join(self.console) or "(none)"
        return f"errors of the page:\n{errors}\nlog of the server:\n{self.server.log_tail()}"

    def close(self, keep: bool = False) -> None:
        """Close the page and end its kernel; fails when the page asked for anything outside the server.

        Parameters
        ----------
        keep : bool
            Whether the tab is as good as new for another notebook.
        """
        if keep:
            self.page.evaluate(CLOSE)
            self.server.tabs.append(self._tab)
        else:
            self._tab.close()
        for kernel in self.server.request("GET", "api/kernels"):
            if kernel["id"] == self._kernel_id:
                self.server.request("DELETE", f"api/sessions/{self._session_id()}")
        assert not self.foreign, f"the page of {self.name} asked for {self.foreign}"

    def _session_id(self) -> str:
        sessions = self.server.request("GET", "api/sessions")
        return next(session["id"] for session in sessions if session["kernel"]["id"] == self._kernel_id)


class NotebookHost:
    """Opens notebooks in one server; ``close`` ends all of them."""

    def __init__(self, browser: Browser, server: JupyterServer) -> None:
        self.browser = browser
        self.server = server
        self.pages: list[NotebookPage] = []

    def open(
        self,
        cells: Sequence[str] | Path,
        *,
        theme: Theme = "light",
        width: int = 1280,
        height: int = 900,
        run: bool = True,
        timeout: float = PATIENCE,
    ) -> NotebookPage:
        """Open a notebook, given as the source of its cells or as a file, and run it.

        Parameters
        ----------
        cells : sequence of str, or Path
            Code cells, or an ``.ipynb`` file, which is copied.
        theme : {"light", "dark"}
        width, height : int
            Size of the window in CSS pixels.
        run : bool
            Whether to run all cells; with ``False`` the kernel is only ready.
        timeout : float
            Longest time the cells may take together, in seconds.
        """
        page = NotebookPage(self.browser, self.server, self.server.write(cells), width, height)
        self.pages.append(page)
        # Set for the light one, too: the server remembers the choice of an earlier page.
        page.theme(theme)
        if run:
            page.run_all(timeout)
        return page

    def close(self, keep: bool = False) -> None:
        """Close every page that was opened here; ``keep`` their tabs for the notebooks of other tests."""
        while self.pages:
            self.pages.pop().close(keep)


def screenshot(page: Page, name: str) -> Path:
    """Save what is seen of ``page`` to ``test-results/name.png``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / (re.sub(r"[^\w.-]+", "_", name) + ".png")
    page.screenshot(path=path)
    return path
