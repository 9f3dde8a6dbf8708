"""Networks that add their input to a residual, which is inverted, with a note."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import images, one_sentence, settle
from torch import nn

from xai_widgets.errors import ExplanationWarning
from xai_widgets.inverse import SolverSettings, layer_wise
from xai_widgets.inverse.chain import Chain

QUICK = SolverSettings(steps=10)


class Vdsr(nn.Module):
    """The network of Kim et al. 2016 as published: convolutions without bias, and its input added inside `forward`."""

    def __init__(self, layers=20, width=64):
        super().__init__()
        self.input = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.middle = nn.Sequential(
            *[
                nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.ReLU(inplace=True))
                for _ in range(layers - 2)
            ]
        )
        self.output = nn.Conv2d(width, 1, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def residual(self, x):
        return self.output(self.middle(self.relu(self.input(x))))

    def forward(self, x):
        return torch.add(self.residual(x), x)


def test_the_published_vdsr_has_its_20_units():
    network, x = settle(Vdsr()), images(1, channels=1)
    chain = Chain.of(network, x)
    assert len(chain.units) == 20
    assert [unit.depth for unit in chain.units] == [1] * 20
    assert [unit.kind for unit in chain.units] == ["convolution"] * 19 + ["scores"]
    # Without biases no target is rescaled (algorithm 2, line 2).
    assert not any(unit.bias for unit in chain.units)
    assert chain.residual == "added"
    assert_close(chain.output, network.residual(x).detach())
    assert_close(x + chain.output, network(x).detach())


class Restoring(nn.Module):
    """Three convolutions, and a combination of their result with the input."""

    def __init__(self, combined, bias=True):
        super().__init__()
        self.combined = combined
        parts = [
            nn.Conv2d(3, 4, 3, padding=1, bias=bias),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(),
        ]
        self.body = nn.Sequential(*parts, nn.Conv2d(4, 3, 3, padding=1, bias=bias))

    def forward(self, x):
        return self.combined(x, self.body)


def in_place(x, body):
    made = body(x)
    made += x
    return made


def resized(x, body):
    large = F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
    return large + F.interpolate(body(x), scale_factor=2)


#: By name: the combination of the input and the output of the body, and the kind of residual.
COMBINED = {
    "input first": (lambda x, body: x + body(x), "added"),
    "body first": (lambda x, body: body(x) + x, "added"),
    "in place": (in_place, "added"),
    "noise is subtracted": (lambda x, body: x - body(x), "subtracted"),
    "cropped": (lambda x, body: x[..., 1:-1, 1:-1] + body(x)[..., 1:-1, 1:-1], "added"),
    "resized": (resized, "added"),
    "scaled": (lambda x, body: 0.5 * x + body(x) * 0.1, "added"),
    "shifted": (lambda x, body: (x - 0.5) + body(x), "added"),
    "padded": (lambda x, body: F.pad(x, (1, 1, 1, 1)) + F.pad(body(x), (1, 1, 1, 1)), "added"),
    "clipped": (lambda x, body: (x + body(x)).clamp(0, 1), "added"),
}


@pytest.mark.parametrize("name", COMBINED)
def test_the_residual_is_divided_however_it_is_combined(name):
    combined, residual = COMBINED[name]
    network, x = settle(Restoring(combined)), images(2)
    chain = Chain.of(network, x)
    assert chain.residual == residual
    assert [unit.depth for unit in chain.units] == [1, 1, 1]
    # The network adds the output of the chain.
    output, sign = network(x).detach(), -1 if residual == "subtracted" else 1
    if name != "clipped":
        assert_close(output - sign * chain.output, combined(x, torch.zeros_like), scale=output)
    else:
        assert_close(output, (x + chain.output).clamp(0, 1))


#: Networks that do not add a residual to their input.
OTHERS = {
    "no input": lambda x, body: body(x) + 1.0,
    "input minus itself": lambda x, body: body(x) - x,
    "product": lambda x, body: body(x) * x,
    "of two bodies": lambda x, body: body(x) + body(2 * x),
    "power of the input": lambda x, body: x**2 + body(x),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_outputs_have_no_residual(name):
    network, x = settle(Restoring(OTHERS[name])), images(1)
    if name == "no input":
        chain = Chain.of(network, x)
        assert chain.residual is None
        assert_close(chain.output, network(x).detach())
    else:
        with pytest.raises(ValueError, match="a single unit"):
            Chain.of(network, x)


def test_a_skip_from_behind_the_first_convolution_is_refused_by_its_name():
    """EDSR: residual blocks without an activation behind their sum, around which the first convolution is added."""

    class Edsr(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.tail = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
            self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            x = self.head(x)
            return self.tail(x + 0.1 * self.second(self.first(x).relu()))

    with pytest.raises(
        ValueError, match=r"a single unit of 4 .* the output of 'head' is used again behind"
    ) as error:
        Chain.of(settle(Edsr()), images(1))
    one_sentence(error)


def test_a_skip_inside_is_part_of_its_block():
    """The last block of a network with two units adds its input, which is not that of the network."""

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            x = self.first(x).relu()
            return x + self.second(x)

    chain = Chain.of(settle(Inner()), images(1))
    assert chain.residual is None
    assert len(chain.units) == 2


def test_the_inversion_of_a_residual_is_noted():
    network, x = settle(Restoring(COMBINED["noise is subtracted"][0])), images(1)
    with pytest.warns(
        ExplanationWarning, match="the network subtracts the output of 'body.4' from its input"
    ):
        run = layer_wise(network, x, settings=QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = run.result(progress=False)
    assert any("the inverse is that of this residual" in note for note in made.notes)
    # Without a skip, the body has the same inverse.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        alone = layer_wise(network.body, x, settings=QUICK).result(progress=False)
    assert torch.equal(made.x, alone.x)
    assert alone.notes == ()
