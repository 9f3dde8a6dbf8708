"""RISE against the expectation over every mask there is, and its masks against their definition."""

import itertools
import re

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from networks import CLASSES, SIZE, Functional, Linear, images, settle, wrap

from xai_widgets.perturbation.rise import LEAST, random_masks, rise


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def upsampled(grid, size, row, column):
    """A mask as published: bilinearly to one cell more than the image, then cut at (row, column)."""
    cells = grid.shape[0]
    up = [(cells + 1) * -(-extent // cells) for extent in size]
    large = F.interpolate(grid[None, None], up, mode="bilinear", align_corners=False)[0, 0]
    return large[row : row + size[0], column : column + size[1]]


def every_mask(cells=2):
    """All grids in all shifts on images of SIZE, each as probable as the others at p = 0.5."""
    for bits in itertools.product((0.0, 1.0), repeat=cells * cells):
        grid = torch.tensor(bits).view(cells, cells)
        for row, column in itertools.product(range(SIZE // cells), repeat=2):
            yield upsampled(grid, (SIZE, SIZE), row, column)


def expected(model, image, output):
    """E[s m] / p for all classes, (classes, H, W), by going through every mask."""
    masks = torch.stack(list(every_mask()))
    with torch.no_grad():
        scores = model(image * masks[:, None])
    scores = scores.softmax(1) if output == "probability" else scores
    return torch.einsum("kc,khw->chw", scores, masks) / len(masks) / 0.5


def mean_score(model, image):
    """Mean probability of all classes over every mask."""
    masks = torch.stack(list(every_mask()))
    return model(image * masks[:, None]).softmax(1).mean(0).detach()


@given(st.integers(1, 5), st.integers(5, 12), st.integers(5, 12), st.integers(0, 2**31))
def test_masks_are_grids_upsampled_and_cut(cells, height, width, seed):
    masks = random_masks((height, width), 3, cells=cells, seed=seed, like=torch.zeros(()))
    made = masks[0:3]
    for k in range(3):
        row, column = masks.shifts[k].tolist()
        assert 0 <= row < -(-height // cells)
        assert 0 <= column < -(-width // cells)
        assert_close(made[k], upsampled(masks.grids[k], (height, width), row, column))
    # Then the mean of every pixel is the mean of the cells, for any p.
    assert_close(masks.rows.sum(-1), torch.tensor(1.0))
    assert_close(masks.columns.sum(-1), torch.tensor(1.0))


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_a_sum_of_masks_needs_none_of_them(count, seed):
    masks = random_masks((7, 9), 9, cells=3, seed=seed, like=torch.zeros(()))
    weights = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    spelled_out = sum(weight * mask for weight, mask in zip(weights, masks[0:count], strict=True))
    assert_close(masks.weighted_sum(weights), spelled_out)


def test_cells_are_seen_at_their_middle():
    masks = random_masks((9, 12), 5, cells=3, like=torch.zeros(()))
    assert torch.equal(masks.at_cells(slice(None)), masks[0:5][:, 1::3, 2::4])


def test_the_share_of_cells_shown_is_p():
    grids = random_masks((8, 8), 4000, cells=4, p=0.2, like=torch.zeros(())).grids
    assert grids.mean().item() == pytest.approx(0.2, abs=5 * (0.16 / grids.numel()) ** 0.5)


@pytest.mark.parametrize("output", ["probability", "score"])
def test_many_masks_come_to_the_expectation_for_all_classes(model, output):
    x = images(1)
    made = rise(model, x, 0, cells=2, masks=40000, tolerance=0, output=output, batch_size=500).result(
        progress=False
    )
    exact_map = expected(model, x[0], output)
    sample = made.scores[0]
    for c in range(CLASSES):
        # At one position, with masks in [0, 1]: at most the deviation of the scores, over p and the root of K.
        bound = 5 * sample[:, c].std() / 0.5 / 40000**0.5
        assert (made.saliency(c)[0] - exact_map[c]).abs().max() < bound
        assert bound < 0.25 * (exact_map[c].max() - exact_map[c].min())


def test_of_few_masks_the_mean_over_seeds_is_the_expectation_and_less_noisy_than_the_published_estimate(
    model,
):
    x = images(1)
    exact_map = expected(model, x[0], "probability")[2]
    runs = [rise(model, x, 2, cells=2, masks=3, seed=seed).result(progress=False) for seed in range(600)]
    ours = torch.stack([made.saliency()[0] for made in runs])
    published = torch.stack([made.masks.weighted_sum(made.scores[0][:, 2]) / (3 * 0.5) for made in runs])
    for estimates in (ours, published):
        z = (estimates.mean(0) - exact_map) / (estimates.std(0) / len(runs) ** 0.5)
        # 64 positions, which are almost fully correlated.
        assert z.abs().max() < 4
    assert ours.var(0).mean() < 0.5 * published.var(0).mean()


def test_of_a_linear_network_the_map_follows_the_attribution_of_the_cells():
    """The network depends on one cell: the map is highest there and flat elsewhere."""
    network = Linear()
    with torch.no_grad():
        network.fc.weight.zero_()
        network.fc.weight[1].view(3, SIZE, SIZE)[:, 4:6, 2:4] = 1.0
    model = wrap(network, mean=[0.0] * 3, std=[1.0] * 3)
    run = rise(model, torch.ones(1, 3, SIZE, SIZE), 1, cells=4, masks=4000, output="score", batch_size=500)
    made = run.result(progress=False).saliency()[0]
    row, column = divmod(int(made.argmax()), SIZE)
    assert row in (4, 5)
    assert column in (2, 3)
    # E[s | the cell is hidden by 1 - m] = 12 p elsewhere: the score is the mean over those 12 weights.
    bias = network.fc.bias[1].item()
    assert made[0, 7].item() == pytest.approx(6 + bias, abs=0.5)


def test_the_map_of_any_class_is_that_of_a_run_for_it(model):
    x = images(2)
    options = {"cells": 4, "masks": 64, "tolerance": 0, "seed": 3}
    one = rise(model, x, 0, **options).result(progress=False)
    for c in range(CLASSES):
        assert torch.equal(one.saliency(c), rise(model, x, c, **options).result(progress=False).saliency())
    mixed = one.saliency(torch.tensor([1, 3]))
    assert torch.equal(mixed[0], one.saliency(1)[0])
    assert torch.equal(mixed[1], one.saliency(3)[1])
    assert not torch.equal(one.saliency(1), one.saliency(3))
    for wrong in (-1, CLASSES):
        with pytest.raises(ValueError, match=f"expected target to be an integer from 0 to 3, got {wrong}"):
            one.saliency(wrong)


def test_the_seed_decides_and_the_batch_does_not(model):
    x = images(1)
    first, again, other, small = (
        rise(model, x, 0, cells=4, masks=40, seed=seed, batch_size=size).result(progress=False).saliency()
        for seed, size in ((1, 32), (1, 32), (2, 32), (1, 7))
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)
    assert_close(first, small)


def test_it_stops_when_the_error_is_small_enough(model):
    x = images(2)
    run = rise(model, x, 0, cells=2, masks=4000, tolerance=0.1)
    made = run.result(progress=False)
    for n in range(2):
        assert LEAST <= len(made.scores[n]) < 4000
        assert made.errors[n] < 0.1
        # Not a batch too late.
        shorter = rise(model, x[n : n + 1], 0, cells=2, masks=len(made.scores[n]) - 32, tolerance=0)
        early = shorter.result(progress=False)
        assert len(early.scores[0]) < LEAST or early.errors[0] >= 0.1
    assert run.done < run.total


def test_the_error_is_the_deviation_of_the_map(model):
    """Compare the root mean square of the true error at the cells, over seeds, with the errors that the runs report."""
    x = images(1)
    # The mean score is left aside: it shifts the whole map.
    exact_map = expected(model, x[0], "probability")[0][2::4, 2::4]
    runs = [rise(model, x, 0, cells=2, masks=300, tolerance=0, seed=s, batch_size=300) for s in range(30)]
    made = [run.result(progress=False) for run in runs]
    maps = [shot.saliency()[0, 2::4, 2::4] for shot in made]
    exact = mean_score(model, x[0])[0]
    off = torch.stack(
        [
            map - shot.scores[0][:, 0].mean() - (exact_map - exact)
            for map, shot in zip(maps, made, strict=True)
        ]
    )
    reported = torch.stack(
        [shot.errors[0] * (map.max() - map.min()) for map, shot in zip(maps, made, strict=True)]
    )
    off, reported = (part.square().mean().sqrt() for part in (off, reported))
    assert 0.8 < (off / reported).item() < 1.25


def test_a_constant_network_has_a_constant_map():
    network = Linear()
    torch.nn.init.zeros_(network.fc.weight)
    torch.nn.init.zeros_(network.fc.bias)
    made = rise(wrap(network), images(1), masks=300).result(progress=False)
    assert_close(made.saliency(), torch.tensor(0.25))


def test_each_snapshot_is_a_valid_part_and_is_not_changed_later(model):
    x = images(2)
    shots, maps = [], []
    for shot in rise(model, x, cells=4, masks=40, batch_size=16):
        shots.append(shot)
        maps.append(shot.saliency())
    assert [len(shot.scores[-1]) for shot in shots] == [16, 32, 40] * 2
    assert [len(shot.scores) for shot in shots] == [1] * 3 + [2] * 3
    assert maps[0][1].abs().max() == 0
    assert all(torch.equal(shot.saliency(), map) for shot, map in zip(shots, maps, strict=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"masks": 1}, "expected masks to be an integer from 2 to 1000000, got 1"),
        ({"cells": 9}, "expected cells to be an integer from 1 to 8, got 9"),
        ({"cells": 0}, "expected cells to be an integer from 1 to 8, got 0"),
        ({"p": 0.0}, "expected p to be a number above 0 and below 1, got 0.0"),
        ({"p": 1.0}, "expected p to be a number above 0 and below 1, got 1.0"),
        ({"tolerance": -0.1}, "expected tolerance to be a number of at least 0, got -0.1"),
        ({"fill": "blurred"}, "did you mean 'blur'"),
        ({"batch_size": 0}, "expected batch_size to be an integer of at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(model, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        rise(model, images(1), **options)
