"""Results that hold arrays print one short line."""

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
import torch
from networks import images, settle, wrap
from torch import nn

import xai_widgets
from xai_widgets import concepts, data, features, inverse, learned, perturbation, similarity
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.inverse.chain import Chain

PACKAGES = ("concepts", "data", "features", "inverse", "learned", "similarity", "zoo")
LONGEST = 400
SOLVER = inverse.SolverSettings(steps=2, window=1)


def dataclasses_with_arrays():
    for package in PACKAGES:
        path = importlib.import_module(f"xai_widgets.{package}").__path__
        for module in pkgutil.iter_modules(path, f"{xai_widgets.__name__}.{package}."):
            for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if cls.__module__ == module.name and dataclasses.is_dataclass(cls):
                    types = " ".join(str(field.type) for field in dataclasses.fields(cls) if field.repr)
                    if any(name in types for name in ("Tensor", "NDArray", "Array", "Callable")):
                        yield cls


@pytest.mark.parametrize("cls", dataclasses_with_arrays(), ids=lambda cls: cls.__name__)
def test_a_dataclass_with_arrays_has_a_short_repr(cls):
    assert cls.__repr__ is ShortRepr.__repr__


def results():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)
    )
    model, x = wrap(settle(network)), images(3)

    def done(run):
        return run.result(progress=False)

    layer_wise = done(inverse.layer_wise(model, x, settings=SOLVER))
    grids = done(similarity.activation_grids(model, x, "0"))
    index = done(similarity.similarity_index(model, x, "0", side=2))
    reproduction = done(inverse.reproduce_grad_cam(model, x, settings=SOLVER))
    luminance = x.mean(1, keepdim=True)
    yield from (layer_wise, layer_wise.units[0], reproduction, reproduction.inverse)
    yield done(inverse.feature_patterns(model, x, "1", [0, 1], side=2, settings=SOLVER))
    yield inverse.reconstruction(torch.zeros_like, luminance, luminance, luminance)
    yield inverse.reidentification(model, x, x.mean(1))
    yield inverse.spectra(luminance, luminance[:, 0])
    yield from (Chain.of(model, x), inverse.find_units(model)[0])
    yield from (grids[0], index, index.search(grids[0].raw[0, 0]), similarity.pack(grids)[0])
    yield done(similarity.factorize([dataclasses.replace(grid, raw=grid.raw.abs()) for grid in grids], 2))
    yield similarity.rotations(x[0], [0.0, 10.0])
    yield features.theoretical_receptive_field(model, "0")
    yield done(features.top_activations(model, x, layer="0", side=2))
    yield done(concepts.ablate_units(model, x, layer="0"))
    yield done(concepts.ablate_cumulatively(model, x, layer="0", orders=2))
    probed = done(learned.fgsm(model, x))
    yield from (probed, done(learned.map_change(model, x, "gradient", learned.fgsm)))
    mask = learned.recover_labels(model, probed, settings=perturbation.MeaningfulSettings(steps=1))
    yield from (done(mask), learned.detect_probed(*torch.rand(2, 4, 8, 8), folds=2, epochs=1))
    yield data.scenes.scene(0, background="texture")


@pytest.mark.filterwarnings("ignore::xai_widgets.errors.ExplanationWarning")
def test_results_print_one_short_line():
    for result in results():
        text = repr(result)
        assert text.startswith(type(result).__name__)
        assert "\n" not in text
        assert len(text) <= LONGEST, text


def test_names_and_shapes_are_shown():
    scene = data.scenes.scene(0, background="texture", size=32)
    assert repr(scene).startswith(
        "Scene(image=ndarray(32, 32, 3), label=0, labels=(0,), instance=ndarray(32, 32)"
    )
