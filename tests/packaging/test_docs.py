"""The documentation site: it builds without a warning, tells of every public name, and loads nothing from elsewhere."""

import base64
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

import xai_widgets as xw

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
#: The largest page of the site, in bytes, beside the live ones.
LARGEST = 500_000
#: Elements by which a browser loads something, and how.
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def live():
    return importlib.import_module("live")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as it is built with no live page there yet, or with those that are."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Loaded(HTMLParser):
    """What a page loads, and where it leads to."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if address := given.get(LOADING.get(tag)):
            self.addresses.append(address)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def pages(folder):
    return [path for path in sorted(folder.rglob("*.html")) if path.parent.name != "live"]


def published():
    """The names of every public class and function of the package and of its parts."""
    for holder in [xw, *(getattr(xw, name) for name, home in xw._EXPORTS.items() if home == "xai_widgets")]:
        for name in holder.__all__:
            # Tables in capitals, and modules, are told of in the text.
            if not name.isupper() and name != "__version__" and not inspect.ismodule(getattr(holder, name)):
                yield name


def test_every_public_name_has_an_entry(site):
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = {
        line.split(" ")[0].rpartition(".")[2] for line in zlib.decompress(inventory).decode().splitlines()
    }
    assert set(published()) - entries == set()


def test_nothing_is_loaded_from_elsewhere(site):
    assert len(pages(site)) > 20
    foreign = {
        (path.name, address)
        for path in pages(site)
        for address in Loaded(path.read_text(encoding="utf-8")).addresses
        if re.match(r"(https?:)?//", address)
    }
    assert foreign == set()


def test_every_address_of_a_page_is_there(site):
    lost = set()
    for path in pages(site):
        if path.name == "404.html":
            continue
        found = Loaded(path.read_text(encoding="utf-8"))
        for address in [*found.addresses, *found.links]:
            place = address.partition("#")[0]
            elsewhere = not place or re.match(r"[a-z]+:", place) or "live/" in place
            if not elsewhere and not (path.parent / place).exists():
                lost.add((path.name, address))
    assert lost == set()


def test_pages_are_small(site):
    sizes = {path.name: path.stat().st_size for path in pages(site)}
    assert {name: size for name, size in sizes.items() if size > LARGEST} == {}


def test_no_role_of_another_tool_is_left(site):
    for path in pages(site):
        assert not re.search(r":(func|meth|class|mod|attr):", path.read_text(encoding="utf-8")), path.name


def test_every_notebook_is_a_page_and_a_file(site):
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "notebooks" / path.name).read_bytes() == path.read_bytes()
        text = (site / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        title = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()[0]
        assert title.removeprefix("# ") in text
        assert f'href="{path.name}"' in text


def test_every_explorer_has_a_frame_and_every_frame_a_page(live):
    framed = {
        name
        for page in ("index.md", "gallery.md")
        for name in re.findall(r'src="live/(\w+)\.html"', (DOCS / page).read_text(encoding="utf-8"))
    }
    assert framed == set(live.EXPLORERS)
    made = {name for name in xw.explorers.__all__ if name[0].isupper() and name != "Dashboard"}
    assert {name.title().replace("_", "") for name in live.EXPLORERS} == made | {"Dashboard"}


def test_every_page_with_the_network_has_a_frame_and_a_link(live):
    text = (DOCS / "network_pages.md").read_text(encoding="utf-8")
    for pattern in (r'src="live/(\w+)\.html"', r'href="live/(\w+)\.html"'):
        assert re.findall(pattern, text) == list(live.WITH_NETWORK)
    assert "docs/network_pages.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](network_pages.md)" in (DOCS / "gallery.md").read_text(encoding="utf-8")


def test_a_page_with_the_network_is_made_by_the_command_of_the_site(live, tmp_path):
    pytest.importorskip("onnxscript")
    live.make("network_brush", tmp_path)
    page = (tmp_path / "network_brush.html").read_text(encoding="utf-8")
    assert 'id="network"' in page
    # About 8 MB.
    assert 5_000_000 < len(page) < 12_000_000


def notebook(*cells):
    return {
        "cells": [
            {"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "source": source.splitlines(True)}
            for number, source in enumerate(cells)
        ]
    }


def test_a_notebook_is_run_as_jupyter_runs_it(live, tmp_path):
    path = tmp_path / "one.ipynb"
    cells = (
        "import numpy as np\nimport xai_widgets as xw\nprint('said <b>')\n3 + 4",
        "class A:\n    pass\n",
        "xw.HeatmapView(image=np.zeros((4, 4, 3), np.uint8), maps=np.eye(4))",
        "x = 1",
    )
    path.write_text(json.dumps(notebook(*cells)), encoding="utf-8")
    assert live.run_notebook(path, tmp_path) == {
        "cell-0": {"text": "said <b>\n7"},
        "cell-2": {"page": "cell-2.html"},
    }
    assert "<title>Heatmap view</title>" in (tmp_path / "cell-2.html").read_text(encoding="utf-8")


def test_a_page_has_the_heading_above_its_cell(live, tmp_path):
    path = tmp_path / "one.ipynb"
    given = notebook("import ipywidgets\nipywidgets.VBox()")
    given["cells"].insert(
        0, {"cell_type": "markdown", "id": "t", "source": ["# One\n", "\n", "## Boxes\n", "Text."]}
    )
    path.write_text(json.dumps(given), encoding="utf-8")
    assert live.run_notebook(path, tmp_path) == {"cell-0": {"page": "cell-0.html"}}
    assert "<title>Boxes</title>" in (tmp_path / "cell-0.html").read_text(encoding="utf-8")


def test_a_failing_notebook_fails(live, tmp_path):
    path = tmp_path / "one.ipynb"
    path.write_text(json.dumps(notebook("1 / 0")), encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        live.run_notebook(path, tmp_path)


def test_a_failed_computation_fails(live):
    bar = xw.views.RunBar(error="out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        live.finished([bar])


@pytest.fixture(scope="module")
def hooks():
    return importlib.import_module("docs")


def test_outputs_stand_behind_their_cells(hooks):
    given = notebook("print('<b>')", "view")
    given["cells"].insert(
        0, {"cell_type": "markdown", "id": "t", "metadata": {}, "source": "# Title\n\nText."}
    )
    outputs = {"cell-0": {"text": "<b>"}, "cell-1": {"page": "cell-1.html"}}
    text = hooks.notebook_page(given, "one.ipynb", outputs)
    order = [
        "# Title",
        "(one.ipynb)",
        "Text.",
        "print('<b>')",
        "&lt;b&gt;",
        "view",
        'src="../live/cell-1.html"',
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_stored_outputs_stand_in_for_live_pages(hooks):
    given = notebook("print('one')", "view")
    png = {"image/png": base64.b64encode(b"pixels").decode(), "text/plain": ["View"]}
    given["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["one\n"]}]
    given["cells"][1]["outputs"] = [{"output_type": "execute_result", "data": png}]
    outputs = hooks.stored(given, "one")
    assert outputs == {"cell-0": {"text": "one"}, "cell-1": {"image": "one-cell-1.png"}}
    assert hooks.images(given, "one") == {"one-cell-1.png": b"pixels"}
    title = {"cell_type": "markdown", "id": "t", "metadata": {}, "source": "# Title"}
    given["cells"].insert(0, title)
    assert "(one-cell-1.png)" in hooks.notebook_page(given, "one.ipynb", outputs)


def test_anchors_are_those_of_github(hooks):
    given = "# One\n\n## Grad-CAM\n```python\n## no heading\n```\n### Grad-CAM++\n### Greedy regions (XRAI)\n"
    wanted = (
        "# One\n\n## Grad-CAM { #grad-cam }\n```python\n## no heading\n```\n"
        "### Grad-CAM++ { #grad-cam-1 }\n### Greedy regions (XRAI) { #greedy-regions-xrai }\n"
    )
    assert hooks.with_anchors(given).splitlines() == wanted.splitlines()


def test_a_section_of_the_readme_is_a_part_of_a_page(hooks):
    text = hooks.section("Your network")
    assert text.startswith("| from | code |")
    assert "(how-to/timm.md)" in text
    assert "(notebooks/13_own_network.md)" in text
    assert "(docs/" not in text
    assert "## Explorers" not in text
    with pytest.raises(ValueError, match=r"expected a heading of README\.md, got 'Your cat'"):
        hooks.section("Your cat")


def compositions():
    """The ten sections of the notebook of dashboards: their headings, and the lines of code of each."""
    cells = json.loads((ROOT / "notebooks" / "05_dashboards.ipynb").read_text(encoding="utf-8"))["cells"]
    found = {}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and (heading := re.match(r"## (\d+\. .*)", source)):
            found[heading[1]] = []
        # The view of the reader's own is a page of its own.
        elif cell["cell_type"] == "code" and found and "class Lens" not in source:
            found[list(found)[-1]] += [line for line in source.splitlines() if line.strip()]
    return found


def test_ten_compositions_of_at_most_ten_lines():
    found = compositions()
    assert len(found) == 10
    assert {heading: len(lines) for heading, lines in found.items() if not 1 <= len(lines) <= 10} == {}


ROW = re.compile(r"^\| (?!-)(.*?) \| (.*) \|$", re.MULTILINE)


def rows(title):
    text = (DOCS / "migration.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    return ROW.findall(section)[1:]


@pytest.mark.parametrize(
    ("title", "least"),
    [("Captum Insights", 8), ("Captum", 8), ("TorchRay", 8), ("Transformers", 4), ("pytorch-grad-cam", 8)],
)
def test_our_side_of_the_migration_table_is_there(title, least):
    found = rows(title)
    assert len(found) >= least
    for _theirs, ours in found:
        for package, name in re.findall(r"\b(attribution|perturbation|metrics|similarity)\.(\w+)\(", ours):
            assert callable(getattr(getattr(xw, package), name)), f"{package}.{name}"
        for name in re.findall(r"\bxw\.(\w+)", ours):
            assert name in xw.__all__


@pytest.mark.parametrize(
    ("title", "module"), [("Captum", "captum.attr"), ("pytorch-grad-cam", "pytorch_grad_cam")]
)
def test_their_side_is_there_too(title, module):
    library = importlib.import_module(module)
    names = {name for theirs, _ours in rows(title) for name in re.findall(r"`(\w+)\(", theirs)}
    elsewhere = {"show_cam_on_image", "CamMultImageConfidenceChange"}
    assert {name for name in names - elsewhere if not hasattr(library, name)} == set()
    assert len(names) >= 7


def test_options_of_our_side_are_understood():
    text = (DOCS / "migration.md").read_text(encoding="utf-8")
    calls = re.findall(r"\b(attribution|perturbation)\.(\w+)\(model, x, c, ([^`]*?)\)(?:\.|`)", text)
    assert len(calls) > 10
    for package, name, options in calls:
        function = getattr(getattr(xw, package), name)
        known = inspect.signature(getattr(function, "function", function)).parameters
        for option in re.findall(r"(\w+)=", options):
            assert option in known, f"{package}.{name}: {option}"
