"""Every method on networks of other dtypes and outputs: a finite map, or a refusal by name."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import SIZE, Functional, images, one_sentence, settle, wrap
from perturbation.test_contract import EVERY
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.perturbation import (
    greedy_regions,
    lime,
    meaningful_perturbation,
    minimal_image,
    occlusion,
    prediction_difference,
    rise,
)


def finite(shot, n=2):
    made = shot.saliency()
    assert made.shape == (n, SIZE, SIZE)
    assert made.dtype == torch.float32
    assert torch.isfinite(made).all()
    return made


class Head(nn.Module):
    """``classes`` scores of a network of four, less ``below``."""

    def __init__(self, classes=1, below=0.0):
        super().__init__()
        self.network, self.classes, self.below = settle(Functional()), classes, below

    def forward(self, x):
        return self.network(x)[:, : self.classes] - self.below


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", EVERY)
def test_networks_of_other_precision_give_finite_maps_and_keep_it(name, dtype):
    explain, options = EVERY[name]
    network = settle(Functional()).to(dtype)
    finite(explain(wrap(network), images(2), **options).result(progress=False))
    assert {each.dtype for each in network.parameters()} == {dtype}


@pytest.mark.parametrize("name", EVERY)
def test_a_double_network_gives_the_map_of_the_single_one(name):
    if name in ("extremal", "channel_extremal", "variable_occlusion", "minimal_image"):
        pytest.skip("chooses by comparing scores, where rounding may decide")
    explain, options = EVERY[name]
    network = settle(Functional())
    single, double = (
        finite(explain(wrap(each), images(2), **options).result(progress=False))
        for each in (network, deepcopy(network).double())
    )
    # Scores of this network are below 1 and each value is a sum of at most a few hundred of them; maps by Adam and
    # log odds divide by numbers of the size of 1e-3.
    assert (single - double).abs().max() <= 1e-3 * single.abs().max()


@pytest.mark.parametrize("name", EVERY)
def test_inside_autocast_only_the_network_is_rounded(name):
    explain, options = EVERY[name]
    model = wrap(settle(Functional()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        finite(explain(model, images(2), **options).result(progress=False))


@pytest.mark.parametrize("name", EVERY)
def test_frozen_parameters_change_nothing(name):
    explain, options = EVERY[name]
    network = settle(Functional())
    expected = finite(explain(wrap(network), images(2), **options).result(progress=False))
    network.requires_grad_(False)
    assert torch.equal(finite(explain(wrap(network), images(2), **options).result(progress=False)), expected)


@pytest.mark.parametrize(("bad", "message"), [(float("nan"), "NaN"), (float("inf"), "NaN|infinite")])
@pytest.mark.parametrize("target", [None, 1])
@pytest.mark.parametrize("name", EVERY)
def test_scores_that_are_not_finite_are_refused_in_one_sentence(name, target, bad, message):
    explain, options = EVERY[name]
    network = settle(Functional())
    network.fc.weight.data.fill_(bad)
    with pytest.raises(ValueError, match=f"expected finite .*({message})") as error:
        explain(wrap(network), images(2), target, **options).result(progress=False)
    assert "Functional" in one_sentence(error)


# -- one logit, plain numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_one_logit_is_the_sigmoid_of_a_class(name):
    if name == "minimal_image":
        pytest.skip("has its own test")
    explain, options = EVERY[name]
    made = finite(explain(wrap(Head(), labels=None), images(2), **options).result(progress=False))
    # The smallest mask may be none.
    assert name == "meaningful_perturbation" or all(each.max() > each.min() for each in made)


def test_the_map_of_one_logit_is_that_of_the_sigmoid():
    head = Head(below=0.5)
    made = occlusion(wrap(head, labels=None), images(2), window=4, output="probability").result(
        progress=False
    )
    assert made.value_name == "probability"
    scored = occlusion(wrap(head, labels=None), images(2), window=4).result(progress=False)
    assert scored.value_name == "score"
    expected = (
        scored.scores.sigmoid()[:, None, None] - (scored.scores[:, None, None] - scored.drops).sigmoid()
    )
    assert_close(made.drops, expected)


def test_a_minimal_image_of_one_logit_ends_where_the_probability_falls_below_a_half():
    x = images(1)
    options = {"segments": torch.arange(SIZE * SIZE).view(SIZE, SIZE) // 8}
    model = wrap(Head(), labels=None)
    level = model.scores(x).item()
    sure, unsure = (wrap(Head(below=level + by), labels=None) for by in (-0.02, 0.02))
    made = minimal_image(sure, x, **options).result(progress=False)
    known = made.scores[made.scores.isfinite()]
    assert (known >= 0.5).all()
    assert sure.probs(made.images).item() >= 0.5
    with pytest.raises(
        ValueError, match=r"expected the predicted class as target.*predicts no class"
    ) as error:
        minimal_image(unsure, x, **options)
    one_sentence(error)


def test_the_odds_of_one_logit_are_those_of_two_classes():
    made = prediction_difference(wrap(Head(below=-30.0), labels=None), images(1), patch=4, trained=9).result(
        progress=False
    )
    # A probability of 1 has the odds of 10 to 1 after nine training images, before and without a patch.
    assert torch.equal(made.evidence, torch.zeros_like(made.evidence))


@pytest.mark.parametrize("name", EVERY)
def test_networks_without_probabilities_give_scores_or_are_refused_by_name(name):
    explain, options = EVERY[name]
    model = ImageModel(settle(Functional()), size=SIZE, activation=None, device="cpu")
    if explain in (minimal_image, prediction_difference, meaningful_perturbation):
        with pytest.raises(
            ValueError, match=f"{name} expected a network with probabilities, got 'Functional'"
        ) as error:
            explain(model, images(2), **options)
        one_sentence(error)
    else:
        finite(explain(model, images(2), **options).result(progress=False))


def test_results_name_their_value():
    x, plain = images(1), ImageModel(settle(Functional()), size=SIZE, activation=None, device="cpu")
    some = {"segments": torch.arange(SIZE * SIZE).view(SIZE, SIZE) // 8, "samples": 8}
    for model, expected in ((wrap(settle(Functional())), "probability"), (plain, "score")):
        assert rise(model, x, masks=8).result(progress=False).value_name == expected
        assert lime(model, x, **some).result(progress=False).value_name == expected
        assert lime(model, x, output="score", **some).result(progress=False).value_name == "score"


def test_an_attribution_of_numpy_is_a_map():
    maps = np.random.default_rng(0).random((1, SIZE, SIZE)).astype(np.float32)
    regions = (torch.arange(SIZE * SIZE).view(SIZE, SIZE) // 16) == torch.arange(4)[:, None, None]
    model = wrap(settle(Functional()))
    made = greedy_regions(model, images(1), attribution=maps, regions=regions).result(progress=False)
    expected = greedy_regions(model, images(1), attribution=torch.from_numpy(maps), regions=regions)
    assert torch.equal(made.saliency(), expected.result(progress=False).saliency())
