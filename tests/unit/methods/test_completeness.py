"""An attribution of a method that promises a sum carries its gap."""

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
def test_the_gap_is_the_sum_less_what_is_promised(method):
    model, x = wrap(settle(SharedInPlace())), images(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = METHODS[method](model, x, [0, 1, 2])
    assert made.gap.shape == (3,)
    gap = MEASURED[method](model, made, x, [0, 1, 2])
    assert_close(made.gap, gap, scale=made.abs().sum((1, 2, 3)), dtype=torch.float32)


def test_where_nothing_is_promised_there_is_no_gap():
    model, x = wrap(settle(SharedInPlace())), images(1)
    assert not hasattr(METHODS["gradient"](model, x, 1), "gap")
    # Beside the skip.
    assert not hasattr(excitation_backprop(model, x, 1, layer="block1.conv1"), "gap")


def test_the_worst_image_is_said_where_it_is_beyond_the_tolerance_and_rounding():
    made, wanted = torch.tensor([[1.0, 1.0], [3.0, -1.0], [4.0, 1.0]]), torch.tensor([2.0, 2.1, 4.0])
    with pytest.warns(UserWarning, match="^5 for 4$") as told:
        with_gap(made, wanted, 0.1, lambda total, wanted: f"{total} for {wanted}")
    assert told[0].filename == __file__
    assert made.gap.tolist() == near([0.0, -0.1, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_gap(made, wanted, 0.25, lambda total, wanted: "")
        with_gap(made, wanted, 0.1, lambda total, wanted: "", rounding=torch.tensor([0.0, 0.0, 0.6]))


def test_a_warning_names_the_line_of_the_caller():
    network = settle(SharedInPlace())
    network.fc.bias.data.fill_(100.0)
    for call in (METHODS["lrp"], METHODS["lrp"].saliency):
        with pytest.warns(UserWarning, match="relevance") as told:
            call(wrap(network), images(1), 1)
        assert told[0].filename == __file__
