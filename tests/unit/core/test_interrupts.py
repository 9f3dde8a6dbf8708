"""An interrupt at any moment leaves torch, the caller's network and the warnings of the process as they were.

A real signal raises KeyboardInterrupt at a random moment of a call, also in cleanup code. Some moments
are a few instructions wide, so few signals find them. To send more:
``XAI_WIDGETS_SIGNALS=1000 pytest tests/unit/core/test_interrupts.py``
"""

import gc
import os
import warnings

import pytest
import torch
from alarm import alarm
from attending import Transformer, attends
from networks import SIZE, Functional, SharedInPlace, images, quick, settle, wrap
from torch import nn
from torch.nn.modules import module as modules
from torch.overrides import _get_current_function_mode_stack

from xai_widgets.inverse import SolverSettings, layer_wise
from xai_widgets.inverse.units import find_units
from xai_widgets.methods import family
from xai_widgets.metrics import deletion
from xai_widgets.perturbation import ExtremalSettings, extremal, occlusion, rise

METHODS = family("attribution")

SIGNALS = int(os.environ.get("XAI_WIDGETS_SIGNALS", "60"))


def attribution(name):
    return lambda model, x: METHODS[name](model, x, 1, **quick(METHODS[name]))


def searched(model, x):
    settings = ExtremalSettings(steps=2)
    return extremal(model, x, 1, areas=[0.1, 0.5], settings=settings).result(progress=False).masks


def inverted(model, x):
    settings = SolverSettings(steps=2, window=2, tolerance=0.0)
    return layer_wise(model, x, 1, lam=0.1, settings=settings).result(progress=False).output


#: Functions of a model and an image that return a tensor.
CALLS = {
    **{name: attribution(name) for name in METHODS if name != "cam"},
    "scores": lambda model, x: model.scores(x),
    "activations": lambda model, x: model.activations(x, model.default_layer())[model.default_layer()],
    "layers": lambda model, x: torch.tensor([layer.shape[0] for layer in wrap(model.module).layers()]),
    "find_units": lambda model, x: torch.tensor([len(find_units(wrap(model.module)))]),
    "layer_wise": inverted,
    "extremal": searched,
    "occlusion": lambda model, x: occlusion(model, x, 1, window=4, stride=4).result(progress=False).map,
    "rise": lambda model, x: rise(model, x, 1, masks=8).result(progress=False).saliency(),
    "deletion": lambda model, x: deletion(model, x, x.sum(1), steps=4).result(progress=False).scores,
}
#: Inverses are of a chain of units, which the network with skips is not.
CHAINS = ["find_units", "layer_wise"]


def everything(network):
    """Return the state of torch, of the process and of the caller's network that an interrupt may change."""
    return {
        "function modes": _get_current_function_mode_stack(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "module call": (nn.Module.__call__, nn.Module.__getattr__, nn.Module.__setattr__),
        "global hooks": [
            list(getattr(modules, name))
            for name in dir(modules)
            if name.endswith("_hooks") and "global" in name
        ],
        "warnings": (list(warnings.filters), warnings.showwarning, warnings.warn),
        "training": [part.training for part in network.modules()],
        "hooks": [
            list(value) for part in network.modules() for key, value in vars(part).items() if "hooks" in key
        ],
        "forward": [type(part).forward for part in network.modules()],
        "own attributes": [sorted(vars(part)) for part in network.modules()],
        "parameters": [(id(each), each.requires_grad, each.grad) for each in network.parameters()],
        "numbers": [each.tolist() for each in network.state_dict().values()],
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_a_signal_at_any_moment_leaves_everything_as_it_was(name):
    attending = name in METHODS and attends(METHODS[name])
    network = Transformer() if attending else Functional() if name in CHAINS else SharedInPlace()
    settle(network)
    # Whatever the caller's flags are, they stay.
    network.train()
    network.conv1.eval()
    model, x = wrap(network), images(1, size=SIZE)
    call = lambda: CALLS[name](model, x)
    expected = call()
    before = everything(network)
    reference, met = -(-SIGNALS // len(CALLS)), 0
    with alarm(name, call) as signals:
        for _ in range(4 * reference + 8):
            met += signals.interrupts(call)
            assert everything(network) == before
            if met == reference:
                break
    assert met > 0, "no signal met the call"
    # An iterator that was left in the middle is closed when it is collected.
    gc.collect()
    assert everything(network) == before
    assert torch.equal(call(), expected)
