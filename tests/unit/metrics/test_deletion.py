"""Deletion and insertion against the protocol, spelled out pixel by pixel."""

import inspect
import itertools
import re

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.core.model import ImageModel
from xai_widgets.metrics import deletion, insertion, ordering
from xai_widgets.metrics.deletion import FILLS
from xai_widgets.ops.blur import truncated_blur
from xai_widgets.ops.fill import noise_image


@pytest.fixture(scope="module")
def saliency():
    return torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(2))


def played(model, start, end, saliency, target, counts):
    """The curve of one image, one pixel after the other, one pass per step."""
    order = sorted(range(saliency.numel()), key=lambda i: (-saliency.flatten()[i].item(), i))
    scores = []
    for count in counts:
        x = start.clone()
        for pixel in order[:count]:
            row, column = divmod(pixel, saliency.shape[1])
            x[:, row, column] = end[:, row, column]
        scores.append(model.probs(x[None])[0, target].item())
    return scores


@pytest.mark.parametrize("function", [deletion, insertion])
def test_every_step_is_the_protocol_spelled_out(model, images, saliency, function):
    steps, targets = 9, [3, 5]
    curve = function(model, images, saliency, targets, steps=steps, batch_size=4).result(progress=False)
    counts = [round(k * 144 / steps) for k in range(steps + 1)]
    assert curve.fractions.tolist() == near([count / 144 for count in counts])
    black, soft = torch.zeros_like(images), truncated_blur(images)
    for n in range(2):
        start, end = (images, black) if function is deletion else (soft, images)
        expected = played(model, start[n], end[n], saliency[n], targets[n], counts)
        assert curve.scores[n].tolist() == near(expected)
        trapezoids = zip(itertools.pairwise(counts), itertools.pairwise(expected), strict=True)
        area = sum((right - left) / 144 * (a + b) / 2 for (left, right), (a, b) in trapezoids)
        assert curve.auc[n].item() == near(area)


@pytest.mark.parametrize("function", [deletion, insertion])
def test_fills_by_name(model, images, saliency, function):
    """The end of deletion and the start of insertion; the mean of the training images is that of the normalization."""
    normalized = ImageModel(model.module, size=12, mean=[0.2, 0.3, 0.4], std=[0.5] * 3)
    fills = {
        "training_mean": torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1).expand_as(images),
        "mean": images.mean((2, 3), keepdim=True).expand_as(images),
        "black": torch.zeros_like(images),
        "gray": torch.full_like(images, 0.5),
        "blur": truncated_blur(images),
        "noise": noise_image(images, 0),
    }
    assert inspect.signature(deletion).parameters["fill"].default == FILLS["deletion"] == "training_mean"
    assert inspect.signature(insertion).parameters["fill"].default == FILLS["insertion"] == "blur"
    for name, expected in fills.items():
        end = -1 if function is deletion else 0
        curve = function(normalized, images, saliency, [3, 5], steps=3, fill=name).result(progress=False)
        assert_close(curve.scores[:, end], normalized.probs(expected)[range(2), [3, 5]])
        again = function(normalized, images, saliency, [3, 5], steps=3, fill=expected).result(progress=False)
        assert_close(again.scores, curve.scores)


def test_at_224_pixels_a_step_is_224_pixels_as_in_rise():
    counts = [round(k * 224 * 224 / 224) for k in range(225)]
    assert np.diff(counts).tolist() == [224] * 224


def test_the_curve_grows_batch_by_batch_and_never_changes_what_it_showed(model, images, saliency):
    run = deletion(model, images[:1], saliency[:1], 0, steps=20, batch_size=8)
    snapshots = list(run)
    assert [int(torch.isfinite(curve.scores).sum()) for curve in snapshots] == [8, 16, 21]
    assert run.total == 3
    assert run.progress == 1.0
    # The first snapshot is spread over the whole curve.
    first = snapshots[0].scores[0]
    assert torch.isfinite(first).nonzero()[:, 0].tolist() == sorted([*range(0, 21, 3), 1])
    assert torch.isnan(snapshots[0].auc).all()
    assert torch.equal(snapshots[-1].scores[0, ::3], first[::3])


def test_ends_and_best_classes_are_those_of_the_model(model, images, saliency):
    curve = deletion(model, images, saliency, steps=10, top=3).result(progress=False)
    probs, black = model.probs(images), model.probs(torch.zeros(1, 3, 12, 12))
    assert_close(curve.scores[:, 0], probs.max(1).values)
    assert_close(curve.top_scores[:, 0], probs.topk(3).values)
    assert torch.equal(curve.top_classes[:, 0], probs.topk(3).indices)
    assert_close(curve.scores[:, -1], black[0, probs.argmax(1)])


def test_more_classes_than_there_are_are_not_asked_for(model, images, saliency):
    assert deletion(model, images, saliency, top=50).result(progress=False).top_scores.shape[2] == 7


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_ranks_are_a_permutation_and_sort_the_map(height, width, seed):
    saliency = torch.randint(-2, 3, (2, height, width), generator=torch.Generator().manual_seed(seed)).float()
    ranks = ordering(saliency)
    for n in range(2):
        assert sorted(ranks[n].flatten().tolist()) == list(range(height * width))
        in_order = saliency[n].flatten()[ranks[n].flatten().argsort()]
        assert (in_order.diff() <= 0).all()
        # Ties go by position.
        positions = ranks[n].flatten().argsort()
        assert all(
            positions[i] < positions[i + 1]
            for i in range(len(positions) - 1)
            if in_order[i] == in_order[i + 1]
        )


def test_a_map_of_a_layer_is_brought_to_the_image(model, images):
    coarse = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(3))
    fine = torch.nn.functional.interpolate(coarse[None], (12, 12), mode="bilinear", align_corners=False)[0]
    one, other = (deletion(model, images[:1], map, 0).result(progress=False) for map in (coarse, fine))
    assert torch.equal(one.scores, other.scores)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "expected steps to be an integer from 1 to 144, got 0"),
        ({"steps": 145}, "expected steps to be an integer from 1 to 144, got 145"),
        ({"batch_size": 0}, "expected batch_size to be an integer of at least 1, got 0"),
        ({"target": 7}, "expected a class from 0 to 6, got 7"),
        ({"saliency": torch.full((1, 12, 12), torch.nan)}, "NaN"),
        ({"saliency": torch.zeros(2, 12, 12)}, "expected one saliency map for each of 1 images, got 2"),
        ({"fill": "blak"}, "did you mean 'black'"),
        ({"saliency": torch.zeros(1, 1, 12, 12)}, "expected saliency of shape (N, h, w), got (1, 1, 12, 12)"),
        (
            {"fill": torch.zeros(1, 3, 5, 5)},
            "expected fill of a shape that fits the images, (1, 3, 12, 12), got (1, 3, 5, 5)",
        ),
    ],
)
def test_bad_input_is_named_in_one_sentence(model, images, options, words):
    arguments = {"saliency": torch.zeros(1, 12, 12), "steps": 10, **options}
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        deletion(model, images[:1], **arguments)
    assert "\n" not in str(caught.value)


def test_curves_are_drawn_with_their_areas(model, images, saliency):
    curve = deletion(model, images, saliency, steps=4).result(progress=False)
    axes = curve.plot()
    assert [line.get_ydata().tolist() for line in axes.lines] == curve.scores.tolist()
    assert axes.get_legend().get_texts()[1].get_text() == f"image 1: AUC {curve.auc[1].item():.3f}"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("share of pixels removed", "probability")
    assert curve.plot(axes) is axes
