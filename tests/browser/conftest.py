"""Fixtures of the browser tests: one Chromium and one server of each kind a session, started when first used."""

import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from afm import AfmPage
from app_hosts import AppPage
from chromium_browser import PAGE_PATIENCE, launched, open_file
from forked_kernels import ForkServer
from hosts import NotebookHost, screenshot
from notebook_server import JupyterServer

OPEN_PAGES = pytest.StashKey[list]()
PASSED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def chromium():
    """The browser of the system, without a window."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def offline(chromium):
    """One context without a network: a window of its own for each test costs half a second of processor time."""
    with closing(chromium.new_context(offline=True)) as context:
        context.set_default_timeout(PAGE_PATIENCE * 1000)
        yield context


@pytest.fixture
def file_page(offline):
    """Open a file with the network off; fails for any request, message or error of its pages."""
    trouble, pages = [], []

    def open_page(path, scheme="light"):
        pages.append(open_file(offline, path, trouble, color_scheme=scheme))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()
    assert trouble == []


@pytest.fixture(scope="session")
def forks():
    """The process that forks kernels; its socket needs a short path."""
    # macOS forks no process that has used its frameworks.
    if sys.platform == "darwin":
        yield None
        return
    with TemporaryDirectory() as folder:
        server = ForkServer(Path(folder))
        yield server
        server.stop()


# The browser outlives the servers, which close what they hold of it.
def _server(kind, tmp_path_factory, forks):
    server = JupyterServer(kind, tmp_path_factory.mktemp(kind), forks)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def lab_server(chromium, tmp_path_factory, forks):
    yield from _server("lab", tmp_path_factory, forks)


@pytest.fixture(scope="session")
def notebook7_server(chromium, tmp_path_factory, forks):
    yield from _server("notebook", tmp_path_factory, forks)


def _host(request, chromium, server):
    host = NotebookHost(chromium, server)
    request.node.stash.setdefault(OPEN_PAGES, []).append(host.pages)
    yield host
    # A test that failed may have left anything in its tab.
    host.close(keep=request.node.stash.get(PASSED, False))


@pytest.fixture
def lab(request, chromium, lab_server):
    """JupyterLab: ``lab.open(cells)`` opens a notebook and runs it."""
    yield from _host(request, chromium, lab_server)


@pytest.fixture
def notebook7(request, chromium, notebook7_server):
    """Notebook 7, with the same ``open``."""
    yield from _host(request, chromium, notebook7_server)


@pytest.fixture(params=["lab", "notebook7"])
def jupyter(request):
    """A test with this fixture runs in JupyterLab and again in Notebook 7."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def afm_page(request, offline):
    """A page without Jupyter: ``afm_page.mount(widget)`` shows a widget, with its model open to the test."""
    page = AfmPage(offline)
    request.node.stash.setdefault(OPEN_PAGES, []).append([page])
    yield page
    page.close()


@pytest.fixture
def app(request, chromium):
    """Voila or marimo: ``app(voila(cells, tmp_path))`` opens the app of a server, which ends with the test."""
    pages = []
    request.node.stash.setdefault(OPEN_PAGES, []).append(pages)

    def open_page(server, **options):
        pages.append(AppPage(chromium, server, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.server.stop()
    for page in pages:
        page.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep a screenshot of every open page of a failing test, and add its errors to the report."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    if report.when == "call" and report.failed:
        pages = [page for pages in item.stash.get(OPEN_PAGES, []) for page in pages]
        for number, page in enumerate(pages):
            try:
                path = screenshot(page.page, f"{item.name}-{number}")
            except Exception as error:  # the failure itself matters more
                path = Path(f"(no screenshot: {error})")
            report.sections.append((f"page {number}, seen in {path.name}", page.report()))
    return report
