"""Everything public prints itself in a short line: no tensor, no address, no 10,000 characters."""

import dataclasses
import importlib
import inspect
import re

import numpy as np
import pytest
import torch

import xai_widgets as xw
from xai_widgets.core.run import Run
from xai_widgets.methods import METHODS, Cost
from xai_widgets.views import View

LONGEST = 300
PACKAGES = [
    *(
        "attribution",
        "concepts",
        "inverse",
        "learned",
        "similarity",
        "features",
        "metrics",
        "methods",
        "studies",
    )
]


def result_classes():
    """Yield the public dataclasses, which are results and settings."""
    for package in PACKAGES:
        module = importlib.import_module(f"xai_widgets.{package}")
        public = (getattr(module, name) for name in module.__all__)
        classes = (each for each in public if isinstance(each, type) and dataclasses.is_dataclass(each))
        # Those that format their numbers themselves are printed below, from real results.
        yield from (each for each in classes if "__repr__" not in inspect.getsource(each))


def stand_in(kind):
    """Return a large value of an annotated type."""
    if "Tensor" in kind and "tuple" in kind:
        return tuple(torch.zeros(30, 30) for _ in range(20))
    if "Tensor" in kind:
        return torch.zeros(30, 30)
    if "NDArray" in kind:
        return np.zeros((30, 30), dtype=np.float32)
    if "Callable" in kind:
        return stand_in
    if "tuple[int" in kind or "tuple[float" in kind:
        return tuple(range(100)) if "..." in kind else (3, 4)
    if "tuple[str" in kind:
        return ("layer4.1.conv2",) * 100
    if "Mapping" in kind:
        return {"steps": 9}
    if "dict" in kind:
        return {f"layer{number}": torch.zeros(30, 30) for number in range(20)}
    return {"int": 3, "float": 1 / 3, "bool": True}.get(kind, "layer4.1.conv2")


def check_short(value):
    text = repr(value)
    if len(text) > LONGEST or re.search(r"\n|\btensor\(|\barray\(|0x[0-9a-f]{6}", text):
        pytest.fail(f"{len(text)} characters: {text[:LONGEST]}")
    return text


@pytest.mark.parametrize("kind", list(result_classes()), ids=lambda kind: kind.__name__)
def test_results_and_settings(kind):
    value = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(value, field.name, stand_in(str(field.type)))
    assert check_short(value).startswith(kind.__name__)


@pytest.mark.parametrize("name", METHODS)
def test_methods_and_their_costs(name):
    method = METHODS[name]
    assert check_short(method).startswith(f"Method(name={name!r}, title=")
    assert method.cost is not None
    assert check_short(method.cost) == f"Cost({method.cost})"


def test_metrics():
    model, images = xw.load("scenes_vgg", device="cpu"), torch.rand(2, 3, 96, 96)
    saliency, masks = torch.rand(2, 96, 96), torch.zeros(96, 96, dtype=torch.bool)
    masks[:40, :40] = True
    curve = xw.metrics.deletion(model, images, saliency, steps=4).result(progress=False)
    task = xw.metrics.PointingTask.from_masks([{3: masks}, {5: masks}])
    pointing = xw.metrics.pointing_game(saliency, task)
    sanity = xw.metrics.weight_randomization(model, images, layers=["stage1.conv1"]).result(progress=False)
    ordered = xw.metrics.monotonicity(torch.tensor([0.1, 0.5]), torch.rand(2, 2), torch.rand(2))
    for result in (curve, task, pointing, sanity, ordered):
        assert check_short(result).startswith(type(result).__name__)


def test_the_registry():
    assert (
        check_short(METHODS)
        == f"<{len(METHODS)} methods: gradient, gradient_x_input, deconvnet, ..., operation_wise_inverse>"
    )
    assert repr(Cost(1, 1)) == "Cost(1 forward, 1 backward)"


def test_a_model_its_layers_and_predictions():
    model = xw.load("scenes_vgg", device="cpu")
    assert check_short(model) == "ImageModel(scenes_vgg: 3x96x96 -> 12 classes, cpu)"
    layers = [check_short(layer) for layer in model.layers()]
    assert layers[0] == "Layer('stage1.conv1', Conv2d, 16x96x96, 96x96 positions)"
    prediction = model.predict(torch.zeros(1, 3, 96, 96), k=1)[0][0]
    assert re.fullmatch(
        r"Prediction\('.+', probability 0\.\d+, score \d\.\d+, target \d+\)", check_short(prediction)
    )


@pytest.mark.parametrize(
    "kind",
    [each for name in xw.views.__all__ if isinstance(each := getattr(xw.views, name), type)],
    ids=lambda kind: kind.__name__,
)
def test_views(kind):
    if kind is View:
        pytest.skip("a view of its own has no bundle")
    assert check_short(kind()).startswith(f"<{kind.__name__}")
    assert len(repr(kind(title="x" * 9))) <= LONGEST


def test_a_view_names_its_arrays():
    view = xw.HeatmapView(
        image=np.zeros((8, 8, 3), np.uint8), maps=np.zeros((2, 4, 4), np.float32), title="Two"
    )
    assert check_short(view) == "<HeatmapView Two: image 8 × 8, maps 2 × 4 × 4>"


def test_explorers():
    model, images = xw.load("scenes_vgg", device="cpu"), torch.rand(2, 3, 96, 96)
    explorer = xw.DeletionExplorer(model, images[0], target=3, start=False)
    board = xw.dashboard(model, images, explorers=["deletion"])
    assert check_short(explorer) == "<DeletionExplorer scenes_vgg for 'striped kite'>"
    assert check_short(board).startswith("<Dashboard scenes_vgg")
    for each in (explorer, board):
        each.close()
        check_short(each)


# -- runs -----------------------------------------------------------------------------------------------------------


def counted(total):
    return Run(iter(range(1, total + 1)), total=total, name="RISE")


def test_a_run_describes_its_state():
    run = counted(4)
    assert check_short(run) == "Run('RISE', 4 steps, not started; result() computes it)"
    snapshots = iter(run)
    next(snapshots)
    assert repr(run) == "Run('RISE', 4 steps, 25% done; result() computes the rest)"
    assert run.result(progress=False) == 4
    assert repr(run) == "Run('RISE', 4 steps, complete; result() returns int)"
    assert run.result(progress=False) == 4
    run.cancel()
    assert "complete" in repr(run)


def test_a_run_that_ends_early_is_complete():
    run = Run(iter([1]), total=4, name="RISE")
    run.result(progress=False)
    assert repr(run) == "Run('RISE', 4 steps, complete; result() returns int)"


def test_a_stopped_run_is_marked():
    run = counted(4)
    for _ in run:
        break
    assert repr(run) == "Run('RISE', 4 steps, stopped at 25%; result() returns the last snapshot)"
    assert run.result(progress=False) >= 1


def test_a_canceled_run_is_marked():
    run = counted(1)
    run.cancel()
    assert repr(run) == "Run('RISE', 1 step, canceled at 0%; result() raises an error: start the run again)"
    with pytest.raises(RuntimeError):
        run.result(progress=False)
    assert "canceled" in repr(run)
