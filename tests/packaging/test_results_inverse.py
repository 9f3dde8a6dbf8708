"""The command that writes the results of the inverses, on few scenes: every line and the page are made."""

import functools
import importlib
import json
import sys
from pathlib import Path

import pytest

from xai_widgets.inverse import SolverSettings

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("results_inverse")


def test_numbers_page_and_pictures_are_written(script, tmp_path, monkeypatch):
    for name in ("layer_wise", "operation_wise"):
        few = functools.partial(getattr(script, name), settings=SolverSettings(steps=5))
        monkeypatch.setattr(script, name, few)
    for name, values in (("LAMBDAS", (0.0, 0.4, 1.5)), ("L1", (0.0, 0.1)), ("L2", (0.0, 0.7))):
        monkeypatch.setattr(script, name, values)
    monkeypatch.setattr(script, "STEPS", 4)
    monkeypatch.setattr(
        sys, "argv", ["results_inverse.py", "--only", "scenes_vgg", "--scenes", "2", "--out", str(tmp_path)]
    )
    script.main()
    found = json.loads((tmp_path / "inverse.json").read_text())["networks"]["scenes_vgg"]
    own = found["by_lambda"]
    for key in ("alpha", "top1", "top5", "probability", "on", "off"):
        assert all(0 <= share <= 1 for share in own[key]), key
    # The curves are measured at the lambda that the table compares, whichever it is.
    drop = own["lam"][script.drop(own)]
    assert drop in {one["lam"] for one in found["curves"]}
    assert set(found["methods"]) == {*script.TABLE, "operation_wise", "random", "class_blind"}
    page = (tmp_path / "inverse.md").read_text()
    assert f"**Layer-wise inverse, lambda {drop:g}**" in page
    for words in ("Gradient x input", "Grad-CAM", "the drop", "uniform fading", "reproduced"):
        assert words in page
    assert (tmp_path / "inverse_scenes_vgg.png").stat().st_size > 1000


def test_photographs_have_the_objects_of_their_boxes(script):
    task = script.on_photographs("efficientnet_lite0", 2)
    assert task.x.shape == (2, 3, 224, 224)
    for inside, (top, left, bottom, right) in zip(task.objects, script.PHOTOGRAPHS.values(), strict=False):
        assert abs(inside.float().mean() - (bottom - top) * (right - left)) < 0.02


@pytest.fixture
def figures():
    """Figures of a network in which every finding of the source holds."""
    inverse = {"lam": [0, 0.7, 1.0], "alpha": [0.8, 0.3, 0.1], "top1": [1.0, 1.0, 0.2], "on": [0.9, 0.6, 0.2],
               "off": [0.7, 0.2, 0.1]}  # fmt: skip
    norm = {"lam": [0, 1], "alpha": [0.8, 0.5], "top1": [1.0, 0.8]}
    row = {"title": "T", "alpha": 0.05, "top1": 0.0, "deletion": 0.4, "deletion_black": 0.4, "insertion": 0.5}
    names = ("guided_backprop", "gradient_x_input", "integrated_gradients", "deep_lift", "gradient_shap")
    return {
        "by_lambda": inverse,
        "ablation": {"l1": norm, "l2": norm},
        "curves": [{"lam": 0.7, "deletion": 0.1, "deletion_black": 0.1, "insertion": 0.9}],
        "uniform": {"alpha": [0.0, 1.0], "top1": [0.0, 1.0]},
        "methods": {
            **{name: row for name in names},
            "guided_nonlinearity": row | {"deletion": 0.3},
            "operation_wise": row | {"deletion": 0.2},
            "occlusion": row | {"alpha": 0.5, "top1": 0.9},
            "grad_cam": row | {"alpha": 0.5, "top1": 0.9},
            "random": row,
        },
    }


def test_each_finding_has_the_verdict_that_its_figures_bear(figures):
    import results_inverse_page as pages

    for words, judge in pages.FINDINGS:
        assert judge(figures).startswith(("reproduced", "above")), words
    own = figures["by_lambda"]
    own["on"], own["off"] = own["off"], own["on"]
    assert pages.concentration(figures).startswith("reversed")
    figures["ablation"]["l1"] = {"lam": [0], "alpha": [0.1], "top1": [1.0]}
    assert pages.best_regularizer(figures).startswith("not reproduced")
    figures["methods"]["grad_cam"]["top1"] = 1.01
    assert "above its curve: T" in pages.above_others(figures)
    own["alpha"] = [0.9, 0.8, 0.7]
    assert pages.the_drop(figures).startswith("not reproduced")
    figures["uniform"]["top1"] = [1.0, 1.0]
    assert pages.above_uniform(figures).startswith("not above")


@pytest.mark.parametrize(
    ("top1", "expected"),
    [([1.0, 0.9, 0.7, 0.3], 1), ([1.0, 0.8, 0.95, 0.9], 0), ([0.5, 0.4], 0), ([1.0, 0.95], 1)],
)
def test_the_drop_is_the_last_lambda_before_classes_are_lost(script, top1, expected):
    assert script.drop({"top1": top1}) == expected


def test_the_committed_page_is_made_of_the_committed_numbers(script):
    numbers = json.loads((COMMITTED / "inverse.json").read_text())
    assert (COMMITTED / "inverse.md").read_text() == script.page(numbers)
    assert set(numbers["networks"]) == set(script.NETWORKS)
    for network in numbers["networks"]:
        assert numbers["networks"][network]["by_lambda"]["images"] > 1
        assert (COMMITTED / f"inverse_{network}.png").exists()
