"""The one-pixel attack: against the best pixel of a linear network, which is known."""

import itertools

import pytest
import torch
from closeness import assert_close
from networks import Functional, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.learned import OnePixelSettings, one_pixel
from xai_widgets.learned.pixel_search import _children, _population, drawn


def done(run):
    return run.result(progress=False)


def two_classes(bias):
    """Two scores whose difference is w . x - bias, with weights that are largest at row 2, column 1."""
    layer = nn.Linear(48, 2)
    weight = torch.full((3, 4, 4), 0.01)
    weight[:, 2, 1] = torch.tensor([1.0, -2.0, 3.0])
    with torch.no_grad():
        layer.weight.copy_(torch.stack([-weight.flatten(), torch.zeros(48)]))
        layer.bias.copy_(torch.tensor([bias, 0.0]))
    return ImageModel(nn.Sequential(nn.Flatten(), layer), size=4)


def test_the_pixel_with_the_largest_effect_is_found():
    # Gray gives w . x = 0.225 + 1; the best color (1, 0, 1) gives 4.225.
    model, x = two_classes(bias=4.2), torch.full((1, 3, 4, 4), 0.5)
    found = done(one_pixel(model, x, settings=OnePixelSettings(population=100, generations=60)))
    assert found.reached.all()
    assert found.norm(0) == 1
    changed = found.perturbation[0].abs().amax(0).nonzero()
    assert changed.tolist() == [[2, 1]]
    assert (found.image[0, :, 2, 1] - torch.tensor([1.0, 0.0, 1.0])).abs().max() < 0.05


def test_a_class_out_of_reach_is_reported():
    model, x = two_classes(bias=5.0), torch.full((2, 3, 4, 4), 0.5)
    run = one_pixel(model, x, toward=1, settings=OnePixelSettings(population=20, generations=5))
    snapshots = list(run)
    assert len(snapshots) == run.total == 6
    assert not snapshots[-1].reached.any()
    # It comes closer from generation to generation.
    gains = [model.scores(each.image)[0, 1] - model.scores(each.image)[0, 0] for each in snapshots]
    assert all(later >= earlier for earlier, later in itertools.pairwise(gains))


def test_reached_images_are_left_alone():
    model, x = two_classes(bias=2.0), torch.full((1, 3, 4, 4), 0.5)
    run = one_pixel(model, x, settings=OnePixelSettings(population=60, generations=40))
    snapshots = list(run)
    assert snapshots[-1].reached.all()
    assert len(snapshots) < run.total
    assert not any(each.reached.any() for each in snapshots[:-1])


def test_children_are_differences_of_three_others():
    x = torch.zeros(3, 4, 4)
    settings = OnePixelSettings(population=12)
    generator = torch.Generator().manual_seed(0)
    population = _population(x, settings, generator)
    assert population.shape == (12, 1, 5)
    assert (population[..., :2] >= 0).all()
    assert (population[..., :2] < 4).all()
    assert ((population[..., 2:] >= 0) & (population[..., 2:] <= 1)).all()
    # Values in the middle of their ranges, so that no child is clamped.
    flat = 0.45 + 0.1 * torch.rand(12, 1, 5, generator=generator)
    children = _children(x, flat, 0.5, generator)
    for own, child in enumerate(children):
        triples = [
            (a, b, c)
            for a in range(12) for b in range(12) for c in range(12)
            if len({a, b, c, own}) == 4
        ]  # fmt: skip
        index = torch.tensor(triples).T
        candidates = flat[index[0]] + 0.5 * (flat[index[1]] - flat[index[2]])
        assert (candidates - child).abs().amax((1, 2)).min() < 1e-6


def test_several_pixels_are_drawn_in_their_order():
    x = torch.zeros(3, 4, 4)
    candidates = torch.tensor([[[0.9, 3.9, 1.0, 0.5, 0.25], [0.1, 3.1, 0.0, 1.0, 0.0]]])
    image = drawn(x, candidates)
    assert image.count_nonzero() == 1
    assert_close(image[0, :, 0, 3], torch.tensor([0.0, 1.0, 0.0]))


def test_the_seed_decides():
    model, x = wrap(settle(Functional())), images(1)
    settings = OnePixelSettings(pixels=3, population=8, generations=2)
    a, b, c = (done(one_pixel(model, x, settings=settings, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(a.image, b.image)
    assert not torch.equal(a.image, c.image)
    assert a.probe == "3 pixels"


def test_a_population_without_three_others_is_an_error():
    with pytest.raises(ValueError, match="three other parents") as caught:
        OnePixelSettings(population=3)
    one_sentence(caught)
