"""The pointing game against its protocol."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.data import scenes
from xai_widgets.metrics import PointingTask, pointing_game


def dot(row, column, size=(40, 50)):
    """A map with its maximum at a position."""
    made = torch.rand(size, generator=torch.Generator().manual_seed(0))
    made[row, column] = 2
    return made


def box(left, top, right, bottom, size=(40, 50)):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


@given(
    st.integers(0, 39),
    st.integers(0, 49),
    st.sampled_from([0, 1, 4.9, 5, 15]),
    st.sampled_from([None, 20, 80]),
)
def test_a_hit_is_within_the_tolerance_of_the_object(row, column, tolerance, reference):
    task = PointingTask.from_masks([{3: box(10, 12, 20, 18) | box(40, 0, 42, 2)}])
    found = pointing_game(dot(row, column)[None], task, tolerance=tolerance, reference=reference)
    reach = tolerance if reference is None else tolerance * 40 / reference
    away = min(math.dist((row, column), position.tolist()) for position in task.masks[0].nonzero())
    assert found.hits.tolist() == [away <= reach]
    assert found.positions.tolist() == [[row, column]]
    assert found.accuracy == float(away <= reach)


def test_the_tolerance_is_15_pixels_whatever_the_size():
    task = PointingTask.from_masks([{0: box(0, 0, 1, 1)}] * 2)
    maps = torch.stack([dot(0, 15), dot(0, 16)])
    assert pointing_game(maps, task).hits.tolist() == [True, False]
    # 15 pixels at 224 are 2.7 pixels at 40.
    maps = torch.stack([dot(0, 2), dot(0, 3)])
    assert pointing_game(maps, task, reference=224).hits.tolist() == [True, False]


def test_accuracy_is_the_mean_over_classes_not_over_maps():
    here, there = box(0, 0, 5, 5), box(30, 30, 40, 40)
    task = PointingTask.from_masks([{1: here, 2: there}, {1: here}, {1: here}, {1: here}])
    assert task.image.tolist() == [0, 0, 1, 2, 3]
    assert task.target.tolist() == [1, 2, 1, 1, 1]
    maps = torch.stack([dot(2, 2), dot(2, 2), dot(2, 2), dot(2, 2), dot(20, 45)])
    found = pointing_game(maps, task, tolerance=0)
    assert found.hits.tolist() == [True, False, True, True, False]
    assert found.per_class() == {1: 0.75, 2: 0.0}
    assert found.accuracy == 0.375
    # Only the first image has two classes.
    assert found.per_class(difficult=True) == {1: 1.0, 2: 0.0}
    assert found.difficult_accuracy == 0.5


def test_difficult_is_small_and_in_company():
    small, large = box(0, 0, 10, 10), box(0, 10, 50, 30)
    task = PointingTask.from_masks(
        [{0: small, 1: large}, {0: small}, {1: large}, {0: small, 2: box(0, 0, 25, 20)}]
    )
    # 25 x 20 of 50 x 40 pixels are a quarter: not below it.
    assert task.difficult.tolist() == [True, False, False, False, True, False]
    nobody = PointingTask.from_masks([{0: small}])
    assert math.isnan(pointing_game(dot(0, 0)[None], nobody).difficult_accuracy)


def test_a_class_all_of_whose_boxes_are_difficult_is_skipped():
    images = [
        [(0, (0, 0, 5, 5), False), (0, (20, 20, 25, 25), True), (1, (30, 30, 40, 40), True)],
        [(1, (0, 0, 9.6, 4.4), False)],
    ]
    task = PointingTask.from_boxes(images, (40, 50))
    assert task.image.tolist() == [0, 1]
    assert task.target.tolist() == [0, 1]
    assert torch.equal(task.masks[0], box(0, 0, 5, 5) | box(20, 20, 25, 25))
    assert torch.equal(task.masks[1], box(0, 0, 10, 4))
    # The skipped class still makes the other one one of two.
    assert task.difficult.tolist() == [True, False]


def test_nan_is_a_miss_wherever_it_is():
    task = PointingTask.from_masks([{0: torch.ones(40, 50)}] * 3)
    maps = torch.stack([dot(3, 3), dot(3, 3), torch.full((40, 50), torch.nan)])
    maps[1, 39, 49] = torch.nan
    found = pointing_game(maps, task)
    assert found.hits.tolist() == [True, False, False]
    assert found.positions.tolist() == [[3, 3], [-1, -1], [-1, -1]]


def test_of_equal_maxima_the_first_counts_and_maps_of_a_layer_are_brought_to_the_image():
    task = PointingTask.from_masks([{0: box(0, 0, 1, 1)}])
    assert pointing_game(torch.zeros(1, 40, 50), task).positions.tolist() == [[0, 0]]
    coarse = torch.zeros(1, 4, 5)
    coarse[0, 3, 4] = 1
    row, column = pointing_game(coarse, task).positions[0].tolist()
    assert row >= 34
    assert column >= 44


def test_scenes_give_every_class_that_is_seen():
    some = scenes.generate(6, objects=(2, 3), split="test", size=64)
    task = PointingTask.from_masks([each.masks for each in some])
    rows = [(n, k) for n, each in enumerate(some) for k in each.labels if (each.category == k).any()]
    assert list(zip(task.image.tolist(), task.target.tolist(), strict=True)) == rows
    for row, (n, k) in enumerate(rows):
        assert np.array_equal(task.masks[row].numpy(), some[n].category == k)
    # Its own ground truth hits every object, that of another position none.
    assert pointing_game(task.masks.float(), task, tolerance=0).accuracy == 1.0
    assert task.difficult.sum() > len(task) / 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"saliency": torch.zeros(2, 40, 50)}, "expected one saliency map for each of 1 rows, got 2"),
        ({"saliency": torch.zeros(1, 1, 40, 50)}, "expected saliency of shape (R, h, w), got (1, 1, 40, 50)"),
        ({"tolerance": -1}, "expected tolerance to be a number from 0 to 1000000000.0, got -1"),
        ({"reference": 0}, "expected reference to be an integer of at least 1, got 0"),
    ],
)
def test_bad_input_is_named_in_one_sentence(change, words):
    arguments = {
        "saliency": torch.zeros(1, 40, 50),
        "task": PointingTask.from_masks([{0: box(0, 0, 1, 1)}]),
        **change,
    }
    with pytest.raises(ValueError, match=re.escape(words)):
        pointing_game(**arguments)


@pytest.mark.parametrize(
    "images", [[], [{}], [{0: torch.zeros(3, 3)}], [{0: torch.ones(3, 3), 1: torch.ones(3, 4)}]]
)
def test_a_task_without_anything_to_point_at_is_refused(images):
    with pytest.raises(
        ValueError, match=r"expected (masks \(H, W\) of one size|images to be a sequence of images), got"
    ):
        PointingTask.from_masks(images)
