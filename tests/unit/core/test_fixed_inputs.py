"""Networks with further inputs: fixed keyword arguments, and the name of the argument for the image."""

import pytest
import torch
from closeness import assert_close
from networks import SIZE, Functional, settle
from torch import nn

from xai_widgets import attribution
from xai_widgets.core.model import ImageModel


class Conditioned(nn.Module):
    """Scores of an image, shifted by an embedding of its category; the image is not the first argument."""

    def __init__(self):
        super().__init__()
        self.body, self.embed = Functional(), nn.Embedding(5, 4)

    def forward(self, category, pixels, weight=None, *, scale=1):
        shift = self.embed(category)
        assert len(shift) == len(pixels)
        scores = self.body(pixels) + scale * shift
        return scores if weight is None else scores * weight


@pytest.fixture
def network():
    return settle(Conditioned())


def _wrap(network, **inputs):
    return ImageModel(
        network, image_argument="pixels", inputs={"category": torch.tensor([3]), **inputs}, size=SIZE
    )


def test_inputs_are_given_to_every_pass_and_repeated_for_each_image(network):
    weight = torch.rand(1, 4)
    x = torch.rand(4, 3, SIZE, SIZE)
    model = _wrap(network, weight=weight, scale=2)
    assert_close(model.scores(x), network(torch.full((4,), 3), x, weight, scale=2))
    assert_close(_wrap(network).scores(x), network(torch.full((4,), 3), x))


def test_the_model_behaves_like_any_other(network):
    model = _wrap(network)
    assert model.name == "Conditioned"
    assert [layer.name for layer in model.layers() if layer.shape][:1] == ["embed"]
    assert model.default_layer() == "body.conv2"
    x = torch.rand(1, 3, SIZE, SIZE)
    for method in (attribution.grad_cam, attribution.integrated_gradients, attribution.lrp):
        result = method(model, x, 1)
        assert result.isfinite().all()
        assert result.abs().sum() > 0


def test_the_network_is_not_changed(network):
    before = dict(network.named_parameters()), list(network.buffers()), set(vars(network))
    _wrap(network).scores(torch.rand(1, 3, SIZE, SIZE))
    after = dict(network.named_parameters()), list(network.buffers()), set(vars(network))
    assert before[0].keys() == after[0].keys()
    assert before[1:] == after[1:]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inputs": [1]}, TypeError, "expected inputs as a dict"),
        ({"inputs": {1: 2}}, TypeError, "expected inputs as a dict"),
        ({"image_argument": 1}, TypeError, "expected image_argument"),
        (
            {"inputs": {"pixels": 1}, "image_argument": "pixels"},
            ValueError,
            "without the image, got 'pixels'",
        ),
        ({"inputs": {"nothing": 1}}, ValueError, "unexpected keyword argument 'nothing'"),
        ({}, ValueError, "missing 1 required positional argument: 'pixels'"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(network, options, error, message):
    with pytest.raises(error, match=message):
        ImageModel(network, size=SIZE, **options)
