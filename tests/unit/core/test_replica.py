import functools
import threading
import types

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import CLASSES, Dropping, Functional, images, one_sentence, settle, wrap
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from xai_widgets.core.replica import named_parts, original, replica, unwrapped
from xai_widgets.errors import ExplanationWarning
from xai_widgets.methods import METHODS


class Normed(nn.Module):
    """Batch-norm and dropout: train and eval mode differ, and a pass in train mode leaves a trace."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, CLASSES)

    def features(self, x):
        return F.dropout(F.relu(self.norm(self.conv(x))), 0.5, self.training)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


class Checkpointed(Normed):
    def __init__(self, reentrant=False):
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x):
        x = checkpoint(self.features, x, use_reentrant=self.reentrant)
        return self.fc(x.mean((2, 3)))


class Holding(nn.Module):
    """Modules in every kind of container besides attributes."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)
        self.listed = [self.norm, (self.dropout,)]
        self.named = {"norm": self.norm}
        object.__setattr__(self, "parent", self)
        self.step = functools.partial(Holding.apply_norm, self)
        self.bound = types.MethodType(Holding.apply_norm, self)
        self.fc = nn.Linear(3, CLASSES)

    def apply_norm(self, x):
        return self.named["norm"](x)

    def forward(self, x):
        x = self.listed[1][0](self.listed[0](x))
        x = self.bound(self.step(self.parent.dropout(x)))
        return self.fc(x.mean((2, 3)))


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(network, before):
    now = network.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[name], before[name]) for name in now)


@pytest.mark.parametrize("kind", [Normed, Dropping, Holding, Checkpointed])
def test_a_replica_is_in_eval_mode_and_the_network_as_it_was(kind):
    network, x = settle(kind()).train(), images(2)
    before, flags = state(network), [part.training for part in network.modules()]
    made = replica(network)(x)
    assert [part.training for part in network.modules()] == flags
    assert same(network, before)
    assert_close(made, network.eval()(x))


def test_a_replica_shares_its_tensors_and_follows_every_change():
    network, x = settle(Normed()), images(1)
    made = replica(network)
    assert made is not network
    assert made.conv.weight is network.conv.weight
    assert torch.equal(made.norm.running_mean, network.norm.running_mean)
    assert original(made.conv) is network.conv
    assert original(network.conv) is network.conv
    model = wrap(network)
    with torch.no_grad():
        network.fc.bias += 1
    network.conv = nn.Conv2d(3, 6, 3)
    network.norm.running_mean += 0.1
    network.double().float()
    assert_close(model.scores(x), network((x - model.mean) / model.std))


def test_a_frozen_replica_requires_no_gradient_of_its_parameters():
    network = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))
    assert not replica(network, frozen=True)(torch.rand(1, 4)).requires_grad
    assert replica(network)(torch.rand(1, 4)).requires_grad
    assert all(value.requires_grad for value in network.parameters())


def test_the_caller_may_train_while_another_thread_explains():
    network, x = settle(Normed()).train(), images(1)
    model, stop, modes = wrap(network), threading.Event(), []

    def explain():
        while not stop.is_set():
            METHODS["grad_cam"](model, x, 0)

    thread = threading.Thread(target=explain)
    thread.start()
    try:
        counted = int(network.norm.num_batches_tracked)
        for _ in range(100):
            network(images(2))
            modes.append(network.training and network.norm.training)
        assert int(network.norm.num_batches_tracked) == counted + 100
        network.eval()
    finally:
        stop.set()
        thread.join(30)
    assert all(modes)
    assert not any(part.training for part in network.modules())


@pytest.mark.parametrize(
    "name", ["gradient", "guided_backprop", "lrp", "deep_lift", "grad_cam", "excitation_backprop"]
)
@pytest.mark.parametrize("training", [True, False])
def test_a_checkpointed_block_changes_neither_the_map_nor_the_statistics(name, training):
    torch.manual_seed(0)
    plain, checkpointed = Normed(), Checkpointed()
    checkpointed.load_state_dict(plain.state_dict())
    checkpointed.train(training)
    before, x = state(checkpointed), images(1)
    options = {"layer": "norm"} if name in ("grad_cam", "excitation_backprop") else {}
    made = METHODS[name](wrap(checkpointed), x, 1, **options)
    assert_close(made, METHODS[name](wrap(plain.eval()), x, 1, **options))
    assert same(checkpointed, before)
    assert all(value.grad is None for value in checkpointed.parameters())


@pytest.mark.parametrize("name", ["gradient", "grad_cam", "guided_backprop", "lrp"])
def test_a_reentrant_checkpoint_is_refused_in_one_sentence(name):
    network = Checkpointed(reentrant=True).train()
    before = state(network)
    with pytest.raises(ValueError, match=r"use_reentrant|'CheckpointFunction'") as error:
        METHODS[name](wrap(network), images(1), 1)
    one_sentence(error)
    assert same(network, before)


class Opaque(nn.Module):
    """Stands for a compiled module: torch.compile itself takes seconds to import."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module


Opaque.__name__ = "OptimizedModule"


@pytest.mark.parametrize("wrapper", [nn.DataParallel, Opaque])
def test_wrappers_are_left_out(wrapper):
    network, x = settle(Functional()), images(1)
    model = wrap(wrapper(network))
    assert model.module is network
    assert unwrapped(wrapper(wrapper(network))) is network
    assert model.name == "Functional"
    assert torch.equal(model.scores(x), wrap(network).scores(x))


def test_a_wrapped_part_keeps_its_name_and_is_watched():
    network = settle(Functional())
    network.conv2 = Opaque(network.conv2)
    assert list(named_parts(network)) == ["", "conv1", "conv2", "fc"]
    model, x = wrap(network), images(1)
    plain = wrap(settle(Functional()))
    assert [layer.name for layer in model.layers()] == ["conv1", "conv2", "fc"]
    assert_close(METHODS["grad_cam"](model, x, 0), METHODS["grad_cam"](plain, x, 0))


def test_a_compiled_network_is_explained_as_the_plain_one():
    network, x = settle(Functional()), images(1)
    compiled = torch.compile(network, backend="eager")
    for name in ("grad_cam", "lrp", "norm_grad", "excitation_backprop"):
        torch.testing.assert_close(
            METHODS[name](wrap(compiled), x, 0), METHODS[name](wrap(network), x, 0), rtol=0, atol=0
        )


def test_scripted_code_runs_in_eval_mode_only():
    network, x = settle(Normed()), images(2)
    scripted = torch.jit.script(network.eval())
    assert_close(wrap(scripted).scores(x), wrap(network).scores(x))
    before = state(scripted)
    with pytest.raises(ValueError, match="scripted module in eval mode"):
        wrap(scripted.train())
    assert scripted.training
    assert scripted.norm.training
    assert same(scripted, before)


def test_lazy_modules_get_their_parameters():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(CLASSES), nn.Dropout(0.5))
    model = wrap(network)
    assert network.training
    assert network[2].in_features == 4 * 6 * 6
    assert model.scores(images(1)).shape == (1, CLASSES)


def by_lambda(network):
    plain = network.norm
    network.features = lambda x: F.relu(plain(network.conv(x)))


def by_patched_forward(network):
    forward = network.forward
    network.forward = lambda x: forward(x)


def by_writing_buffers(network):
    network.register_buffer("count", torch.zeros(()))

    def counting(self, x):
        self.count += 1
        return Normed.forward(self, x)

    network.forward = types.MethodType(counting, network)


@pytest.mark.parametrize("held", [by_lambda, by_patched_forward, by_writing_buffers])
def test_modules_in_closures_and_buffers_that_are_written_to_are_those_of_the_replica(held):
    network, x = settle(Normed()), images(2)
    expected = wrap(network).scores(x)
    held(network)
    network.train()
    before = state(network)
    model = wrap(network)
    assert_close(model.scores(x), expected)
    METHODS["lrp"](model, x, 1)
    assert same(network, before)


def test_a_module_that_a_hook_runs_in_train_mode_is_refused_and_left_as_it_was():
    network = settle(Normed()).train()
    network.conv.register_forward_hook(lambda module, inputs, output: network.norm(output))
    before = state(network)
    with pytest.raises(ValueError, match=r"call its eval\(\) first") as error:
        wrap(network)
    one_sentence(error)
    assert same(network, before)


def test_parameters_made_in_inference_mode_have_gradients():
    with torch.inference_mode():
        network = settle(Normed())
    assert METHODS["gradient"](wrap(network), images(1), 1).any()
    assert METHODS["grad_cam"](wrap(network), images(1), 1, layer="norm").any()


class Odd(Normed):
    def __init__(self, odd):
        super().__init__()
        self.odd = odd

    def forward(self, x):
        return self.fc(self.odd(self.features(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (lambda h: h - h.mean(0), "depend on the other images of the batch"),
        (lambda h: F.batch_norm(h, None, None, training=True) + h, "depend on the other images of the batch"),
        (F.dropout, "different scores for the same image"),
        (lambda h: h + torch.rand_like(h), "different scores for the same image"),
    ],
)
def test_scores_that_are_not_those_of_the_image_alone_give_a_warning(odd, message):
    with pytest.warns(ExplanationWarning, match=message):
        wrap(settle(Odd(odd)))


class Caching(nn.Module):
    """Keeps a product of its parameters in eval mode, as LeViT does, and a list of its outputs."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(CLASSES))
        self.cache = {}
        self.outputs = []
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x):
        if "bias" not in self.cache:
            self.cache["bias"] = self.bias * 2
        y = self.head(x.mean((2, 3))) + self.cache["bias"]
        self.outputs.append(y)
        return y


def test_containers_that_a_pass_writes_to_are_those_of_the_replica():
    torch.manual_seed(0)
    network = Caching().eval()
    model = wrap(network)
    x = images(2)
    before = model.scores(x)
    for name in ("gradient", "meta_saliency"):
        options = {"method": "gradient"} if name == "meta_saliency" else {}
        METHODS[name](model, x, 0, **options)
    assert (network.cache, network.outputs) == ({}, [])
    # The next pass computes with the current weights.
    with torch.no_grad():
        network.bias.add_(1)
    assert_close(model.scores(x), before + 2)


def test_hooks_that_a_network_registers_in_its_pass_stay_on_the_replica():
    """Networks of transformers register hooks that collect hidden states in their first pass."""

    class Collecting(Functional):
        def forward(self, x):
            if not getattr(self, "collecting", False):
                self.collecting = True
                self.conv1.register_forward_hook(lambda module, inputs, output: collected.append(output))
            return super().forward(x)

    collected = []
    network = settle(Collecting())
    model = wrap(network)
    collected.clear()
    for _ in range(3):
        model.scores(images(1))
    assert len(collected) == 3
    assert not network.conv1._forward_hooks


def test_a_mode_of_functions_sees_no_copy_of_a_weight():
    class Counting(TorchFunctionMode):
        seen = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.seen += 1
            return func(*args, **(kwargs or {}))

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    with Counting() as counting:
        made = replica(network, frozen=True)
    assert counting.seen == 0
    assert not any(parameter.requires_grad for parameter in made.parameters())
