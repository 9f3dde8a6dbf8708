"""An attribution of a method that guarantees a sum has a gap."""

import warnings

import pytest
import torch
from closeness import assert_close, near
from networks import SharedInPlace, images, settle, wrap

from xai_widgets.attribution import completeness_gap, conservation_gap, excitation_backprop, probability_gap
from xai_widgets.methods import METHODS
from xai_widgets.methods.completeness import with_gap

MEASURED = {
    "integrated_gradients": completeness_gap,
    "deep_lift": completeness_gap,
    "lrp": conservation_gap,
    "excitation_backprop": lambda model, made, x, target: -probability_gap(made),
}


@pytest.mark.parametrize("method", MEASURED)
def test_the_gap_is_the_sum_minus_the_guaranteed_one(method):
    model, x = wrap(settle(SharedInPlace())), images(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = METHODS[method](model, x, [0, 1, 2])
    assert made.gap.shape == (3,)
    gap = MEASURED[method](model, made, x, [0, 1, 2])
    assert_close(made.gap, gap, scale=made.abs().sum((1, 2, 3)), dtype=torch.float32)


def test_without_a_guarantee_there_is_no_gap():
    model, x = wrap(settle(SharedInPlace())), images(1)
    assert not hasattr(METHODS["gradient"](model, x, 1), "gap")
    # Beside the skip.
    assert not hasattr(excitation_backprop(model, x, 1, layer="block1.conv1"), "gap")


def test_the_worst_image_gives_a_warning_beyond_the_tolerance():
    made, expected = torch.tensor([[1.0, 1.0], [3.0, -1.0], [4.0, 1.0]]), torch.tensor([2.0, 2.1, 4.0])
    with pytest.warns(UserWarning, match="^5 for 4$") as caught:
        with_gap(made, expected, 0.1, lambda total, expected: f"{total} for {expected}")
    assert caught[0].filename == __file__
    assert made.gap.tolist() == near([0.0, -0.1, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_gap(made, expected, 0.25, lambda total, expected: "")
        with_gap(made, expected, 0.1, lambda total, expected: "", rounding=torch.tensor([0.0, 0.0, 0.6]))


def test_a_warning_names_the_line_of_the_caller():
    network = settle(SharedInPlace())
    network.fc.bias.data.fill_(100.0)
    for call in (METHODS["lrp"], METHODS["lrp"].saliency):
        with pytest.warns(UserWarning, match="relevance") as caught:
            call(wrap(network), images(1), 1, composite="epsilon")
        assert caught[0].filename == __file__
