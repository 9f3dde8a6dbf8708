"""Traces of real passes: results of replays for any batch, and passes that cannot be replayed."""

import random
import threading
import warnings

import pytest
import torch
import torch.nn.functional as F
from alarm import alarm
from closeness import assert_close
from networks import Functional, SharedInPlace, images, settle
from snapshot import everything
from torch import nn
from torch.overrides import TorchFunctionMode

from xai_widgets.tracing import Affine, Untraceable, Value, trace
from xai_widgets.tracing.recorder import _cast


def replay(network, x, **options):
    """The whole network as one segment, traced with the first image."""
    made = trace(network, x[:1], **options)
    return made.segment(Value(0), made.output)


def check(network, **options):
    """A replay gives the scores of the network for other images and numbers of images."""
    settle(network)
    run = replay(network, images(1), **options)
    for count in (1, 2, 5):
        x = images(count, seed=count)
        assert_close(run(x), network(x))


class Net(nn.Module):
    """A network of which tests write the forward pass."""

    def __init__(self, forward):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4 * 64, 4)
        self.scale = torch.full((1, 4, 1, 1), 0.5)
        self.own = forward

    def forward(self, x):
        return self.own(self, x)


def features(net, x):
    return net.relu(net.conv(x))


def same_padding(net, x):
    total = max((-(-x.shape[-1] // 2) - 1) * 2 + 3 - x.shape[-1], 0)
    x = F.pad(x, (total // 2, total - total // 2) * 2)
    return F.conv2d(x, net.conv.weight, net.conv.bias, stride=2).mean((2, 3))


def loop_over_layers(net, x):
    parts = torch.split(features(net, x), 2, dim=1)
    return net.fc(torch.cat([part * (k + 1) for k, part in enumerate(parts)], 1).flatten(1))


def written_in_place(net, x):
    x = features(net, x)
    x[:, 0] = 0
    half = x[:, 2:]
    half *= 2
    made = torch.zeros(x.shape[0], 4, 8, 8)
    made[:, :3] = x[:, 1:]
    return net.fc((made + x).flatten(1))


FORWARDS = {
    "size(0)": lambda net, x: net.fc(features(net, x).view(x.size(0), -1)),
    "shape": lambda net, x: net.fc(features(net, x).reshape(x.shape[0], 4 * x.shape[2] * x.shape[3])),
    "len": lambda net, x: net.fc(features(net, x).reshape(len(x), -1)),
    "batch in front": lambda net, x: net.fc(
        features(net, x).view(x.size(0) * 4, 64).relu().view(x.shape[0], 256)
    ),
    "if on the batch": lambda net, x: net.fc(
        (features(net, x) if len(x) > 1 else features(net, x) * 1).flatten(1)
    ),
    "same padding": same_padding,
    "parts": loop_over_layers,
    "in place": written_in_place,
    "constant": lambda net, x: net.fc((features(net, x) * net.scale + torch.ones(4, 1, 1)).flatten(1)),
    "unpacked": lambda net, x: net.fc(torch.stack([*features(net, x).transpose(0, 1)], 1).flatten(1)),
    "aten": lambda net, x: net.fc(torch.ops.aten.relu(net.conv(x)).flatten(1)),
    "checkpoint": lambda net, x: net.fc(
        torch.utils.checkpoint.checkpoint(lambda y: features(net, y), x, use_reentrant=False).flatten(1)
    ),
    "no_grad": torch.no_grad()(lambda net, x: net.fc(features(net, x).flatten(1))),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_a_replay_is_the_network_for_any_number_of_images(name):
    check(Net(FORWARDS[name]))


@pytest.mark.parametrize("network", [Functional, SharedInPlace])
def test_a_replay_leaves_its_input_and_lets_gradients_through(network):
    network = settle(network())
    run, x = replay(network, images(1)), images(2)
    given = x.clone().requires_grad_()
    run(given).sum().backward()
    assert torch.equal(given, x)
    expected = x.clone().requires_grad_()
    network(expected).sum().backward()
    assert_close(given.grad, expected.grad)


def test_integers_that_follow_the_batch_are_found():
    made = trace(settle(Net(FORWARDS["batch in front"])), images(1))
    views = [call.args[1:] for call in made.calls if call.name == "view"]
    assert views == [(Affine(0, 4), 64), (Affine(0, 1), 256)]


def test_parts_of_a_network_put_together_are_the_network():
    network = settle(SharedInPlace())
    made, x = trace(network, images(1)), images(3)
    middle = made.calls.index(next(call for call in made.calls if call.name == "max_pool2d"))
    between = made.segment(Value(0), Value(middle))(x)
    assert_close(made.segment(Value(middle), made.output)(between), network(x))


def test_calls_know_their_layers_call_by_call():
    made = trace(settle(SharedInPlace()), images(1))
    relus = [call.layer for call in made.calls if call.name == "relu"]
    assert relus == ["relu", "relu:1", "relu:2", "relu:3", "relu:4"]
    assert [scope.name for scope in made.calls[-1].scopes] == ["fc"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_replayed_in_float32(dtype):
    network = settle(SharedInPlace()).to(dtype)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = replay(network, images(1))(images(2))
    assert found.dtype == torch.float32
    after = network.state_dict()
    assert all(
        after[name].dtype == value.dtype and torch.equal(after[name], value) for name, value in before.items()
    )
    assert_close(found, network.float()(images(2)))


def test_casts_of_freed_buffers_are_not_those_of_later_ones():
    casts = {}
    for number in range(50):
        # Each is freed before the next one is created, which may get its id.
        norm = nn.BatchNorm2d(3).half()
        norm.running_mean.fill_(number)
        _cast(norm, casts)
        assert torch.equal(norm.running_mean, torch.full((3,), float(number)))


def test_autocast_of_the_caller_is_left_alone_and_not_used():
    network, x = settle(Functional()), images(2)
    expected = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        run = replay(network, x)
        assert torch.equal(run(x), expected)
        assert torch.is_autocast_enabled("cpu")
        assert network(x).dtype == torch.bfloat16


def test_autocast_of_the_network_is_replayed():
    def forward(net, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = features(net, x)
        return net.fc(x.float().flatten(1))

    check(Net(forward))


def test_parametrized_weights_follow_the_network():
    network = settle(Net(FORWARDS["size(0)"]))
    nn.utils.parametrizations.weight_norm(network.conv)
    run, x = replay(network, images(1)), images(2)
    with torch.no_grad():
        network.conv.parametrizations.weight.original0.mul_(2)
        network.fc.bias.add_(1)
    assert_close(run(x), network(x))


def test_hooks_that_read_values_for_a_log_do_not_matter():
    network, log = settle(Net(FORWARDS["size(0)"])), []
    network.conv.register_forward_hook(lambda _module, _inputs, output: log.append(output.mean().item()))
    check(network)
    assert log


class Custom(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.relu()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def hidden(net, x):
    """A tensor from nowhere, like one of compiled code."""
    with torch._C.DisableTorchFunction():
        x = net.conv(x) * 2
    return net.fc(x.flatten(1))


REFUSALS = {
    "bool": (
        lambda net, x: net.fc((x.mean() > 0) * features(net, x).flatten(1)) if x.sum() > 0 else x,
        "'bool'",
    ),
    "item": (lambda net, x: net.fc(features(net, x).flatten(1) * x.max().item()), "'item'"),
    "custom function": (
        lambda net, x: net.fc(Custom.apply(net.conv(x)).flatten(1)),
        "autograd function 'Custom'",
    ),
    "images one by one": (
        lambda net, x: torch.cat([net.fc(features(net, x[k : k + 1]).flatten(1)) for k in range(len(x))]),
        "number of images",
    ),
    "path of the batch": (
        lambda net, x: net.fc((features(net, x) * (1 if len(x) == 1 else 3)).flatten(1)),
        "another image is in the batch",
    ),
    "batch statistics": (
        lambda net, x: net.fc(features(net, (x - x.mean()) / x.std()).flatten(1)),
        "another image is in the batch",
    ),
    "random": (lambda net, x: net.fc(F.dropout(features(net, x), 0.5).flatten(1)), "from pass to pass"),
    "random factor": (lambda net, x: net.fc(features(net, x).flatten(1)) * random.random(), "pass"),
    "hidden": (hidden, "hidden from torch's function modes"),
    "own tensor": (
        lambda net, x: net.fc(features(net, x).flatten(1) * net.scale.fill_(0.5).sum()),
        "'fill' changes a tensor",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_replayed_is_refused_by_name(name):
    forward, words = REFUSALS[name]
    with pytest.raises(ValueError, match=words):
        replay(settle(Net(forward)), images(1))


def test_scripted_code_is_refused_by_its_layer():
    script = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    network = nn.Sequential(script, nn.Flatten(), nn.Linear(144, 4)).eval()
    with pytest.raises(Untraceable, match="'0' is a scripted module"):
        trace(network, images(1))


def test_an_input_of_another_size_is_refused_where_sizes_were_read():
    run = replay(settle(Net(FORWARDS["shape"])), images(1))
    with pytest.raises(ValueError, match=r"expected an input of shape \(N, 3, 8, 8\), got \(1, 3, 16, 16\)"):
        run(images(1, size=16))
    whole = replay(settle(Net(lambda net, x: features(net, x).mean((2, 3)))), images(1))
    assert whole(images(1, size=16)).shape == (1, 4)


def test_names_of_layers_are_no_code():
    network = nn.Sequential()
    ran = []
    network.ran = ran.append
    network.add_module("weight') or ran(1) or getattr(self, 'weight", nn.Conv2d(3, 4, 3))
    replay(network.eval(), images(1))(images(2))
    assert not ran


def test_other_threads_are_not_recorded():
    stop, other, failures = threading.Event(), settle(Functional()), []
    expected = other(images(2))

    def run():
        while not stop.is_set():
            if not torch.equal(other(images(2)), expected):
                failures.append("other scores")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(10):
            made = trace(settle(SharedInPlace()), images(1))
            assert sum(call.name == "conv2d" for call in made.calls) == 5
    finally:
        stop.set()
        thread.join()
    assert not failures


def test_an_interrupt_at_any_moment_leaves_nothing_behind():
    network, x = settle(SharedInPlace()), images(1)
    call = lambda: trace(network, x)
    call()
    before, filters = everything(network), list(warnings.filters)
    hits = 0
    with alarm(0, call) as signals:
        for _ in range(150):
            hits += signals.interrupts(call)
            assert torch.overrides._get_current_function_mode_stack() == []
            assert torch.is_grad_enabled()
    assert hits > 30
    assert everything(network) == before
    assert warnings.filters == filters


def test_a_mode_of_the_caller_sees_a_replay():
    seen = []

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    run = replay(settle(Functional()), images(1))
    with Mode():
        run(images(1))
    assert {F.relu, torch.conv2d, F.max_pool2d} <= set(seen)
