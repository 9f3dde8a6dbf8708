"""Methods with rules on networks whose rectifiers are written in other words, or run where no rule reaches."""

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import CLASSES, images, one_sentence, settle, wrap
from rectifiers import OTHER_WORDS
from torch import nn

from xai_widgets.methods import METHODS


class Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        return grad * (ctx.saved_tensors[0] > 0)


class Acting(nn.Module):
    """Two convolutions with an activation of one's own behind an ordinary ReLU."""

    def __init__(self, act):
        super().__init__()
        self.a, self.b, self.act = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), act
        self.fc = nn.Linear(6, CLASSES, bias=False)

    def forward(self, x):
        return self.fc(self.act(self.b(F.relu(self.a(x)))).mean((2, 3)))


RULED = ["deconvnet", "guided_backprop", "feedback_layers", "lrp", "deep_lift", "excitation_backprop"]


@pytest.mark.parametrize("method", RULED)
@pytest.mark.parametrize("spelling", OTHER_WORDS)
def test_methods_are_those_of_the_network_with_relu(spelling, method):
    network = settle(Acting(F.relu))
    expected = METHODS[method](wrap(network), images(1), 1)
    network.act = OTHER_WORDS[spelling]
    assert_close(METHODS[method](wrap(network), images(1), 1), expected)


@torch.jit.script
def scripted_relu(x):
    return torch.relu(x)


@pytest.mark.parametrize("method", RULED)
@pytest.mark.parametrize(
    ("act", "name"),
    [(Hidden.apply, "Hidden"), (scripted_relu, "relu")],
    ids=["autograd function", "scripted"],
)
def test_an_operation_that_cannot_be_seen_is_refused_by_its_name(method, act, name):
    network = settle(Acting(act))
    with pytest.raises(
        ValueError, match=f"got '{name}' in .*, whose backward pass cannot be replaced"
    ) as error:
        METHODS[method](wrap(network), images(1), 1)
    one_sentence(error)
    assert METHODS["gradient"](wrap(network), images(1), 1).any()


@pytest.mark.parametrize("method", RULED)
def test_a_scripted_network_is_refused(method):
    network = torch.jit.script(settle(Acting(nn.ReLU())))
    with pytest.raises(ValueError, match="scripted") as error:
        METHODS[method](wrap(network), images(1), 1)
    one_sentence(error)
