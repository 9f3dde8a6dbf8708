"""Defaults are the published ones while they fit the budget, and have a minimum for networks with expensive passes."""

import pytest
import torch
from networks import SharedInPlace, images, settle, wrap

from xai_widgets.core import cost
from xai_widgets.perturbation import (
    ExtremalSettings,
    NoiseMaskSettings,
    extremal,
    kernel_shap,
    lime,
    noise_mask,
    prediction_difference,
    rise,
)


@pytest.fixture
def model():
    return wrap(settle(SharedInPlace()))


@pytest.fixture
def expensive(monkeypatch):
    monkeypatch.setattr(cost, "CPU_BUDGET", 0)


SEGMENTS = torch.arange(64).view(8, 8)

#: Runs with defaults: their number of passes, and that of the published defaults and of the minimum, in batches.
RUNS = {
    "rise": (lambda model, x: rise(model, x, 1), 8000 // 32, 32),
    "lime": (lambda model, x: lime(model, x, 1, segments=SEGMENTS), 32, 16),
    "kernel_shap": (lambda model, x: kernel_shap(model, x, 1, segments=SEGMENTS), 32, 16),
    "prediction_difference": (lambda model, x: prediction_difference(model, x, 1, patch=4), 3, 1),
    "noise_mask": (lambda model, x: noise_mask(model, x), 1500, 50),
    "extremal": (lambda model, x: extremal(model, x, 1, areas=[0.5]), 7 + 30, 5 + 12),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_published_defaults_fit_the_budget_of_a_small_network(name, model):
    make, published, _ = RUNS[name]
    assert make(model, images(1)).total == published


@pytest.mark.parametrize("name", RUNS)
def test_an_expensive_network_gets_the_minimum(name, model, expensive):
    make, _, least = RUNS[name]
    assert make(model, images(1)).total == least


def test_numbers_that_are_given_are_kept(model, expensive):
    x = images(1)
    assert rise(model, x, 1, masks=64, batch_size=32).total == 2
    assert noise_mask(model, x, settings=NoiseMaskSettings(), every=15_000).total == 1
    assert extremal(model, x, 1, areas=[0.5], settings=ExtremalSettings()).total == 7 + 30
    assert prediction_difference(model, x, 1, patch=4, stride=2, samples=10).total == 3


def test_settings_within_a_number_of_passes():
    settings = ExtremalSettings()
    assert settings.within(10_000) is settings
    fewer = settings.within(150)
    assert isinstance(fewer, ExtremalSettings)
    assert settings.steps > fewer.steps > settings.within(0).steps == 12
    each = cost.GRADIENT + len(settings.lengths)
    assert 150 - each < fewer.scan**2 + each * fewer.steps <= 150


def test_few_steps_of_a_noise_mask_have_a_higher_learning_rate():
    assert NoiseMaskSettings.within(15_000) == NoiseMaskSettings()
    few = NoiseMaskSettings.within(600)
    assert few.max_steps == 600
    assert few.learning_rate > NoiseMaskSettings().learning_rate
