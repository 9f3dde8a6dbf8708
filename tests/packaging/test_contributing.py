"""CONTRIBUTING.md is true: a copy of the repository with its examples passes the tests of their kind."""

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: Folders and files of the copy.
COPIED = [
    "xai_widgets",
    "tests",
    "scripts",
    "js",
    "docs/methods",
    "docs/results",
    "pyproject.toml",
    "README.md",
]
#: The tests that cover all parts of a kind, by a word in their names that is that of the example.
CONTRACTS = {
    "method": [
        "tests/unit/attribution",
        "tests/unit/methods",
        "tests/unit/test_keywords.py",
        "tests/unit/test_reprs.py",
    ],
    "metric": ["tests/unit/metrics"],
    "view": ["tests/unit/views", "tests/unit/test_keywords.py", "tests/unit/test_reprs.py"],
    "explorer": ["tests/unit/explorers", "tests/unit/test_keywords.py"],
    "data set": ["tests/unit/data"],
}
WORDS = {
    "method": "sign_gradient",
    "metric": "object_share",
    "view": "NumberView or number_view",
    "explorer": "one_map or OneMapExplorer",
    "data set": "stripes",
}


class Step(NamedTuple):
    """One item of a list: a file or folder, and the block below it."""

    path: str
    block: str


def sections():
    """Return the steps of each section "To add a ...", by the kind of part."""
    parts = re.findall(r"^## To add an? (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    return {kind: list(steps(text)) for kind, text in parts}


def steps(text):
    for item in re.split(r"^\d+\. ", text, flags=re.M)[1:]:
        block = re.search(r"^   ```\w+\n(.*?)^   ```$", item, re.M | re.S)
        yield Step(re.match(r"`(.*?)`", item).group(1), textwrap.dedent(block.group(1)) if block else "")


STEPS = sections()


def add(file, lines):
    """Add lines to a file: imports after the last import, entries to its list or dict of names."""
    for line in lines:
        text = file.read_text(encoding="utf-8")
        if line.startswith("from "):
            imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
            rows = text.splitlines()
            rows.insert(imports[-1].end_lineno, line)
            text = "\n".join(rows) + "\n"
        else:
            text, count = re.subn(
                r"^(__all__ = \[|EXPLORERS = \{)", rf"\1\n    {line}\n    ", text, count=1, flags=re.M
            )
            assert count == 1, f"{file} has no list of names"
        file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository in which every section was followed."""
    if not (ROOT / "js" / "node_modules").exists():
        pytest.skip("bundles are built with Node: make js/node_modules/.installed")
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("node_modules", "__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / "js" / "node_modules").symlink_to((ROOT / "js" / "node_modules").resolve())
    for step in (step for section in STEPS.values() for step in section if step.block):
        file = folder / step.path
        if file.exists():
            add(file, step.block.splitlines())
        else:
            file.write_text(step.block, encoding="utf-8")
    run(folder, "scripts/bundles.py")
    return folder


def run(copy, *command):
    environment = {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=copy,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def passed(copy):
    """The names of the tests that passed in the copy; one process runs those of all kinds."""
    paths = sorted({path for paths in CONTRACTS.values() for path in paths})
    rules = ["tests/packaging/test_repository.py::test_each_module_keeps_to_its_floor"]
    options = ["-q", "-rA", "-p", "no:cacheprovider", "-k", " or ".join(WORDS.values())]
    return re.findall(r"^PASSED (.*)$", run(copy, "-m", "pytest", *options, *paths, *rules), re.M)


def test_there_is_a_section_for_each_kind():
    assert STEPS.keys() == CONTRACTS.keys() == WORDS.keys()
    assert all(len(section) <= 8 for section in STEPS.values())


@pytest.mark.parametrize("kind", STEPS)
def test_files_are_new_or_exist(kind):
    for step in STEPS[kind]:
        path = ROOT / step.path
        assert path.exists() or (step.block and path.parent.is_dir()), step.path


@pytest.mark.parametrize("kind", STEPS)
def test_the_tests_of_its_kind_cover_the_example_and_pass(kind, passed):
    words = WORDS[kind].split(" or ")
    names = [name for name in passed if any(word in name for word in words)]
    for path in CONTRACTS[kind]:
        assert any(name.startswith(path) for name in names), path
    for step in STEPS[kind]:
        if (
            step.path.startswith("xai_widgets/")
            and step.path.endswith(".py")
            and not (ROOT / step.path).exists()
        ):
            assert any(step.path.removeprefix("xai_widgets/") in name for name in names), step.path


def test_the_examples_are_in_style(copy):
    new = [step.path for section in STEPS.values() for step in section if not (ROOT / step.path).exists()]
    run(copy, "-m", "ruff", "check", *(path for path in new if path.endswith(".py")))


def test_the_page_of_the_method_is_written(copy):
    run(copy, "scripts/methods.py", "--only", "sign_gradient")
    assert (copy / "docs" / "methods" / "sign_gradient.png").exists()
    assert "### Sign of the gradient" in (copy / "docs" / "methods" / "README.md").read_text(encoding="utf-8")
