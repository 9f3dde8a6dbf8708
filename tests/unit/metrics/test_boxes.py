"""Boxes around the salient part of maps: thresholds, localization, and the smallest suppressing box."""

import pytest
import torch
from closeness import assert_close, near
from networks import images
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.metrics import (
    choose_threshold,
    localization_iou,
    salient_part,
    suppressing_boxes,
)
from xai_widgets.metrics.boxes import THRESHOLDS
from xai_widgets.ops.boxes import box_iou, tight_boxes

MAP = torch.tensor([[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]])


def test_the_three_kinds_of_thresholds():
    scaled = MAP / 10
    assert torch.equal(salient_part(MAP, 0.55), scaled >= 0.55)
    assert torch.equal(salient_part(MAP, 1.0, kind="mean"), scaled >= scaled.mean())
    # 10, 8 and 6 of 30 in all have 80 %; 10 and 8 have 60 %.
    assert salient_part(MAP, 0.59, kind="energy").flatten().tolist() == [False] * 4 + [True] * 2
    assert salient_part(MAP, 0.61, kind="energy").flatten().tolist() == [False] * 3 + [True] * 3
    assert salient_part(MAP, 0.0, kind="energy").sum() == 1
    assert THRESHOLDS["value"][-1] == near(0.95)
    assert THRESHOLDS["mean"][-1] == 10


def test_boxes_are_tight_and_their_overlap_is_that_of_the_pixels():
    generator = torch.Generator().manual_seed(0)
    parts = torch.rand(2, 40, 9, 11, generator=generator) < 0.03
    boxes = [tight_boxes(each) for each in parts]
    filled = []
    for each, found in zip(parts, boxes, strict=True):
        masks = torch.zeros_like(each)
        for mask, part, (left, top, right, bottom) in zip(masks, each, found.tolist(), strict=True):
            mask[top:bottom, left:right] = True
            rows, columns = part.nonzero(as_tuple=True)
            if len(rows):
                assert (left, top) == (columns.min(), rows.min())
                assert (right, bottom) == (columns.max() + 1, rows.max() + 1)
        filled.append(masks.flatten(1))
    both, union = (filled[0] & filled[1]).sum(1), (filled[0] | filled[1]).sum(1)
    assert_close(box_iou(*boxes), both / union.clamp(min=1))
    assert (box_iou(boxes[0], boxes[0]) == parts[0].flatten(1).any(1)).all()


def test_the_threshold_is_the_one_with_the_fewest_errors():
    masks = torch.zeros(6, 12, 12, dtype=torch.bool)
    masks[:, 3:8, 4:9] = True
    maps = torch.rand(6, 12, 12, generator=torch.Generator().manual_seed(1)) * 0.5 + masks * 0.4
    chosen = choose_threshold(maps, masks)
    assert chosen.errors.keys() == set(THRESHOLDS["value"])
    assert chosen.error == min(chosen.errors.values()) < max(chosen.errors.values())
    share = (localization_iou(maps, masks, chosen.threshold) < 0.5).float().mean().item()
    assert chosen.error == near(share)


class Corner(nn.Module):
    """Two logits, of which the first is the brightness of the upper left 4 x 4 pixels."""

    def forward(self, x):
        bright = 8 * x[:, :, :4, :4].mean((1, 2, 3))
        return torch.stack([bright, torch.zeros_like(bright)], 1)


def test_the_smallest_box_covers_what_matters():
    model = ImageModel(Corner(), size=16)
    x = torch.zeros(1, 3, 16, 16)
    x[..., :4, :4] = 1
    saliency = torch.zeros(1, 16, 16)
    saliency[0, :4, :4] = 1
    saliency[0, 9, 9] = 0.25
    found = suppressing_boxes(model, x, saliency, 0, sigma=20.0)
    # Below a quarter the box reaches the far pixel.
    assert found.areas[0].tolist() == near([1, *[100 / 256] * 2, *[16 / 256] * 8])
    assert found.suppression[0, -1] > 0.9
    assert found.smallest(0.9).item() == near(16 / 256)
    elsewhere = suppressing_boxes(model, x, saliency.flip(1, 2), 0, heights=(0.5, 1.0), sigma=20.0)
    assert elsewhere.smallest(0.9).item() == 1


def test_an_image_whose_blur_changes_nothing_is_not_a_number():
    model = ImageModel(Corner(), size=16)
    x = torch.full((1, 3, 16, 16), 0.5)
    found = suppressing_boxes(model, x, images(1, size=16)[:, 0], 0)
    assert found.suppression.isnan().all()
    assert found.smallest().item() == 1


def test_bad_thresholds_are_named():
    with pytest.raises(ValueError, match="did you mean 'value'"):
        salient_part(MAP, 0.5, kind="valeu")
    with pytest.raises(ValueError, match="threshold"):
        salient_part(MAP, -1)
