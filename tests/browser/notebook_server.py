"""JupyterLab and Notebook 7 servers of their own, with their pages and the tabs that are open in them."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import urllib.request
from collections import deque
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal

from chromium_browser import PAGE_PATIENCE
from forked_kernels import DISPLAY, NAME, ForkServer
from playwright.sync_api import Browser, Page

Kind = Literal["lab", "notebook"]

#: Longest wait for servers, kernels and cells, in seconds. A loaded machine is twenty times slower than a quiet one.
PATIENCE = 600
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
        folders = own_folders(scratch / "home")
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


def own_folders(home: Path) -> dict[str, str]:
    """Return the variables that keep Jupyter, IPython and imported modules inside ``home``."""
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
