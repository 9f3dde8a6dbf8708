"""Perturbation methods as attribution methods."""

import pytest
import torch
from networks import SIZE, Functional, images, one_sentence, settle, wrap

from xai_widgets import perturbation
from xai_widgets.methods import family
from xai_widgets.methods.registry import Method, as_method, get
from xai_widgets.perturbation import ExtremalSettings, MeaningfulSettings, NoiseMaskSettings
from xai_widgets.perturbation.area_search import AreaSettings

METHODS = family("perturbation")

GRID = (torch.arange(SIZE)[:, None] // 2 * 4 + torch.arange(SIZE) // 2).long()

#: Quick options of each method.
OPTIONS = {
    "occlusion": {"window": 4, "stride": 4},
    "rise": {"masks": 8, "cells": 2},
    "lime": {"segments": GRID, "samples": 20},
    "kernel_shap": {"segments": GRID, "samples": 20},
    "minimal_image": {"segments": GRID},
    "greedy_regions": {"regions": torch.arange(16)[:, None, None] == GRID, "steps": 2},
    "prediction_difference": {"patch": 4, "samples": 2},
    "variable_occlusion": {"radii": (1, 2), "stride": 4},
    "meaningful_perturbation": {"settings": MeaningfulSettings(steps=2)},
    "noise_mask": {"settings": NoiseMaskSettings(max_steps=4)},
    "extremal": {"areas": [0.1, 0.3], "settings": ExtremalSettings(steps=5, scan=2)},
    "channel_extremal": {"channels": [1, 3], "settings": AreaSettings(steps=5)},
}


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def test_every_method_is_tried_here():
    assert set(METHODS) == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_method_is_the_map_of_the_finished_run(name, model):
    x = images(2)
    # The minimal image is one of the predicted class.
    predicted, options = model(x).argmax(1), OPTIONS[name]
    expected = getattr(perturbation, name)(model, x, predicted, **options).result(progress=False)
    made = METHODS[name](model, x, predicted, **options)
    assert made.shape == (2, 1, SIZE, SIZE)
    assert torch.equal(made[:, 0], expected.saliency())
    assert torch.equal(METHODS[name].saliency(model, x, predicted, **options), expected.saliency())


@pytest.mark.parametrize("name", OPTIONS)
def test_a_method_has_a_name_a_title_a_source_and_a_docstring(name):
    made = METHODS[name]
    assert isinstance(made, Method)
    assert made.name == name
    assert made.title
    assert made.source
    assert made.__doc__ == getattr(perturbation, name).__doc__


def test_they_are_found_by_name_beside_the_attribution_methods():
    assert get("rise") is METHODS["rise"]
    assert as_method("extremal") is METHODS["extremal"]
    assert get("gradient").name == "gradient"


@pytest.mark.parametrize(("given", "nearest"), [("extremall", "extremal"), ("occlusoin", "occlusion")])
def test_the_nearest_name_is_offered(given, nearest):
    with pytest.raises(ValueError, match=nearest) as error:
        get(given)
    one_sentence(error)
