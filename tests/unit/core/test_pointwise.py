"""Convolutions by oneDNN are those of torch, with all gradients."""

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import CLASSES, images, settle, wrap
from torch import nn

from xai_widgets.core import pointwise
from xai_widgets.core.pointwise import Pointwise, by_onednn, convolution
from xai_widgets.methods import METHODS


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_pointwise_convolution_and_its_gradients_are_those_of_torch(memory_format):
    torch.manual_seed(0)
    weight, bias, x = torch.randn(7, 5, 1, 1), torch.randn(7), torch.randn(3, 5, 6, 4)
    weights = torch.randn(3, 7, 6, 4)
    found = []
    for compute in (Pointwise.apply, F.conv2d):
        own = x.contiguous(memory_format=memory_format).requires_grad_()
        y = compute(own, weight, bias)
        (gradient,) = torch.autograd.grad((y.square() * weights).sum(), own, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), own)
        found.append((y.detach(), gradient.detach(), second))
    for ours, expected in zip(*found, strict=True):
        assert_close(ours, expected)


@pytest.mark.parametrize(
    "settings",
    [(), (2,), ((2, 1), 1), (1, (0, 1), 1, 1), (1, 0, 1, 2), (1, "same")],
    ids=["none", "stride", "padding", "one padding", "groups", "same"],
)
@pytest.mark.parametrize("gradient", [True, False])
def test_a_convolution_with_any_settings_is_that_of_torch(settings, gradient, one_thread):
    torch.manual_seed(0)
    groups = settings[3] if len(settings) > 3 else 1
    weight, bias = torch.randn(4, 6 // groups, 1, 1), torch.randn(4)
    found = []
    for compute in (convolution, F.conv2d):
        for given in (bias, None):
            x = torch.linspace(-1, 1, 3 * 6 * 30).view(3, 6, 6, 5).requires_grad_(gradient)
            with torch.set_grad_enabled(gradient):
                y = compute(x, weight, given, *settings)
            found.append([y, *(torch.autograd.grad(y.square().sum(), x) if gradient else ())])
    for ours, expected in zip(found[:2], found[2:], strict=True):
        for one, other in zip(ours, expected, strict=True):
            assert_close(one, other)


def test_weights_with_a_gradient_keep_it(one_thread):
    x, weight = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 1, 1, requires_grad=True)
    (ours,) = torch.autograd.grad(convolution(x, weight, None).square().sum(), weight)
    (expected,) = torch.autograd.grad(F.conv2d(x, weight).square().sum(), weight)
    assert_close(ours, expected)


def test_only_convolutions_of_images_are_replaced():
    assert by_onednn(F.conv2d) is convolution
    assert by_onednn(F.conv1d) is F.conv1d


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet", "excitation_backprop", "lrp", "deep_lift"])
def test_methods_with_rules_give_the_same_maps(name, one_thread, monkeypatch):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Flatten(), nn.Linear(384, CLASSES)
    )  # fmt: skip
    model, x = wrap(settle(network)), images(2)
    calls = []
    slow = pointwise._is_slow
    monkeypatch.setattr(pointwise, "_is_slow", lambda *given: calls.append(slow(*given)) or calls[-1])
    ours = METHODS[name](model, x, 1)
    assert any(calls)
    monkeypatch.setattr(pointwise, "_is_slow", lambda *given: False)
    assert_close(ours, METHODS[name](model, x, 1))
