"""Layer-wise relevance propagation without biases."""

import warnings

import pytest
import torch
from closeness import assert_close
from networks import RELU_NETWORKS, Functional, images, settle, wrap

from xai_widgets.attribution import COMPOSITES, Composite, lrp
from xai_widgets.attribution.lrp_rules import Epsilon, WithoutBias, ZPlus


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return lrp(*arguments, **options)


@pytest.mark.parametrize("network", RELU_NETWORKS.values())
def test_the_conserving_composite_sums_to_the_score_with_biases_too(network):
    model, x = wrap(settle(network()).double()), images(2).double()
    target = torch.tensor([1, 0])
    made = lrp.function(model, x, target)
    score = model(x).detach().gather(1, target[:, None])[:, 0]
    # Epsilon absorbs a little.
    assert_close(made.sum((1, 2, 3)), score.double(), dtype=torch.float32, scale=made.abs().sum())
    biased = quietly(model, x, [1, 0], composite="epsilon_gamma_box")
    assert (biased.gap.abs() > 1e-3 * score.abs()).any()


def test_biases_can_be_left_out_of_any_composite():
    model, x = wrap(settle(Functional())), images(2)
    made = quietly(model, x, 1, composite="epsilon_plus", bias=False)
    by_hand = Composite(
        WithoutBias(Epsilon()),
        WithoutBias(ZPlus()),
        addition=WithoutBias(COMPOSITES["epsilon_plus"].addition),
    )
    assert torch.equal(made, quietly(model, x, 1, composite=by_hand))
    assert not torch.allclose(made, quietly(model, x, 1, composite="epsilon_plus"))


def test_a_gap_names_the_composite_that_conserves():
    network = settle(Functional())
    with torch.no_grad():
        network.fc.bias.fill_(100.0)
    with pytest.warns(UserWarning, match="the nearest composite that keeps it is 'conserving'"):
        lrp(wrap(network), images(1), 1, composite="epsilon_plus")
