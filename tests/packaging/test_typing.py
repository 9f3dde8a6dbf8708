"""The types that others see: the marker, and a top level that editors and type checkers know."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xai_widgets as xw

PACKAGE = Path(xw.__file__).parent
#: An expression of a user's script, and the type that a checker reveals.
REVEALED = {
    "xw.ImageModel": r"^def \(module: .*Module, \*, labels: .* -> xai_widgets.core.model.ImageModel$",
    'xw.load("resnet18")': r"^xai_widgets.core.model.ImageModel$",
    'xw.load("scenes_sr")': r"^xai_widgets.zoo.super_resolution.SuperResolution$",
    'xw.load("resnet18").labels': r"^(builtins.)?list\[(builtins.)?str\]$",
    "xw.DeletionExplorer": r"^def \(model: xai_widgets.core.model.ImageModel, image: Any, .* steps: ",
    "xw.attribution.grad_cam": r"^xai_widgets.methods.registry.Method$",
    "xw.perturbation.rise(model, 0).result()": r"^xai_widgets.perturbation.rise.Rise$",
    "xw.__version__": r"^(builtins.)?str$",
}


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("name", xw.__all__)
def test_each_name_of_the_stub_is_what_the_package_gives(name):
    # A module of the same name would replace it as soon as anything imports that module.
    scope = {}
    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    (line,) = (line for line in stub.splitlines() if line.endswith(f" as {name}"))
    exec(line, scope)
    assert getattr(xw, name) is scope[name]


def test_a_type_checker_knows_the_top_level(tmp_path):
    script = tmp_path / "script.py"
    lines = ["import xai_widgets as xw", 'model = xw.load("resnet18")']
    lines += [f"reveal_type({expression})" for expression in REVEALED]
    script.write_text("\n".join(lines), encoding="utf-8")
    # With the settings of `make types`, whose cache saves most of the time.
    command = [sys.executable, "-m", "mypy", str(script)]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    found = re.findall(r'note: Revealed type is "(.*)"$', done.stdout, re.MULTILINE)
    assert "error" not in done.stdout, done.stdout
    assert len(found) == len(REVEALED), done.stdout + done.stderr
    for expression, kind in zip(REVEALED, found, strict=True):
        assert re.search(REVEALED[expression], kind), f"{expression} is {kind}"


def test_an_editor_completes_the_names_and_shows_signatures():
    jedi = pytest.importorskip("jedi")
    names = {each.name for each in jedi.Script("import xai_widgets as xw\nxw.").complete(2, 3)}
    assert set(xw.__all__) <= names
    (signature,) = jedi.Script("import xai_widgets as xw\nxw.ImageModel(").get_signatures(2, 14)
    assert [each.name for each in signature.params] == list(inspect.signature(xw.ImageModel).parameters)
