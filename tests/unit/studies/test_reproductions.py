"""Reproductions beside their originals: the maps, and both correlations."""

import warnings

import pytest
import torch
from closeness import assert_close, near
from networks import SharedInPlace, images, settle, wrap

from xai_widgets.inverse import SolverSettings, reproduce_excitation_backprop
from xai_widgets.methods import METHODS
from xai_widgets.metrics.agreement import pearson
from xai_widgets.studies.reproductions import ReproductionKey, ReproductionStudy

QUICK = SolverSettings(steps=10)
ORIGINALS = ("grad_cam", "excitation_backprop", "integrated_gradients", "deconvnet")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def model():
    return wrap(settle(SharedInPlace()))


def test_every_original_has_a_map_and_its_baseline(model):
    study = ReproductionStudy(model, images(1), settings=QUICK, sigma=2.0)
    outcomes = study.compute([ReproductionKey(name, 1) for name in ORIGINALS], progress=False)
    for key, outcome in outcomes.items():
        assert not outcome.error
        last = outcome.result[-1]
        assert last.map.shape == last.class_blind.shape
        assert last.at == ("image" if key.original in ("integrated_gradients", "deconvnet") else last.at)
        assert abs(last.correlation) <= 1 + 1e-5
        assert last.correlation == near(pearson(last.map[None], last.original[None]).item())
        assert last.class_blind_correlation == near(
            pearson(last.class_blind[None], last.original[None]).item()
        )
        assert last.blurred_correlation != last.correlation
    whole = METHODS["integrated_gradients"].saliency(model, images(1), 1).abs()[0]
    assert_close(outcomes[ReproductionKey("integrated_gradients", 1)].result[0].original, whole)


def test_the_class_blind_map_knows_the_activation_alone(model):
    color = model.mean.flatten()
    study = ReproductionStudy(model, images(1), settings=QUICK)
    for target in (0, 1):
        key = ReproductionKey("integrated_gradients", target)
        (made,) = study.compute([key], progress=False)[key].result
        assert_close(made.class_blind, (images(1)[0] - color[:, None, None]).abs().sum(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = reproduce_excitation_backprop(
            model, images(1), 1, at=["block2", "pool"], settings=QUICK
        ).result(progress=False)
    activations = {}
    for name in ("block2", "pool"):
        with torch.no_grad():
            handle = model.module.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name: activations.update({name: output.clone()})
            )
            model(images(1))
            handle.remove()
        blind = activations[name].sum(1)
        assert_close(found.class_blind_map(name), blind)
        assert_close(found.class_blind_correlation(at=name), pearson(blind, found.original_map(name)))


def test_a_failure_of_one_does_not_stop_the_others(model):
    study = ReproductionStudy(model, images(1), settings=QUICK)
    keys = [ReproductionKey("deconvnet", 0, channel=99), ReproductionKey("grad_cam", 0)]
    outcomes = study.compute(keys, progress=False)
    assert "from 0 to 5, got 99" in outcomes[keys[0]].error
    assert outcomes[keys[1]].result
