"""A pass that ends after the layers in question."""

import pytest
import torch
from closeness import assert_close
from networks import Functional, SharedInPlace, images, one_sentence, settle, wrap
from torch import nn
from torch.utils.checkpoint import checkpoint

from xai_widgets.core.model import ImageModel
from xai_widgets.core.partial_pass import outputs_up_to


class Counted(nn.Module):
    """Counts its calls, and catches every exception of the network inside."""

    def __init__(self, network):
        super().__init__()
        self.network, self.log = network, []

    def forward(self, x):
        try:
            y = self.network(x)
        except Exception as error:
            raise AssertionError("a network must not notice the end of the pass") from error
        self.log.append("end")
        return y


def test_outputs_are_those_of_a_whole_pass():
    model, x = wrap(settle(SharedInPlace())), images(2)
    layers = [layer.name for layer in model.layers()][:6]
    whole = model.activations(x, layers)
    for name, output in outputs_up_to(model, x, layers).items():
        assert_close(output, whole[name])


def test_the_pass_ends_after_the_last_layer():
    log = []

    class Late(nn.Conv2d):
        def forward(self, x):
            log.append("late")
            return super().forward(x)

    network = Counted(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Late(4, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    )
    model, x = ImageModel(network, size=8), images(1)
    model.layers()
    log.clear(), network.log.clear()
    assert set(outputs_up_to(model, x, ["network.0", "network.1"])) == {"network.0", "network.1"}
    assert log == network.log == []
    outputs_up_to(model, x, ["network.2"])
    assert log == ["late"]


def test_gradients_of_pixels_flow_past_a_checkpoint():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            x = checkpoint(self.first, x, use_reentrant=False)
            return self.head(self.last(x).mean((2, 3)))

    model = ImageModel(Checkpointed(), size=8)
    x = images(1).requires_grad_()
    (made,) = torch.autograd.grad(outputs_up_to(model, x, ["last"])["last"].square().sum(), x)
    network = model.module
    (whole,) = torch.autograd.grad(network.last(network.first(x)).square().sum(), x)
    assert_close(made, whole)


def test_a_layer_inside_of_a_checkpoint_has_a_gradient():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3))
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(checkpoint(self.inner, x, use_reentrant=False).mean((2, 3)))

    model = ImageModel(Checkpointed(), size=8)
    x = images(1).requires_grad_()
    (made,) = torch.autograd.grad(outputs_up_to(model, x, ["inner.1"])["inner.1"].sum(), x)
    (whole,) = torch.autograd.grad(model.module.inner[:2](x).sum(), x)
    assert_close(made, whole)


def test_parameters_are_constants():
    model = wrap(settle(Functional()))
    with torch.enable_grad():
        assert not outputs_up_to(model, images(1), ["conv2"])["conv2"].requires_grad


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="conv1") as error:
        outputs_up_to(wrap(settle(Functional())), images(1), ["conv11"])
    assert one_sentence(error)
