"""Empirical receptive fields by occlusion, of networks whose fields are known."""

import pytest
import torch
from closeness import assert_close
from networks import Functional, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning
from xai_widgets.features import empirical_receptive_field, theoretical_receptive_field
from xai_widgets.features.empirical_field import _corners, _spread

SIDE = 24


def done(run):
    return run.result(progress=False)


@pytest.fixture
def model():
    """Return a network whose channel 1 is the mean of 5 x 5 pixels of red, less 1/2."""
    conv = nn.Conv2d(3, 2, 5, padding=2)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    with torch.no_grad():
        conv.weight[1, 0] = 1 / 25
    return ImageModel(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(2 * SIDE * SIDE, 2)), size=SIDE)


def spots(*centers):
    """Return a black image each with a white square of 5 x 5 pixels."""
    x = torch.zeros(len(centers), 3, SIDE, SIDE)
    for image, (row, column) in zip(x, centers, strict=True):
        image[:, row - 2 : row + 3, column - 2 : column + 3] = 1
    return x


def test_the_map_is_the_mean_change_of_the_windows_that_cover_a_pixel(model):
    x = spots((10, 7))
    result = done(empirical_receptive_field(model, x, "1", 1, window=2, stride=1, fill=0.0, batch_size=7))
    assert result.positions.tolist() == [[10, 7]]
    total, count = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE)
    for top in range(SIDE - 1):
        for left in range(SIDE - 1):
            hidden = x.clone()
            hidden[:, :, top : top + 2, left : left + 2] = 0
            change = (model.activations(hidden, "1")["1"][0, 1, 10, 7] - 1).abs()
            total[top : top + 2, left : left + 2] += change
            count[top : top + 2, left : left + 2] += 1
    assert_close(result.maps[0], total / count)


def test_maps_are_averaged_around_the_positions(model):
    result = done(
        empirical_receptive_field(model, spots((10, 7), (5, 16), (18, 12)), "1", 1, window=1, fill=0.0)
    )
    field = result.field
    assert field.shape == (2 * SIDE + 1, 2 * SIDE + 1)
    # A window of one pixel changes the mean of 25 by 1 / 25, inside of the field only.
    expected = torch.zeros_like(field)
    expected[SIDE - 2 : SIDE + 3, SIDE - 2 : SIDE + 3] = 1 / 25
    assert_close(field, expected)
    assert result.extent() == 5
    assert theoretical_receptive_field(model, "1").size == (5, 5)


def test_the_segmentation_covers_the_field_of_each_active_position(model):
    x = spots((10, 7), (5, 16))
    x[0, :, 16:21, 16:21] = 1
    result = done(empirical_receptive_field(model, x, "1", 1, window=1, fill=0.0))
    masks = result.segmentation(0.6)
    assert masks.dtype == torch.bool
    assert masks.shape == (2, SIDE, SIDE)
    assert masks[0, 10, 7]
    assert masks[0, 18, 18]
    assert masks[1, 5, 16]
    assert not masks[1, 15:].any()
    assert (masks[1] & (x[1, 0] == 0)).sum() == 0


def test_the_segmentation_is_the_sum_over_positions_of_activation_times_field():
    model = wrap(settle(Functional()))
    result = done(empirical_receptive_field(model, images(2), "conv2", 3, window=2))
    field, expected = result.field, torch.zeros(2, 8, 8)
    for n in range(2):
        for row in range(4):
            for column in range(4):
                weight = max(result.activation[n, row, column].item(), 0)
                down, right = 2 * row + 1, 2 * column + 1
                expected[n] += weight * field[8 - down : 16 - down, 8 - right : 16 - right]
    assert_close(result.responses(), expected, steps=2e3)


def test_there_is_a_snapshot_per_image_and_maps_stay(model):
    snapshots = list(empirical_receptive_field(model, spots((10, 7), (5, 16)), "1", 1, window=6, fill=0.0))
    assert [len(each.maps) for each in snapshots] == [1, 2]
    assert torch.equal(snapshots[0].maps[0], snapshots[1].maps[0])
    assert (snapshots[1].maps >= 0).all()


def test_windows_cover_every_pixel():
    corners = _corners(7, 10, 3, 2)
    covered = _spread(torch.ones(len(corners)), corners, 3, (7, 10))
    expected = torch.zeros(7, 10)
    for top, left in corners.tolist():
        expected[top : top + 3, left : left + 3] += 1
    assert torch.equal(covered, expected)
    assert covered.min() == 1


def test_a_channel_that_no_window_changes_warns(model):
    with pytest.warns(ExplanationWarning, match=r"no window changes.*image 0 and 1 more"):
        result = done(empirical_receptive_field(model, spots((10, 7), (5, 16)), "1", 0))
    assert result.extent() == 0
    assert not result.segmentation().any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "3"}, "spatial positions"),
        ({"channel": 2}, "'1' has 2 channels"),
        ({"window": 25}, "window"),
        ({"window": 3, "stride": 4}, "stride"),
        ({"fill": "green"}, "fill"),
    ],
)
def test_what_does_not_fit_is_refused(model, options, words):
    with pytest.raises(ValueError, match=words) as error:
        empirical_receptive_field(model, **{"images": spots((9, 9)), "layer": "1", "channel": 1} | options)
    assert one_sentence(error)
