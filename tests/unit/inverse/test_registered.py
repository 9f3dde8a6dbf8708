"""Both inverses as attribution methods: their values, their costs, and their reasons."""

import inspect
import warnings

import pytest
import torch
from attending import Transformer
from closeness import assert_close
from networks import Concat, Functional, SharedInPlace, images, one_sentence, settle, wrap
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from xai_widgets.core.model import ImageModel
from xai_widgets.inverse import SolverSettings, layer_wise, operation_wise, registered
from xai_widgets.methods import METHODS, family
from xai_widgets.methods.support import unsupported

LAYERS, OPERATIONS = METHODS["layer_wise_inverse"], METHODS["operation_wise_inverse"]
pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge", "ignore:.*is below 0")


@pytest.mark.parametrize("empty", ["mean", "black"])
@pytest.mark.parametrize("network", [Functional, SharedInPlace, Concat])
def test_the_maps_are_those_of_the_inverses(network, empty):
    model, x = wrap(settle(network())), images(2)
    settings = SolverSettings(steps=30)
    color = (model.mean.flatten() if empty == "mean" else torch.zeros(3))[:, None, None]
    layers = layer_wise(model, x, [1, 3], lam=0.7, empty=empty, settings=settings).result(progress=False)
    made = LAYERS(model, x, [1, 3], steps=30, empty=empty)
    assert_close(made, layers.alpha)
    assert ((made >= 0) & (made <= 1)).all()
    assert_close(LAYERS.saliency(model, x, [1, 3], steps=30, empty=empty), layers.alpha[:, 0])
    several = layer_wise(model, x, 1, lam=(0.1, 0.5), regularizer="l2", settings=settings)
    assert_close(
        LAYERS(model, x, 1, lam=(0.1, 0.5), regularizer="l2", steps=30)[:, 0],
        several.result(progress=False).alpha.mean(1),
    )
    operations = operation_wise(model, x, [1, 3], empty=empty, settings=settings).result(progress=False)
    made = OPERATIONS(model, x, [1, 3], steps=30, empty=empty)
    assert_close(made, (operations.x[:, 0] - color).abs())
    assert_close(OPERATIONS.saliency(model, x, [1, 3], steps=30, empty=empty), operations.saliency())


def test_the_default_is_the_lambda_of_the_source_and_the_solver():
    assert inspect.signature(LAYERS).parameters["lam"].default == 0.7
    for method in (LAYERS, OPERATIONS):
        assert inspect.signature(method).parameters["steps"].default == SolverSettings().steps
        assert method.family == "inverse"
        assert method.signed is False
        assert method.uses_class
    assert set(family("inverse")) == {"layer_wise_inverse", "operation_wise_inverse"}


class Convolutions(TorchDispatchMode):
    """Counts images through convolutions, and gradients through them back."""

    def __init__(self):
        super().__init__()
        self.forward = self.backward = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name == "convolution":
            self.forward += len(args[0])
        elif name == "convolution_backward":
            self.backward += len(args[0])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("method", "network", "low", "high"),
    [
        (LAYERS, Functional, 0.7, 1.3),
        (LAYERS, SharedInPlace, 0.7, 1.3),
        # The units are affine, or blocks of several convolutions, whose linearization takes more passes.
        (OPERATIONS, Functional, 0.4, 1),
        (OPERATIONS, SharedInPlace, 1, 3),
    ],
)
def test_the_passes_through_all_units_are_about_those_of_the_cost(method, network, low, high, monkeypatch):
    """A pass back counts as two; the search for step sizes adds some."""
    monkeypatch.setattr(
        registered, "SolverSettings", lambda steps: SolverSettings(steps=steps, tolerance=0.0)
    )
    model, x = wrap(settle(network())), images(1)
    convolutions = sum(isinstance(each, nn.Conv2d) for each in model.module.modules())
    with Convolutions() as counted:
        method(model, x, 1, steps=40)
    forward, backward = method.cost.passes(40)
    made = (counted.forward + 2 * counted.backward) / convolutions
    assert low <= made / (forward + 2 * backward) <= high


def test_networks_without_units_are_refused_and_others_go_on():
    model = wrap(settle(Transformer()))
    reasons = unsupported(model).result(progress=False)
    for name in ("layer_wise_inverse", "operation_wise_inverse"):
        with pytest.raises(ValueError, match="expected") as error:
            METHODS[name](model, images(1), 1, steps=2)
        one_sentence(error)
        assert reasons[name]
    assert "gradient" not in reasons
    torch.manual_seed(0)
    head = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = unsupported(ImageModel(nn.Sequential(*head), size=12)).result(progress=False)
    assert not {"layer_wise_inverse", "operation_wise_inverse"} & set(found)


def test_a_score_below_0_is_a_warning_of_the_map():
    model, x = wrap(settle(Functional())), images(1)
    low = int(model.scores(x)[0].argmin())
    with pytest.warns(UserWarning, match="pulls it down"):
        OPERATIONS(model, x, low, steps=2)
    with pytest.raises(ValueError, match="steps to be an integer of at least 1, got 0"):
        OPERATIONS(model, x, low, steps=0)
