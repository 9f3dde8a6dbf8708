"""The gradient at a layer needs no graph of the layers before it."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.methods.gradients import layer_gradient
from xai_widgets.rules import BackwardRules, guided_relu

SIDE = 16
TARGET = torch.tensor([1])


class Watched(nn.Module):
    """A network of two layers that records whether the first one is in a graph."""

    def __init__(self, constant: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Sequential(
            nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )
        self.constant = constant
        #: A tuple, as a pass gets copies of lists.
        self.seen = (Seen(),)

    def forward(self, x):
        first = self.first(torch.ones_like(x) if self.constant else x)
        self.seen[0].graphs.append(first.requires_grad)
        return self.head(self.second(first) + 0 * x.mean())


class Seen:
    """Whether the first layer was in a graph, in each pass."""

    def __init__(self):
        self.graphs = []


def watched(**options):
    torch.manual_seed(0)
    network = Watched(**options)
    model = ImageModel(network, size=SIDE, device="cpu")
    # Layers are found once, by a pass.
    model.layers()
    network.seen[0].graphs.clear()
    return model, network.seen[0].graphs, torch.rand(1, 3, SIDE, SIDE)


def test_later_calls_record_no_graph_before_the_layer_and_return_the_same_numbers():
    model, graphs, x = watched()
    first = layer_gradient(model, x, TARGET, "second")
    again = layer_gradient(model, x, TARGET, "second")
    assert graphs == [True, False]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not again[0].requires_grad


def test_a_mode_of_backward_rules_still_sees_the_whole_pass():
    model, graphs, x = watched()
    for _ in range(2):
        with BackwardRules(relu=guided_relu):
            layer_gradient(model, x, TARGET, "second")
    assert graphs == [True, True]


def test_a_layer_that_does_not_depend_on_the_pixels_is_refused_each_time():
    model, _, x = watched(constant=True)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"does not contribute|does not reach it"):
            layer_gradient(model, x, TARGET, "second")


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_the_backward_pass_of_a_rule_clips_the_gradient_in_place(name):
    class Counting(TorchDispatchMode):
        clipped = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.clipped += func is torch.ops.aten.clamp_min.default
            return func(*args, **(kwargs or {}))

    model, _, x = watched()
    with pytest.warns() if name == "deconvnet" else Counting(), Counting() as counting:
        METHODS[name](model, x, TARGET)
    assert counting.clipped == 0
