"""The package as it is shipped: what sdist and wheel hold, and that a newcomer's environment can use the wheel."""

import email
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from chromium_browser import launched
from environments import environment, install, run
from playwright.sync_api import expect

import xai_widgets

ROOT = Path(__file__).resolve().parents[2]
#: The largest wheel, in bytes: five networks of together 4.2 MB, the program that runs a network in a page, which is
#: 3.7 MB of compressed WebAssembly, bundles, code.
LARGEST = 13_000_000
#: The largest sdist: the same, and the sources of the bundles.
LARGEST_SOURCE = 14_000_000
#: The oldest widget libraries that are promised to work; those of Colab are in test_environments.py.
OLDEST = ["anywidget==0.9.19", "ipywidgets==7.7.1", "traitlets==5.7.1"]


@pytest.fixture(scope="session")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_a_bundle_and_a_stylesheet_of_each_view(names):
    views = sorted(path.stem for path in (ROOT / "js" / "src").glob("*.js"))
    assert "heatmap_view" in views
    # And the program of exported pages.
    views.append("page")
    expected = {f"xai_widgets/static/{view}.{kind}" for view in views for kind in ("js", "css")}
    # The program that runs a network in a page has no style.
    expected.add("xai_widgets/static/engine.js")
    assert "xai_widgets/static/engine.wasm.gz" in names
    assert expected <= names
    assert {
        name for name in names if name.startswith("xai_widgets/static/") and name.endswith((".js", ".css"))
    } == expected


def test_the_wheel_holds_the_licences_of_what_is_bundled(wheel):
    with zipfile.ZipFile(wheel) as archive:
        notices = archive.read("xai_widgets/static/notices.txt").decode()
    package = json.loads((ROOT / "js" / "package.json").read_text(encoding="utf-8"))
    assert package["dependencies"]
    for dependency in package["dependencies"]:
        assert f"{dependency} " in notices
    assert notices.count("Copyright") >= len(package["dependencies"])
    with zipfile.ZipFile(wheel) as archive:
        components = archive.read("xai_widgets/static/engine_notices.txt").decode()
    for name in ("eigen", "abseil", "flatbuffers", "SafeInt", "re2"):
        assert name.lower() in components.lower()


def test_the_wheel_holds_the_networks(names):
    for network in ("scenes_vgg", "scenes_resnet"):
        assert f"xai_widgets/zoo/weights/{network}.safetensors" in names


def test_the_wheel_holds_every_module_and_nothing_else(names):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "xai_widgets").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {"xai_widgets/py.typed", "xai_widgets/__init__.pyi"} <= names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"xai_widgets"}
    assert any(name.endswith("/LICENSE") for name in names)
    assert [name for name in names if name.endswith((".pyc", ".map", ".partial"))] == []


def test_the_wheel_holds_the_notebooks_and_the_program(wheel, names):
    notebooks = {f"xai_widgets/notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert "xai_widgets/notebooks/00_tour.ipynb" in notebooks
    assert {name for name in names if name.endswith(".ipynb")} == notebooks
    with zipfile.ZipFile(wheel) as archive:
        (entries,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "xai-widgets = xai_widgets.cli:script" in archive.read(entries).decode()


def test_the_page_on_pypi_has_absolute_links_and_images(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_string(archive.read(name).decode())
    links = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= set(links)
    url, tag = links["Repository"], f"v{xai_widgets.__version__}"
    raw = url.replace("https://github.com/", "https://raw.githubusercontent.com/")
    text = metadata.get_payload()
    addresses = ["".join(found) for found in re.findall(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"", text)]
    assert len(addresses) > 40
    for address in addresses:
        assert address.startswith("https://"), address
        # The address is that of a file of the repository.
        file = re.fullmatch(rf"(?:{url}/blob|{raw})/{tag}/([^#]+)(?:#.*)?", address)
        assert file is None or (ROOT / file[1]).is_file(), address
        assert file or "colab" in address, address
        if address.endswith((".webp", ".png")):
            assert address.startswith(raw), f"{address} is a page about an image"
    versions = {
        entry.rpartition(" ")[2] for entry in metadata.get_all("Classifier") if "Python :: 3." in entry
    }
    assert versions == {"3.10", "3.11", "3.12", "3.13"}


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size <= LARGEST


@pytest.fixture(scope="session")
def source(dist):
    """The path of the sdist, and the names in it below its one folder."""
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    return path, names


def test_the_sdist_can_be_worked_with(source):
    path, names = source
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "js/package-lock.json",
        "js/build.mjs",
        "CITATION.cff",
        "notebooks/00_tour.ipynb",
    } <= names
    assert {f"js/src/{file.name}" for file in (ROOT / "js" / "src").glob("*.js")} <= names
    assert path.stat().st_size <= LARGEST_SOURCE


def test_neither_holds_tests_or_what_is_built(source, names):
    tests = ("tests/", "test-results/", "js/test/", "benchmarks/", "docs/")
    built = (".venv", "js/node_modules", "build/", "dist/", ".git/")
    assert [name for name in source[1] | names if name.startswith((*tests, *built))] == []
    # Not by another way either: no picture, page or table of results is part of the package.
    assert [
        name for name in names if name.endswith((".png", ".jpg", ".html", ".csv", ".npy", ".pt", ".pth"))
    ] == []


def test_sdist_and_wheel_are_the_version(source, wheel):
    version = xai_widgets.__version__
    assert source[0].name == f"xai_widgets-{version}.tar.gz"
    assert wheel.name == f"xai_widgets-{version}-py3-none-any.whl"


@pytest.fixture(scope="session")
def clean(wheel):
    """Python of an environment that holds the wheel and what it requires, and nothing else."""
    with environment("clean", sys.executable) as python:
        install(python, wheel)
        yield python


def use(python, empty, *requirements):
    # -I: neither the working folder nor the user's own packages are looked at.
    return run(python, "-I", Path(__file__).with_name("use_wheel.py"), *requirements, cwd=empty)


def test_a_clean_environment_can_use_the_wheel(clean, tmp_path):
    assert "used" in use(clean, tmp_path)


@pytest.fixture
def opened():
    """Open a page from disk in Chromium, with the network off; fail for any request, message or error."""
    trouble = []
    with launched() as browser:
        page = browser.new_context(viewport={"width": 1100, "height": 900}, offline=True).new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda m: trouble.append(m.text) if m.type in ("error", "warning") else None)

        def open_page(path):
            page.goto(path.as_uri())
            expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
            return page

        yield open_page
    assert trouble == []


# After the one above: it changes the same environment, for torch is too large to be installed twice.
def test_the_oldest_widget_libraries_can_use_the_wheel(clean, tmp_path, opened):
    install(clean, *OLDEST)
    assert "used" in use(clean, tmp_path, *OLDEST)
    page = opened(tmp_path / "page.html")
    # The state is that of the oldest libraries, the front end of the page that of today's.
    heatmap = page.locator(".xw-heatmap-view").first
    expect(heatmap).to_contain_text("90 %")
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowLeft")
    expect(heatmap).to_contain_text("80 %")
    expect(page.locator(".xw-curve-view .xw-legend-area").first).to_have_text(re.compile(r"^\d\.\d{3}$"))
    for name, view in (("Attribution", "map-grid"), ("Deletion", "curve"), ("Similarity", "similarity")):
        page.get_by_role("tab", name=name).click()
        expect(page.locator(f".xw-{view}-view:visible").last).to_be_visible()
