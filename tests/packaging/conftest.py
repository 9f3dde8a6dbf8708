"""The built package."""

import sys
from pathlib import Path

import pytest
from environments import ROOT, UV, run


@pytest.fixture(scope="session")
def dist(tmp_path_factory):
    """The folder of the sdist and of the wheel, which is built from the sdist, without Node."""
    folder = tmp_path_factory.mktemp("dist")
    installer = ["--installer", "uv"] if UV else []
    # An empty PATH but for uv: whatever needs Node, npm or git to build would fail here.
    tools = str(Path(UV).parent) if UV else ""
    # From elsewhere: in the root a left-over folder `build` would be taken for the module.
    run(sys.executable, "-m", "build", *installer, "--outdir", folder, ROOT, cwd=folder, PATH=tools)
    return folder


@pytest.fixture(scope="session")
def wheel(dist):
    (path,) = dist.glob("*.whl")
    return path
