"""After any call of any method, normal, raising or interrupted, the caller's network is as it was before.

Every registered method is tested: a new one joins by being registered.
"""

import copy
import itertools

import pytest
import torch
from attending import attends
from networks import SharedInPlace, images, quick, settle, wrap
from snapshot import Broken, BrokenTransformer, everything
from torch import nn
from torch.nn.modules import module as torch_module

import xai_widgets.attribution as attribution
from xai_widgets.methods import Method, family

METHODS = family("attribution")


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

#: Events: the hook that raises, the exception, and the number of the pass.
EVENTS = {
    "normal": (None, None, 0),
    "raising in forward": ("forward", RuntimeError("forward broke"), 0),
    "raising in a later forward": ("forward", RuntimeError("forward broke"), 2),
    "raising in backward": ("backward", RuntimeError("backward broke"), 0),
    "interrupted in forward": ("forward", KeyboardInterrupt(), 0),
    "interrupted in backward": ("backward", KeyboardInterrupt(), 0),
}
#: Enough passes for a later one to break, few enough to be quick.
OPTIONS = {name: quick(method, batch_size=2) for name, method in METHODS.items()}
FORWARD_ONLY = [
    name for name, method in METHODS.items() if not method.cost.backward + method.cost.backward_each
]
#: One method of each mechanism that touches a network: hooks on layers, rules of ReLU, rules of all operations,
#: passes over many points, gradients of parameters, attention matrices.
MECHANISMS = ["grad_cam", "legrad", "guided_backprop", "lrp", "integrated_gradients", "norm_grad_convolution"]


def broken(method):
    """Return a network with a fuse, on which the method works."""
    return settle(BrokenTransformer() if attends(METHODS[method]) else Broken())


def cases():
    """Yield every method with every event, the set-ups taking turns, and every mechanism with all of both."""
    turns = itertools.cycle(SET_UPS)
    for method, event in itertools.product(METHODS, EVENTS):
        turn = next(turns)
        for set_up in SET_UPS:
            if method in MECHANISMS or set_up == turn:
                yield method, event, set_up


@pytest.mark.parametrize(("method", "event", "set_up"), list(cases()))
def test_the_callers_network_is_untouched(method, event, set_up):
    network = broken(method)
    model = wrap(network)
    model.layers()
    SET_UPS[set_up](network)
    x = images(2)
    before, pixels = everything(network), x.clone()
    # The fuse is lit after the snapshot of the target, which is given: every pass is the method's own.
    network.fuse[:] = EVENTS[event]
    where, error, _ = EVENTS[event]
    if where is None:
        METHODS[method](model, x, 1, **OPTIONS[method])
    else:
        try:
            METHODS[method](model, x, 1, **OPTIONS[method])
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
    network = broken(method)
    model, x = wrap(network), images(2)
    options = OPTIONS[method]
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
