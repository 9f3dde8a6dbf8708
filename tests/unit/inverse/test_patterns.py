"""Patterns of channels: where they are looked for, what they are, and how far a run has come."""

import warnings

import pytest
import torch
from closeness import assert_close, rounding
from networks import CLASSES, images, one_sentence, settle, wrap
from snapshot import everything
from torch import nn

from xai_widgets.features import top_activations
from xai_widgets.inverse import SolverSettings, feature_patterns, find_units, operation_wise

QUICK = SolverSettings(steps=4)


class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(96, CLASSES),
        )  # fmt: skip


def model_of(seed=0):
    return wrap(settle(Plain(), seed))


def found(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return feature_patterns(*arguments, **{"settings": QUICK, **options}).result(progress=False)


def test_a_pattern_is_the_part_of_the_inverse_of_one_activation_around_its_position():
    model, x = model_of(), images(5)
    made = found(model, x, "4", [3, 0], k=2, side=4, batch_size=3)
    top = top_activations(model, x, layer="4", k=2, side=4).result(progress=False)
    assert made.patterns.shape == made.patches.shape == (2, 2, 3, 4, 4)
    assert_close(made.values, top.values[[3, 0]])
    assert_close(made.patches, top.patches([3, 0]))
    for row, channel in enumerate([3, 0]):
        for rank in range(2):
            image = int(top.images[channel, rank])
            at = top.positions[channel, rank].tolist()
            start = torch.zeros(1, 6, 4, 4)
            start[0, channel, at[0], at[1]] = top.values[channel, rank]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                inverse = operation_wise(
                    model, x[image], start=("4", start), l1=0, l2=0.9, settings=QUICK
                ).result(progress=False)
            begins = [min(max(0, round((each + 0.5) / 4 * 8 - 2)), 4) for each in at]
            expected = inverse.x[0, 0, :, begins[0] : begins[0] + 4, begins[1] : begins[1] + 4]
            assert_close(made.patterns[row, rank], expected)


def test_a_pattern_is_part_of_its_patch():
    """It lies between the mean color and the patch."""
    model = model_of()
    made = found(model, images(4), "1", [0, 1, 2, 3, 4], k=3)
    there = made.values > 0
    assert there.any()
    patterns, patches = made.patterns[there], made.patches[there]
    assert (patterns >= torch.minimum(model.mean, patches) - rounding(patches)).all()
    assert (patterns <= torch.maximum(model.mean, patches) + rounding(patches)).all()
    assert ((patterns - model.mean).abs().flatten(1).amax(1) > 0).all()


def test_images_that_are_not_there_and_channels_that_are_0_have_no_pattern():
    network = settle(Plain())
    with torch.no_grad():
        network[3].bias[2] = -100
    made = found(wrap(network), images(2), "4", [2, 3], k=3, side=4)
    assert made.patterns[0].isnan().all()
    assert (made.values[0, :2] == 0).all()
    assert made.patterns[1, 2].isnan().all()
    assert not made.patterns[1, :2].isnan().any()


def test_each_snapshot_holds_what_is_done_and_stopping_leaves_it():
    model = model_of()
    before = everything(model)
    run = feature_patterns(model, images(5), "4", 3, k=3, side=4, settings=QUICK, batch_size=2)
    done = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for shot in run:
            done.append(int((~shot.patterns[0, :, 0, 0, 0].isnan()).sum()))
            if done[-1] == 2:
                run.cancel()
    assert run.done <= run.total
    assert done[0] == 0
    assert done == sorted(done)
    assert int((~run.latest.patterns[0, :, 0, 0, 0].isnan()).sum()) == 2
    assert everything(model) == before


def test_one_channel_is_a_number():
    made = found(model_of(), list(images(2)), "1", 4, k=1)
    assert made.channels == (4,)
    assert made.patterns.shape[:2] == (1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "11"}, "11"),
        ({"unit": "6"}, "'6'"),
        ({"unit": "5"}, "'5'"),
        ({"unit": "0"}, "'0'"),
        ({"channels": [0, 6]}, "expected channels from 0 to 5, got 6"),
        ({"channels": -1}, "from 0 to 5, got -1"),
        ({"channels": []}, "at least one"),
        ({"channels": "red"}, "expected channels as integers"),
        ({"k": 0}, "expected k to be an integer from 1"),
        ({"side": 9}, "expected side to be an integer from 1 to 8, got 9"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, message):
    model = model_of()
    assert [unit.name for unit in find_units(model)] == ["1", "2", "4", "5", "6"]
    with pytest.raises(ValueError, match=message) as error:
        feature_patterns(model, images(1), **{"unit": "4", "channels": 0, **options})
    one_sentence(error)


def test_a_plain_module_is_refused():
    with pytest.raises(TypeError, match="expected an ImageModel"):
        feature_patterns(Plain(), images(1), "4", 0)


def test_settings_are_settings():
    with pytest.raises(TypeError, match="expected settings as SolverSettings"):
        feature_patterns(model_of(), images(1), "4", 0, settings=10)
