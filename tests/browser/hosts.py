"""Real hosts of widgets: notebooks that are open in a server of JupyterLab or Notebook 7.

Nothing here sleeps: every wait is for a condition, in the page, in the kernel or in the server's log.
"""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from notebook_server import PATIENCE, JupyterServer, Tab
from playwright.sync_api import Browser, Locator, Page

Theme = Literal["light", "dark"]

ROOT = Path(__file__).resolve().parents[2]
#: Screenshots, and on failure the state of every open page, land here (git ignores it).
RESULTS = ROOT / "test-results"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
#: Pause between two questions to a kernel, in seconds: asked without one, it computes more slowly.
PAUSE = 0.1
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
        self._running = True
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
        self._running = False
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
        # Messages of JupyterLab about a dead kernel can arrive in the next notebook of the tab.
        if keep and self._running:
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


def choose(scope: Page | Locator, label: str, option: str) -> None:
    """Choose an option of a list, by the label of its field."""
    scope.get_by_role("combobox", name=label, exact=True).first.click()
    scope.get_by_role("option", name=option, exact=True).click()


def screenshot(page: Page, name: str) -> Path:
    """Save what is seen of ``page`` to ``test-results/name.png``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / (re.sub(r"[^\w.-]+", "_", name) + ".png")
    page.screenshot(path=path)
    return path
