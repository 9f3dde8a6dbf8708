"""Scores of given masks against the network itself."""

import pytest
import torch
from closeness import assert_close
from networks import CLASSES, SIZE, Functional, images, one_sentence, settle, wrap

from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation import ExtremalSettings, extremal, score_masks


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def random_masks(count=3, size=SIZE):
    return torch.rand(2, count, size, size, generator=torch.Generator().manual_seed(0)).round()


@pytest.mark.parametrize("perturbation", ["blur", "fade"])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_masks_are_scored_where_they_are_preserved_and_where_they_are_deleted(
    model, perturbation, batch_size
):
    x, masks = images(2), random_masks()
    scored = score_masks(model, x, masks, [0, 3], perturbation=perturbation, batch_size=batch_size)
    levels = pyramid(x, perturbation, levels=2)
    for side, shown in enumerate((masks, 1 - masks)):
        expected = model.scores(perturb(levels, shown).flatten(0, 1)).view(2, 3, CLASSES)
        assert_close(scored.class_scores[:, :, side], expected)
        own = (scored.scores, scored.complement_scores)[side]
        assert_close(own, torch.stack([expected[0, :, 0], expected[1, :, 3]]))
    assert_close(scored.whole, model.scores(x)[[0, 1], [0, 3]])
    assert_close(scored.perturbed, model.scores(levels[:, 0])[[0, 1], [0, 3]])
    assert torch.equal(scored.masks, masks)
    assert not scored.class_scores.requires_grad


def test_masks_on_a_layer_have_its_resolution(model):
    x, masks = images(2), random_masks(size=4)
    scored = score_masks(model, x, masks.bool(), 1, layer="conv2")
    levels = pyramid(model.activations(x, "conv2")["conv2"], levels=2)
    with torch.no_grad():
        expected = model.forward_from("conv2", perturb(levels, masks).flatten(0, 1))[:, 1].view(2, 3)
    assert_close(scored.scores, expected)


def test_the_masks_of_a_search_have_the_scores_of_its_result(model):
    settings = ExtremalSettings(steps=4, scan=2)
    found = extremal(model, images(2), areas=[0.1, 0.3], settings=settings).result(progress=False)
    scored = score_masks(model, images(2), found.masks)
    assert torch.equal(scored.target, found.target)
    assert_close(scored.class_scores, found.class_scores)
    with torch.inference_mode():
        assert torch.equal(score_masks(model, images(2), found.masks).scores, scored.scores)


@pytest.mark.parametrize(
    ("masks", "options", "error", "message"),
    [
        (torch.ones(2, 8, 8), {}, ValueError, r"expected masks of shape \(2, A, 8, 8\), got \(2, 8, 8\)"),
        (torch.ones(1, 1, 8, 8), {}, ValueError, r"expected masks of shape \(2, A, 8, 8\)"),
        (torch.full((2, 1, 8, 8), 0.5), {}, ValueError, "expected masks of 0 and 1, got other values"),
        (torch.full((2, 1, 8, 8), torch.nan), {}, ValueError, "expected masks of 0 and 1, got other values"),
        ("mask", {}, TypeError, "expected masks as numbers"),
        (torch.ones(2, 1, 8, 8), {"perturbation": "blurr"}, ValueError, "did you mean 'blur'"),
        (torch.ones(2, 1, 8, 8), {"layer": "conv22"}, ValueError, "conv2"),
        (torch.ones(2, 1, 8, 8), {"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_masks_that_cannot_be_scored_are_refused(model, masks, options, error, message):
    with pytest.raises(error, match=message) as caught:
        score_masks(model, images(2), masks, 0, **options)
    one_sentence(caught)
