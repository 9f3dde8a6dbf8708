"""Optional packages: one function imports them, and a missing one names the extra that installs it, nothing more."""

import ast
import re
import sys
from pathlib import Path

import pytest

import xai_widgets
from xai_widgets.core.optional import EXTRAS, installed, missing, optional

PACKAGE = Path(xai_widgets.__file__).parent
#: Packages that are there whenever the code that imports them runs: it is called by them.
HOSTS = {"IPython", "marimo"}
#: The functions that name an optional package first.
CALLS = ("optional", "missing")
PROJECT = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")


def listed(table, name):
    """Return the names of the packages in a list of a table of pyproject.toml."""
    section = re.search(rf"^\[{re.escape(table)}\]\n(.*?)(?=^\[)", PROJECT, re.M | re.S).group(1)
    entries = re.search(rf"^{re.escape(name)} = \[\n?(.*?)\]\n", section, re.M | re.S).group(1)
    return set(re.findall(r'"([A-Za-z0-9_-]+)', entries))


REQUIRED = {"PIL" if name == "pillow" else name for name in listed("project", "dependencies")}


def imported():
    """Yield each file, its imports of other packages, and the modules and purposes that it gives to `optional`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        imports, requests = set(), []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imports |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imports.add(node.module.partition(".")[0])
            elif (
                isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS and path.name != "optional.py"
            ):
                requests.append([ast.unparse(each) for each in node.args])
        yield path.relative_to(PACKAGE).as_posix(), imports, requests


@pytest.mark.parametrize(("name", "imports"), [(name, imports) for name, imports, _ in imported()])
def test_no_other_import_is_of_an_optional_package(name, imports):
    assert imports - REQUIRED - HOSTS - set(sys.stdlib_module_names) <= {"xai_widgets"}


REQUESTS = [request for _, _, requests in imported() for request in requests]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: each[0])
def test_each_request_is_for_a_package_of_an_extra(request_):
    module = request_[0].lstrip("f").strip("'\"").partition(".")[0]
    title, extra = EXTRAS[module]
    assert title.lower() in listed("project.optional-dependencies", extra)


def test_every_extra_is_used_and_all_holds_them():
    used = {request[0].lstrip("f").strip("'\"").partition(".")[0] for request in REQUESTS}
    assert used == set(EXTRAS)
    extras = {extra for _, extra in EXTRAS.values()}
    (everything,) = re.findall(r'^all = \["xai-widgets\[(.*)\]"\]$', PROJECT, re.M)
    (in_lab,) = re.findall(r'^lab = \[\n(?:  .*\n)*  "xai-widgets\[(.*)\]",\n\]$', PROJECT, re.M)
    assert {*everything.split(","), *in_lab.split(",")} == extras


@pytest.mark.parametrize("package", EXTRAS)
def test_a_missing_package_names_its_extra_and_nothing_bigger(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as caught:
        optional(f"{package}.part", "these")
    title, extra = EXTRAS[package]
    assert str(caught.value) == (
        f"these need {title}, which is not installed; pip install 'xai-widgets[{extra}]'"
    )
    assert str(caught.value) == missing(package, "these")


def test_an_alternative_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"\[images\]', or pass your own segments$"):
        optional("skimage.segmentation", "superpixels", alternative="pass your own segments")


def test_an_installed_package_is_imported():
    assert installed("torchvision")
    assert not installed("no_such_package")
    assert hasattr(optional("skimage.segmentation", "superpixels"), "slic")
