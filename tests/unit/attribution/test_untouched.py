"""After any call of any method, normal, raising or interrupted, the caller's network is as it was before.

Every registered method is tested: a new one joins by being registered.
"""

import copy
import random

import numpy as np
import pytest
import torch
from networks import SharedInPlace, images, settle, wrap
from torch import nn
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack

import xai_widgets.attribution as attribution
from xai_widgets.methods import Method, family

METHODS = family("attribution")


def hooks_of(module):
    """Every dict of hooks of a module, and what is in it."""
    return {
        key: list(value.items())
        for key, value in vars(module).items()
        if "hooks" in key and hasattr(value, "items")
    }


def bits(tensor):
    return (
        tensor.dtype,
        tensor.device,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.detach().numpy().tobytes(),
    )


def everything(network):
    """All that the caller can see of a network and of torch."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        "hooks": {name: hooks_of(part) for name, part in network.named_modules()},
        "attributes": {name: list(vars(part)) for name, part in network.named_modules()},
        "classes": {name: type(part) for name, part in network.named_modules()},
        "training": {name: part.training for name, part in network.named_modules()},
        "identity": {name: id(tensor) for name, tensor in tensors.items()},
        "bits": {name: bits(tensor) for name, tensor in tensors.items()},
        "requires_grad": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "grad": {name: None if p.grad is None else bits(p.grad) for name, p in network.named_parameters()},
        "versions": {name: tensor._version for name, tensor in tensors.items()},
        "global hooks": {
            key: list(value.items())
            for key, value in vars(torch_module).items()
            if key.startswith("_global") and hasattr(value, "items")
        },
        "modes": (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            len(_get_current_function_mode_stack()),
        ),
        "random numbers": (
            torch.get_rng_state().numpy().tobytes(),
            random.getstate(),
            np.random.get_state()[1].tobytes(),  # noqa: NPY002
        ),
    }


def failing(x, countdown):
    """Return x with a gradient that raises at the n-th time."""
    x = x.view_as(x)
    if x.requires_grad:
        x.register_hook(lambda grad: countdown())
    return x


class Broken(SharedInPlace):
    """The shared in-place network, which can be made to raise in the middle of a pass."""

    def __init__(self):
        super().__init__()
        # In a list, so that counting down is no change of the module's attributes.
        self.fuse = [None, None, 0]

    def _burn(self):
        self.fuse[2] -= 1
        if self.fuse[2] < 0:
            raise self.fuse[1]

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        x = self.block2(self.block1(x))
        # Here, so that what goes back to the last layer with places, as Grad-CAM does, comes by.
        if self.fuse[0] == "forward":
            self._burn()
        elif self.fuse[0] == "backward":
            x = failing(x, self._burn)
        return self.fc(self.average(x).flatten(1))


def set_up_eval(network):
    network.eval()


def set_up_train(network):
    network.train()


def set_up_mixed_modes(network):
    network.train()
    network.block1.eval()


def set_up_mixed_gradients(network):
    for n, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(n % 2 == 0)


def set_up_frozen(network):
    network.requires_grad_(False)


def set_up_accumulated_gradients(network):
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)


def set_up_own_hooks(network):
    network.conv1.register_forward_hook(lambda module, inputs, output: None)
    # torch itself allows none on a module whose output is changed in place.
    network.fc.register_full_backward_hook(lambda module, inputs, outputs: None)


SET_UPS = {
    name.removeprefix("set_up_"): f for name, f in list(globals().items()) if name.startswith("set_up_")
}

#: What happens: where it breaks, with what, and in which pass.
EVENTS = {
    "normal": (None, None, 0),
    "raising in forward": ("forward", RuntimeError("forward broke"), 0),
    "raising in a later forward": ("forward", RuntimeError("forward broke"), 2),
    "raising in backward": ("backward", RuntimeError("backward broke"), 0),
    "interrupted in forward": ("forward", KeyboardInterrupt(), 0),
    "interrupted in backward": ("backward", KeyboardInterrupt(), 0),
}
#: Enough passes for a later one to break, few enough to be quick.
OPTIONS = {
    "smoothgrad": {"samples": 4, "batch_size": 2},
    "integrated_gradients": {"steps": 4, "batch_size": 2},
    "guided_nonlinearity": {"steps": 4, "batch_size": 2},
    "smooth_grad_cam_plus_plus": {"samples": 4, "batch_size": 2},
    "meta_saliency": {"method": "gradient"},
    "expected_gradients": {"samples": 4, "batch_size": 2},
    "gradient_shap": {"samples": 4, "batch_size": 2},
    "pattern_net": {"patterns": images(6, seed=5)},
    "pattern_attribution": {"patterns": images(6, seed=5)},
}
#: Those that have no backward pass.
FORWARD_ONLY = ["fem"]


@pytest.mark.parametrize("set_up", SET_UPS)
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_callers_network_is_untouched(method, event, set_up):
    network = settle(Broken())
    model = wrap(network)
    model.layers()
    SET_UPS[set_up](network)
    x = images(2)
    before, pixels = everything(network), x.clone()
    # The fuse is lit after the snapshot of the target, which is given: every pass is the method's own.
    network.fuse[:] = EVENTS[event]
    where, error, _ = EVENTS[event]
    if where is None:
        METHODS[method](model, x, 1, **OPTIONS.get(method, {}))
    else:
        try:
            METHODS[method](model, x, 1, **OPTIONS.get(method, {}))
        except type(error) as raised:
            broke = raised is error or str(error) in str(raised)
        else:
            broke = False
        # A method of one pass never comes to a third one.
        assert broke or "later" in event or (where == "backward" and method in FORWARD_ONLY)
    network.fuse[:] = EVENTS["normal"]
    after = everything(network)
    for what in before:
        assert after[what] == before[what], what
    assert torch.equal(x, pixels)


@pytest.mark.parametrize(
    ("method", "event"),
    [
        (method, event)
        for method in METHODS
        for event in ("raising in forward", "raising in backward", "interrupted in backward")
        if not (method in FORWARD_ONLY and "backward" in event)
    ],
)
def test_a_method_works_after_it_was_broken_off(method, event):
    network = settle(Broken())
    model, x = wrap(network), images(2)
    options = OPTIONS.get(method, {})
    expected = METHODS[method](model, x, 1, **options)
    network.fuse[:] = EVENTS[event]
    with pytest.raises(type(EVENTS[event][1])):
        METHODS[method](model, x, 1, **options)
    network.fuse[:] = EVENTS["normal"]
    assert torch.equal(METHODS[method](model, x, 1, **options), expected)


def test_the_snapshot_sees_what_a_careless_method_would_do():
    """The test above can fail: each of these changes is seen."""

    def leave_a_hook(network):
        network.conv1.register_forward_hook(lambda *_: None)

    def leave_a_backward_hook(network):
        network.relu.register_full_backward_hook(lambda *_: None)

    def leave_a_global_hook(network):
        handles.append(torch_module.register_module_forward_hook(lambda *_: None))

    def write_gradients(network):
        network(images()).sum().backward()

    def change_a_mode(network):
        network.block2.bn1.train()

    def update_running_statistics(network):
        network.train()(images())
        network.eval()

    def change_and_change_back(network):
        with torch.no_grad():
            network.conv1.weight.add_(0)

    def freeze(network):
        network.fc.bias.requires_grad_(False)

    def replace_a_module(network):
        network.relu = nn.ReLU()
        network.block1.relu = nn.Identity()

    def add_an_attribute(network):
        network.fc.saved = 1

    def draw(network):
        torch.rand(1)

    handles = []
    for careless in (
        leave_a_hook, leave_a_backward_hook, leave_a_global_hook, write_gradients, change_a_mode, draw, freeze,
        update_running_statistics, change_and_change_back, replace_a_module, add_an_attribute,
    ):  # fmt: skip
        network = copy.deepcopy(settle(SharedInPlace()))
        before = everything(network)
        careless(network)
        assert everything(network) != before, careless.__name__
        for handle in handles:
            handle.remove()


def test_every_public_method_is_registered():
    methods = {name for name in attribution.__all__ if isinstance(getattr(attribution, name), Method)}
    assert methods == set(METHODS)
    assert len(methods) >= 8
