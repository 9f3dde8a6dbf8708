"""The wheel in the environments of users: the versions of Colab, the oldest ones that are promised, each Python.

Environments with a torch of their own take minutes and gigabytes; ``make environments`` runs those, for each Python
that is installed. The versions of Colab are always tried, with the torch of the environment that runs the tests.
"""

import email
import json
import os
import re
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from environments import ROOT, environment, install, interpreter, run

#: Google Colab in August 2026; its Python is 3.13.
COLAB_WIDGETS = [
    "anywidget==0.9.21",
    "ipykernel==6.17.1",
    "ipython==7.34.0",
    "ipywidgets==7.7.1",
    "traitlets==5.7.1",
]
COLAB = [*COLAB_WIDGETS, "numpy==2.1.3", "timm==1.0.28", "torch==2.11.0", "torchvision==0.26.0"]
#: Versions of Python that the classifiers name.
PYTHONS = re.findall(
    r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
)
#: Extras that the first lines of the README need.
EXTRAS = "[images,imagenet]"
CELL_OUTPUT = ["application/vnd.jupyter.widget-view+json", "image/png", "text/plain"]

whole = pytest.mark.skipif(
    "XAI_WIDGETS_ENVIRONMENTS" not in os.environ,
    reason="takes minutes and gigabytes; `make environments` runs it",
)


def at_hand(version):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed")
    return python


def first_lines(python, folder, *requirements):
    """Run the first lines of the README in a kernel of an environment, and return the facts about it."""
    script = Path(__file__).with_name("use_kernel.py")
    output = run(
        python,
        "-I",
        script,
        ROOT / "README.md",
        *requirements,
        cwd=folder,
        OMP_NUM_THREADS="1",
        JUPYTER_PREFER_ENV_PATH="1",
    )
    found = json.loads(output.splitlines()[-1])
    assert found["kinds"] == CELL_OUTPUT
    assert found["label"] == "tiger cat"
    assert Path(found["file"]).is_relative_to(Path(python).parents[1])
    # Deletion, insertion and the random orders of both, at more positions than one.
    assert min(found["y"]) > 3
    assert (folder / "page.html").stat().st_size > 100_000
    return found


def lowest(wheel):
    """Return the requirements of the wheel, each at the oldest version that it allows."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_string(archive.read(name).decode())
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    return [re.sub(r"^([\w-]+).*>=([\d.]+).*$", r"\1==\2", line) for line in needed]


def test_the_versions_of_colab_run_the_first_lines(wheel, tmp_path):
    with environment("colab", sys.executable) as python:
        install(python, *COLAB_WIDGETS)
        install(python, "--no-deps", wheel)
        # What the environment does not have itself, such as torch, is that of the tests.
        (packages,) = python.parents[1].glob("lib/python*/site-packages")
        (packages / "tests.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
        first_lines(python, tmp_path, *COLAB_WIDGETS)


@whole
def test_colab_as_a_whole_runs_the_first_lines(wheel, tmp_path):
    with environment("colab_whole", at_hand("3.13")) as python:
        install(python, f"{wheel}{EXTRAS}", *COLAB)
        found = first_lines(python, tmp_path, *COLAB)
        assert (found["python"][:4], found["torch"][:6]) == ("3.13", "2.11.0")


@whole
def test_the_oldest_versions_can_use_the_wheel(wheel, tmp_path):
    requirements = lowest(wheel)
    assert {"torch==2.4", "numpy==1.24"} <= set(requirements)
    with environment("oldest", at_hand(PYTHONS[0])) as python:
        install(python, wheel, *requirements)
        output = run(python, "-I", Path(__file__).with_name("use_wheel.py"), *requirements, cwd=tmp_path)
        assert "used" in output


@whole
@pytest.mark.parametrize("version", PYTHONS)
def test_each_python_runs_the_first_lines(wheel, tmp_path, version):
    with environment(f"python{version}", at_hand(version)) as python:
        install(python, f"{wheel}{EXTRAS}", "ipykernel")
        assert first_lines(python, tmp_path)["python"].startswith(f"{version}.")
