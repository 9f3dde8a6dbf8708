"""Network dissection by hand, and its control by rotations."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from planted import Squares, planted

from xai_widgets.concepts import dissect, probe, random_rotation, rotation_control

MODEL, DATA = planted(), Squares(60)
SHARE = 1 / 24


@pytest.mark.parametrize("complete", [False, True])
def test_iou_by_hand(complete):
    """The union runs over the images in which some concept of the category has a mask, or over all."""
    made = probe(MODEL, DATA, layer="relu", quantile=0.05).result(progress=False)
    found = dissect(made, complete=complete)
    up = F.interpolate(made.bits().float(), made.label_size, mode="bilinear").numpy() > 0.5
    for c in range(2):
        masks = np.stack([made.label_masks(n).get(c, np.zeros(made.label_size, bool)) for n in range(60)])
        labeled = masks.any((1, 2)) | complete
        both = (up & masks[:, None])[labeled].sum((0, 2, 3))
        either = (up | masks[:, None])[labeled].sum((0, 2, 3))
        np.testing.assert_allclose(found.iou[c], both / either, rtol=1e-6)
    assert found.iou[2].isnan().all()


def test_the_planted_filter_detects_the_square():
    found = dissect(probe(MODEL, DATA, layer="relu", quantile=SHARE).result(progress=False))
    assert found.filters_of("square").tolist() == [0]
    assert found.table()[0] | {"iou": 0} == {"filter": 0, "concept": "square", "category": "mark", "iou": 0}
    assert found.by_category()["mark"] == (1, 1)
    assert DATA.concepts[0] in found.unique
    none = dissect(probe(MODEL, DATA, layer="relu", quantile=SHARE).result(progress=False), threshold=1.0)
    assert none.unique == ()


@pytest.mark.parametrize("channels", [1, 2, 5, 64])
def test_rotations_are_orthogonal_and_powers_add_up(channels):
    whole = random_rotation(channels, seed=3).double()
    third = random_rotation(channels, 1 / 3, seed=3).double()
    assert_close(whole @ whole.T, torch.eye(channels).double(), dtype=torch.float32)
    assert torch.linalg.det(whole).item() == pytest.approx(1, abs=1e-5)
    assert_close(third @ third @ third, whole, scale=1.0, dtype=torch.float32)
    assert_close(random_rotation(channels, 0).double(), torch.eye(channels).double(), dtype=torch.float32)


def test_the_control_dissects_the_rotated_representation_with_thresholds_of_its_own():
    found = rotation_control(MODEL, DATA, layer="relu", quantile=SHARE, seed=1).result(progress=False)
    rotation = random_rotation(6, seed=1)
    for dissection, settings in zip(found.dissections, ({}, {"rotation": rotation}), strict=True):
        made = probe(MODEL, DATA, layer="relu", quantile=SHARE, **settings).result(progress=False)
        torch.testing.assert_close(dissection.iou, dissect(made).iou, equal_nan=True)
    assert not torch.equal(found.dissections[0].iou, found.dissections[1].iou)
    assert found.powers == (0.0, 1.0)
    assert found.unique.tolist() == [len(each.unique) for each in found.dissections]
    assert found.detectors.shape == (2,)
    assert found.iou[1] == found.dissections[1].best_iou.mean()
    assert found.plot().axes[0].get_ylabel() == "number"
