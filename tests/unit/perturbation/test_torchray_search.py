"""Smooth masks against equations 6 and 7 pixel by pixel, and the search of TorchRay against torch's SGD."""

import dataclasses
import math

import pytest
import torch
from closeness import assert_close, rounding
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from networks import Functional, images, one_sentence, settle, wrap

from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.extremal import ExtremalSettings, extremal
from xai_widgets.perturbation.torchray_search import MaxConvolution, TorchRaySettings

#: Cells of two pixels and a kernel that reaches two of them.
SETTINGS = TorchRaySettings(steps=4, grid=2, sigma=3.0, every=1)
SIZE = (6, 4)


def reached(parameters, make, settings):
    """k(u - v) p(v) of every pixel u of the padded mask and the cells v around its own, the border repeated."""
    height, width = parameters.shape
    margin, grid = make.margin, settings.grid
    made = torch.empty(height * grid, width * grid, (2 * margin + 1) ** 2, dtype=parameters.dtype)
    for row in range(height * grid):
        for column in range(width * grid):
            index = 0
            for down in range(-margin, margin + 1):
                for right in range(-margin, margin + 1):
                    i, j = row // grid + down, column // grid + right
                    y = i * grid + (grid - 1) / 2
                    x = j * grid + (grid - 1) / 2
                    far = math.hypot(row - y, column - x)
                    kernel = math.exp(-2 * max(0.0, far / settings.sigma - 0.5) ** 2)
                    inside = parameters[min(max(i, 0), height - 1), min(max(j, 0), width - 1)]
                    made[row, column, index] = kernel * inside
                    index += 1
    return made


def random(make, seed=0):
    return torch.rand(make.cells, generator=torch.Generator().manual_seed(seed)).double()


@fewer_examples(6)
@given(st.integers(0, 99), st.sampled_from([1.0, 20.0, 200.0]))
def test_masks_are_the_smooth_maximum_of_the_formula(seed, inverse_temperature):
    options = dataclasses.replace(SETTINGS, inverse_temperature=inverse_temperature)
    make = MaxConvolution(SIZE, options, torch.empty(0, dtype=torch.float64))
    parameters = random(make, seed)
    values = reached(parameters, make, options)
    weights = torch.exp(inverse_temperature * values)
    assert_close(make(parameters[None])[0], (values * weights).sum(2) / weights.sum(2))


def test_a_smooth_maximum_is_a_mean_at_a_high_temperature_and_the_maximum_at_a_low_one():
    for inverse_temperature, expected in (
        (1e-9, lambda values: values.mean(2)),
        (1e7, lambda values: values.amax(2)),
    ):
        options = dataclasses.replace(SETTINGS, inverse_temperature=inverse_temperature)
        make = MaxConvolution(SIZE, options, torch.empty(0, dtype=torch.float64))
        parameters = random(make)
        values = reached(parameters, make, options)
        # In float64, so rounding counts for nothing; an inverse temperature is not yet its limit.
        torch.testing.assert_close(make(parameters[None])[0], expected(values), atol=1e-6, rtol=1e-6)


@fewer_examples(3)
@given(st.integers(0, 99))
def test_lemma_1_holds_for_the_maximum(seed):
    """m is between the parameters and 1 where they are, and changes no faster than the kernel."""
    options = dataclasses.replace(SETTINGS, inverse_temperature=1e7, grid=1, sigma=2.0)
    make = MaxConvolution((5, 5), options, torch.empty(0, dtype=torch.float64))
    parameters = random(make, seed)
    made = make(parameters[None])[0]
    assert (made >= parameters - rounding(1)).all()
    assert (made <= 1).all()
    radii = torch.linspace(0, 20, 20001, dtype=torch.float64)
    profile = torch.exp(-2 * (radii / options.sigma - 0.5).clamp(min=0) ** 2)
    steepest = (profile.diff().abs() / radii.diff()).max()
    reach = made[1:-1, 1:-1]
    # No difference of neighbors is steeper, except for the tail of the kernel beyond its window.
    tail = math.exp(-2 * (make.margin / options.sigma - 0.5) ** 2)
    assert reach.diff(dim=0).abs().max() <= steepest + tail
    assert reach.diff(dim=1).abs().max() <= steepest + tail


def test_a_disc_of_ones_is_one_within_half_a_sigma():
    options = dataclasses.replace(SETTINGS, inverse_temperature=1e7, grid=1, sigma=4.0)
    make = MaxConvolution((9, 9), options, torch.empty(0, dtype=torch.float64))
    parameters = torch.zeros(make.cells, dtype=torch.float64)
    middle = make.cells[0] // 2
    parameters[middle, middle] = 1
    made = make(parameters[None])[0]
    index = torch.arange(made.shape[0]) - middle
    far = (index[:, None] ** 2 + index**2).double().sqrt()
    assert_close(made[far <= 2], torch.ones(int((far <= 2).sum())).double())
    assert made[far > 2.1].max() < 1


def test_the_crop_is_the_middle_and_the_margin_is_beyond_the_image():
    make = MaxConvolution((7, 4), TorchRaySettings(grid=3, sigma=4.0), torch.empty(0))
    assert make.margin == 1 + 2
    assert make.cells == (3 + 6, 2 + 6)
    masks = torch.arange(27 * 24.0).view(1, 27, 24)
    made = make.crop(masks)
    assert made.shape == (1, 7, 4)
    assert torch.equal(made, masks[:, 10:17, 10:14])
    assert make(torch.ones(1, *make.cells)).shape == (1, 27, 24)


@pytest.mark.parametrize("size", [8, 24])
def test_the_torchray_search_steps_as_torchs_sgd(size):
    """Equation 4 written out again: mirrored every other step, sorted against zeros and ones, clamped."""
    model = wrap(settle(torch.nn.Sequential(*pooled())), size=size)
    x, areas = images(2, size=size), [0.1, 0.3]
    target = model(x).argmax(1)
    run = extremal(model, x, areas=areas, settings=dataclasses.replace(SETTINGS, steps=6, growth=1.5))
    shots = list(run)
    make = MaxConvolution((size, size), SETTINGS, x)
    levels = pyramid(x)
    for image in range(2):
        for row, area in enumerate(areas):
            parameters = torch.nn.Parameter(torch.ones(1, *make.cells))
            sgd = torch.optim.SGD([parameters], lr=0.01, momentum=0.9, dampening=0.9)
            for step, shot in enumerate(shots):
                padded = make(parameters)
                shown = perturb(levels[image : image + 1], make.crop(padded)[None])[:, 0]
                score = model(shown.flip(-1) if step % 2 else shown)[0, target[image]]
                ranked = padded.flatten().sort().values
                expected = torch.zeros_like(ranked)
                expected[len(ranked) - int(area * len(ranked)) :] = 1
                loss = -score + 300 * 1.5**step * ((ranked - expected) ** 2).mean()
                sgd.zero_grad()
                loss.backward()
                sgd.step()
                with torch.no_grad():
                    parameters.clamp_(0, 1)
                # A snapshot holds the parameters with the best score so far, which need not be the last ones.
                if torch.equal(shot.parameters[image, row], shots[step - 1].parameters[image, row]) and step:
                    continue
                assert_close(shot.parameters[image, row], parameters[0].detach())
    assert any(not torch.equal(shot.parameters, shots[0].parameters) for shot in shots)


def pooled():
    return (
        torch.nn.Conv2d(3, 6, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(96, 4),
    )


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_torchray_search_gives_the_same_bits_in_any_mode(mode):
    model = wrap(settle(Functional()))
    expected = extremal(model, images(1), areas=[0.2], settings=SETTINGS).result(progress=False)
    with mode():
        made = extremal(model, images(1), areas=[0.2], settings=SETTINGS).result(progress=False)
        begun = extremal(model, images(1), areas=[0.2], settings=SETTINGS)
        steps = iter(begun)
        next(steps)
    for _ in steps:
        pass
    for one in (made, begun.latest):
        assert torch.equal(one.masks, expected.masks)
        assert torch.equal(one.parameters, expected.parameters)


def test_the_torchray_settings_are_those_of_torchray():
    made = ExtremalSettings.torchray()
    assert (made.steps, made.learning_rate, made.momentum, made.dampening) == (800, 0.01, 0.9, 0.9)
    assert (made.weight, made.growth, made.grid, made.sigma, made.inverse_temperature) == (
        300,
        1.0035,
        7,
        21,
        20,
    )


@pytest.mark.parametrize("name", ["steps", "grid", "every", "learning_rate", "sigma", "inverse_temperature"])
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got 0") as error:
        TorchRaySettings(**{name: 0})
    one_sentence(error)
