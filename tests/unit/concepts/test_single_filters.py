"""Single filters against IoU by hand, with every mask enlarged."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from planted import SIZE, STRIDE, Squares, planted

from xai_widgets.concepts import probe, single_filters
from xai_widgets.concepts.overlap import Blocks
from xai_widgets.concepts.per_image import PerImage
from xai_widgets.data.base import Concept

MODEL = planted()


def pair(model=MODEL, quantile=0.05, **settings):
    train = probe(model, Squares(60), layer="relu", quantile=quantile, **settings).result(progress=False)
    val = probe(model, Squares(30, seed=1), layer="relu", thresholds=train.thresholds).result(progress=False)
    return train, val


def by_hand(made):
    """Return the pixels in the intersection and the union of each filter and label mask, (P, K)."""
    up = F.interpolate(made.bits().float(), made.label_size, mode="bilinear").numpy() > 0.5
    masks = made.masks().numpy()
    images = made.pairs[:, 0].numpy()
    both = (up[images] & masks[:, None]).sum((2, 3))
    return both, (up[images] | masks[:, None]).sum((2, 3))


@given(
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    density=st.sampled_from([0.05, 0.5]),
)
def test_blocks_count_the_pixels_of_interpolated_masks(grid, size, density):
    generator = torch.Generator().manual_seed(grid[0] * 100 + size[0])
    bits = torch.rand(3, *grid, generator=generator) < density
    masks = torch.rand(2, *size, generator=generator) < 0.3
    blocks = Blocks(grid, size)
    codes = blocks.codes(bits).flatten(1).long()
    entries = torch.arange(codes.shape[1]) * 16 + codes
    counted = blocks.table(masks)[:, entries].sum(2)
    up = F.interpolate(bits.float()[:, None], size, mode="bilinear")[:, 0]
    if bool(((up - 0.5).abs() < 1e-5).logical_and(up != 0.5).any()):
        return  # rounding decides pixels at exactly one half
    assert torch.equal(counted, (masks.flatten(1).float() @ (up > 0.5).flatten(1).float().T))


def test_iou_by_hand():
    train, val = pair()
    found = single_filters(train, val)
    for made, actual in ((train, found.train_iou), (val, found.val_iou)):
        both, either = by_hand(made)
        for c in range(2):
            chosen = made.pairs[:, 1].numpy() == c
            expected = both[chosen].sum(0) / either[chosen].sum(0)
            np.testing.assert_allclose(actual[c].numpy(), expected, rtol=1e-6)
    both, either = by_hand(val)
    concepts = val.pairs[:, 1]
    rows = np.arange(len(concepts))
    expected = (both / either)[rows, found.best[concepts].numpy()]
    np.testing.assert_allclose(found.per_image.ious.numpy(), expected, rtol=1e-6)


def test_the_planted_filter_is_the_best_one_of_its_concept():
    # A square is one of 16 cells in two of three images.
    train, val = pair(quantile=1 / 24)
    found = single_filters(train, val)
    assert found.best[0] == 0
    squares = torch.zeros_like(val.bits()[:, 0])
    for image, example in enumerate(Squares(30, seed=1)):
        if 0 in example.masks:
            squares[image] = torch.from_numpy(example.masks[0][::STRIDE, ::STRIDE])
    assert torch.equal(val.bits()[:, 0], squares)
    # Bilinear interpolation rounds the corners of a square inside of the image.
    assert 0.8 < found.iou_set[0] < 1
    assert found.val_iou[0, 1:].max() < 0.5
    assert found.top("square", 1)[0].tolist() == [0]
    assert found.table()[0]["concept"] == "square"


def test_a_concept_without_examples_is_reported_and_not_chosen():
    found = single_filters(*pair())
    assert found.trained.tolist() == [True, True, False]
    assert found.best[2] == -1
    assert found.iou_set[2].isnan()
    assert found.train_iou[2].isnan().all()
    assert found.concepts_per_filter().sum() == 2
    assert found.table()[-1]["concept"] == "nothing"


def test_permuted_channels_permute_the_result():
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = planted()
    with torch.no_grad():
        permuted.module.conv.weight.copy_(permuted.module.conv.weight[order].clone())
    plain, turned = single_filters(*pair()), single_filters(*pair(permuted))
    assert torch.equal(turned.val_iou[:2], plain.val_iou[:2, order])
    assert torch.equal(order[turned.best[:2]], plain.best[:2])


def test_the_scale_of_activations_does_not_matter():
    scaled = planted()
    with torch.no_grad():
        # Powers of two, which change no digit.
        scaled.module.conv.weight.mul_(2.0 ** torch.tensor([3, -2, 0, 5, 1, -4])[:, None, None, None])
    plain, other = single_filters(*pair()), single_filters(*pair(scaled))
    assert torch.equal(other.train_iou[:2], plain.train_iou[:2])
    assert torch.equal(other.best, plain.best)


def test_deciles_are_images_at_equal_steps_of_the_ious_above_zero():
    ious = torch.tensor([0.0, 0.4, 0.1, 0.0, 0.3, 0.2, 0.9])
    pairs = torch.stack([torch.arange(7) + 10, torch.zeros(7, dtype=torch.int64)], 1)
    made = PerImage((Concept("dog"),), pairs, ious)
    found = made.deciles("dog", steps=5)
    assert found.images.tolist() == [12, 15, 14, 11, 16]
    assert found.zeros == pytest.approx(2 / 7)
    assert found.mean == pytest.approx(np.mean([0.4, 0.1, 0.3, 0.2, 0.9]))
    assert found.std == pytest.approx(np.std([0.4, 0.1, 0.3, 0.2, 0.9]))
    assert len(made.deciles(0).images) == 10
    empty = PerImage((Concept("dog"),), pairs, 0 * ious).deciles("dog")
    assert len(empty.images) == 0
    assert empty.zeros == 1


def test_probes_that_do_not_belong_together():
    train, val = pair()
    other = probe(MODEL, Squares(12), layer="relu").result(progress=False)
    with pytest.raises(ValueError, match="expected val with the thresholds of train"):
        single_filters(train, other)
    layer = probe(MODEL, Squares(12), layer="conv", thresholds=train.thresholds).result(progress=False)
    with pytest.raises(ValueError, match="expected train and val of one layer"):
        single_filters(train, layer)
    assert val.label_size == (SIZE, SIZE)
