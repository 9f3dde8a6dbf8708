"""Prediction difference against its equations, and its draws against what a normal distribution implies."""

import math
import re

import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from networks import SIZE, Functional, Linear, images, settle, wrap

from xai_widgets.perturbation.difference import SHRINKAGE, ConditionalPatches, evidence, prediction_difference


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def smooth(n, size=SIZE, seed=3):
    """Images whose pixels are correlated with their neighbors."""
    coarse = torch.rand(n, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)


@pytest.mark.parametrize("position", [(1, 1), (0, 2), (2, 0)])
def test_draws_follow_the_precision_matrix_of_all_windows(position):
    """The conditional mean and covariance by blocks of the inverse covariance, a second way to them."""
    x, patch, extent = smooth(4), 2, 4
    patches = ConditionalPatches(x, patch, 1, torch.Generator().manual_seed(0))
    windows = torch.stack(
        [
            image[:, row : row + extent, column : column + extent].flatten()
            for image in x.double()
            for row in range(SIZE - extent + 1)
            for column in range(SIZE - extent + 1)
        ]
    )
    covariance = torch.cov(windows.T)
    covariance += torch.eye(len(covariance)) * (SHRINKAGE * covariance.diagonal().mean() + 1e-8)
    inside = torch.zeros(3, extent, extent, dtype=torch.bool)
    inside[:, position[0] : position[0] + patch, position[1] : position[1] + patch] = True
    own, others = inside.flatten(), ~inside.flatten()
    precision = torch.linalg.inv(covariance)
    narrow = torch.linalg.inv(precision[own][:, own])
    made_own, made_others, regression, root = patches.conditional(*position)
    assert torch.equal(made_own, own.nonzero()[:, 0])
    assert torch.equal(made_others, others.nonzero()[:, 0])
    # In float64: the condition of the covariance, 1e4, costs digits on both ways.
    assert_close(regression, -narrow @ precision[own][:, others], dtype=torch.float32)
    assert_close(root @ root.T, narrow, dtype=torch.float32)
    assert_close(patches.mean, windows.mean(0), dtype=torch.float32)


def test_many_draws_have_the_conditional_mean_and_covariance():
    x = 0.4 + 0.2 * smooth(30, size=12)
    patches = ConditionalPatches(x, 2, 2, torch.Generator().manual_seed(0))
    image, row, column = x[0], 5, 4
    drawn = patches.draw(image, row, column, 4000).flatten(1).double()
    own, others, regression, root = patches.conditional(2, 2)
    window = image[:, row - 2 : row + 4, column - 2 : column + 4].flatten().double()
    mean = patches.mean[own] + regression @ (window[others] - patches.mean[others])
    deviation = (root @ root.T).diagonal().sqrt()
    assert ((drawn.mean(0) - mean) / deviation).abs().max() < 5 / 4000**0.5
    assert torch.allclose(drawn.std(0), deviation, rtol=0.1)


def test_pixels_that_the_surroundings_determine_are_drawn_as_they_are():
    """On images of one color each the patch is known from around it: nothing is lost, whatever the network."""
    flat = torch.rand(40, 3, 1, 1, generator=torch.Generator().manual_seed(2)).expand(40, 3, SIZE, SIZE)
    x = flat[:1]
    patches = ConditionalPatches(flat, 2, 1, torch.Generator().manual_seed(0))
    assert (patches.draw(x[0], 3, 3, 20) - x[0, :, :2, :2]).abs().max() < 0.1
    noise = torch.rand(40, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    free = ConditionalPatches(noise, 2, 1, torch.Generator().manual_seed(0))
    assert (free.draw(x[0], 3, 3, 20) - x[0, :, :2, :2]).abs().max() > 0.3


@pytest.mark.parametrize("options", [{}, {"patch": 2, "surround": 1, "stride": 2}, {"patch": 3, "stride": 2}])
def test_every_patch_is_the_equations_spelled_out(model, options):
    x, target = smooth(2), [1, 3]
    run = prediction_difference(model, x, target, samples=4, seed=7, trained=1000, batch_size=9, **options)
    made = run.result(progress=False)
    patch = options.get("patch", 1)
    stride = options.get("stride", (patch + 1) // 2)
    starts = sorted({*range(0, SIZE - patch + 1, stride), SIZE - patch})
    assert made.evidence.shape == (2, len(starts), len(starts))
    generator = torch.Generator().manual_seed(7)
    patches = ConditionalPatches(x, patch, 1, generator)
    for n in range(2):
        generator.manual_seed(7)
        whole = model.probs(x)[n, target[n]].item()
        total, cover, steepest = torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE), 0.0
        for i, row in enumerate(starts):
            for j, column in enumerate(starts):
                shown = x[n].repeat(4, 1, 1, 1)
                shown[:, :, row : row + patch, column : column + patch] = patches.draw(x[n], row, column, 4)
                odds, slopes = [], []
                for p in (whole, model.probs(shown)[:, target[n]].mean().item()):
                    p = (p * 1000 + 1) / (1000 + 4)
                    odds.append(math.log2(p / (1 - p)))
                    slopes.append(1 / (p * (1 - p) * math.log(2)))
                # Log-odds take the rounding of a probability times their slope.
                steepest = max(steepest, *slopes)
                assert made.evidence[n, i, j].item() == near(odds[0] - odds[1], scale=steepest)
                total[row : row + patch, column : column + patch] += odds[0] - odds[1]
                cover[row : row + patch, column : column + patch] += 1
        assert cover.min() >= 1
        assert_close(made.saliency()[n], total / cover, scale=steepest)
    assert run.done == run.total


def test_only_patches_that_the_network_sees_have_evidence():
    network = Linear()
    with torch.no_grad():
        network.fc.weight.zero_()
        network.fc.weight[2].view(3, SIZE, SIZE)[:, 2:4, 6:8] = 3.0
    model = wrap(network)
    x = images(1)
    x[:, :, 2:4, 6:8] = 1.0
    made = prediction_difference(
        model, x, 2, patch=2, stride=2, references=images(40, seed=5), samples=20
    ).result(progress=False)
    seen = torch.zeros(4, 4, dtype=torch.bool)
    seen[1, 3] = True
    assert made.evidence[0][~seen].abs().max() < 1e-3
    assert made.evidence[0][seen].item() > 1


@given(st.floats(0, 1), st.integers(2, 1000), st.integers(1, 10**7))
def test_evidence_is_finite_and_rises_with_the_probability(p, classes, trained):
    low, high = evidence(torch.tensor([p, 1.0], dtype=torch.float64), classes, trained).tolist()
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low <= high
    corrected = (p * trained + 1) / (trained + classes)
    assert low == near(math.log2(corrected / (1 - corrected)))


def test_the_seed_decides_and_images_do_not_hang_on_each_other(model):
    x, known = smooth(2), smooth(10, seed=8)
    options = {"patch": 2, "references": known, "samples": 3}
    first, again, other = (
        prediction_difference(model, x, 0, seed=seed, **options).result(progress=False).map
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-4)
    alone = prediction_difference(model, x[1:], 0, seed=1, **options).result(progress=False).map
    assert_close(alone[0], first[1])


def test_each_snapshot_is_a_valid_part_and_is_not_changed_later(model):
    run = prediction_difference(model, smooth(2), 0, patch=2, stride=2, samples=10, batch_size=40)
    shots, copies = [], []
    for shot in run:
        shots.append(shot)
        copies.append((shot.map.clone(), shot.evidence.clone()))
    assert [int(shot.evidence.isfinite().sum()) for shot in shots] == [4, 8, 12, 16, 20, 24, 28, 32]
    for shot, (map, table) in zip(shots, copies, strict=True):
        assert torch.equal(shot.map, map)
        assert torch.equal(shot.evidence.nan_to_num(nan=7.0), table.nan_to_num(nan=7.0))
        # ConditionalPatches do not overlap: 4 pixels each.
        assert int((shot.map != 0).sum()) <= 4 * int(table.isfinite().sum())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch": 0}, "expected patch to be an integer of at least 1, got 0"),
        (
            {"patch": 7},
            "expected patch + 2 surround of at most 8 pixels, the short side, got patch 7 and surround 1",
        ),
        ({"surround": 0}, "expected surround to be an integer of at least 1, got 0"),
        ({"patch": 2, "stride": 3}, "expected stride to be an integer from 1 to 2, got 3"),
        ({"stride": 0}, "expected stride to be an integer from 1 to 1, got 0"),
        ({"samples": 0}, "expected samples to be an integer from 1 to 1000000, got 0"),
        ({"trained": 0}, "expected trained to be an integer of at least 1, got 0"),
        ({"batch_size": 0}, "expected batch_size to be an integer of at least 1, got 0"),
    ],
)
def test_bad_options_are_refused_plainly(model, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        prediction_difference(model, images(1), **options)
