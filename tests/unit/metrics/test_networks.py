"""Metrics on networks of other precision, outputs and health."""

import pytest
import torch
from closeness import assert_close
from networks import SIZE, Functional, images, one_sentence, settle, wrap

from xai_widgets.core.model import ImageModel
from xai_widgets.metrics import deletion, insertion, pearson, spearman, ssim, weight_randomization

MAPS = torch.rand(2, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def curve(function, model, saliency=MAPS, **options):
    made = function(model, images(2), saliency, **{"steps": 8} | options).result(progress=False)
    assert torch.isfinite(made.scores).all()
    return made


@pytest.mark.parametrize("function", [deletion, insertion])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_curves_of_networks_of_other_precision_are_those_of_the_single_one(function, dtype):
    network = settle(Functional())
    expected = curve(function, wrap(network)).scores
    made = curve(function, wrap(settle(Functional()).to(dtype)))
    # A pass adds up some hundred numbers of the size of 1 in this precision.
    assert (made.scores - expected).abs().max() <= 100 * max(
        torch.finfo(dtype).eps, torch.finfo(torch.float32).eps
    )


@pytest.mark.parametrize("function", [deletion, insertion])
def test_inside_autocast_only_the_network_is_rounded(function):
    model = wrap(settle(Functional()))
    expected = curve(function, model).scores
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = curve(function, model).scores
    assert (made - expected).abs().max() <= 100 * torch.finfo(torch.bfloat16).eps


@pytest.mark.parametrize("function", [deletion, insertion])
def test_curves_of_scores_are_named_so(function):
    plain = ImageModel(settle(Functional()), size=SIZE, activation=None, device="cpu")
    made = curve(function, plain)
    assert made.value_name == "score"
    assert torch.equal(made.scores[:, -1], curve(function, plain, steps=1).scores[:, -1])
    likely = curve(function, wrap(settle(Functional())))
    assert likely.value_name == "probability"
    assert ((likely.scores > 0) & (likely.scores < 1)).all()


def test_the_curve_of_one_logit_is_its_sigmoid():
    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = settle(Functional())

        def forward(self, x):
            return self.network(x)[:, :1] - 2

    model = wrap(Head(), labels=None)
    made = curve(deletion, model)
    with torch.no_grad():
        mean = model.mean.expand(2, -1, SIZE, SIZE)
        whole, empty = (model(each).sigmoid()[:, 0] for each in (images(2), mean))
    assert_close(made.scores[:, 0], whole)
    assert_close(made.scores[:, -1], empty)
    assert (made.scores.amax(1) - made.scores.amin(1) > 1e-4).all()


@pytest.mark.parametrize("target", [None, 1])
@pytest.mark.parametrize(
    "measure",
    [
        lambda model, target: deletion(model, images(2), MAPS, target),
        lambda model, target: insertion(model, images(2), MAPS, target),
        lambda model, target: weight_randomization(model, images(2), target),
    ],
)
def test_nan_scores_are_refused_in_one_sentence(measure, target):
    network = settle(Functional())
    network.fc.weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="got NaN scores from the network 'Functional'") as error:
        measure(wrap(network), target).result(progress=False)
    one_sentence(error)


@pytest.mark.parametrize("measure", [pearson, spearman, ssim])
@pytest.mark.parametrize(
    "same", [lambda x: x.tolist(), lambda x: x.numpy(), lambda x: list(x), lambda x: x.double()]
)
def test_lists_and_arrays_are_maps(measure, same):
    other = torch.rand(2, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    assert_close(measure(same(MAPS), same(other)), measure(MAPS, other))


@pytest.mark.parametrize("measure", [pearson, spearman])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_correlations_do_not_feel_the_size_of_the_numbers(measure, scale):
    other = torch.rand(2, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    assert_close(measure(MAPS * scale, other), measure(MAPS, other))


@pytest.mark.parametrize("number", [torch.tensor(4), torch.tensor([4]), 4.0])
def test_numbers_of_any_library_are_the_same_steps(number):
    model = wrap(settle(Functional()))
    expected = curve(deletion, model, steps=4, batch_size=4).scores
    assert torch.equal(curve(deletion, model, steps=number, top=number, batch_size=number).scores, expected)
