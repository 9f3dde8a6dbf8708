"""Curves of methods, those of random orders, and means over images."""

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.data.base import Example
from xai_widgets.methods import METHODS, as_method
from xai_widgets.metrics import METRICS, Explanation, abpc, deletion, random_order
from xai_widgets.metrics.pixel_flipping import mean_change
from xai_widgets.metrics.random_orders import random_maps
from xai_widgets.studies.deletion import FILLS, RANDOM, RANDOM_ORDERS, DeletionKey, DeletionStudy, MeanKey


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 144, 5))
    return ImageModel(net, size=12)


@pytest.fixture
def x():
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def study_of(model, x, method="gradient", **options):
    methods = {method: METHODS[method]} if isinstance(method, str) else {"mine": as_method(method)}
    return DeletionStudy(model, x, methods, **{"curve_steps": 20, **options})


def computed(study, key):
    return study.compute([key], progress=False)[key].result


def test_the_random_order_is_a_key_with_curves_at_the_fractions_of_the_others(model, x):
    study = study_of(model, x[:1], curve_steps=60)
    key, other = DeletionKey(RANDOM, 1), DeletionKey("gradient", 1)
    outcomes = study.compute([key, other], progress=False)
    assert study.title(key) == "Random order"
    found, method = outcomes[key].result, outcomes[other].result
    assert len(list(study.run(key))) == study.steps(key)
    for name in ("deletion", "insertion"):
        assert torch.equal(found.curves[name].fractions, torch.linspace(0, 1, 61))
        assert found.curves[name].scores.shape == method.curves[name].scores.shape
        alone = random_order(model, x[:1], 1, mode=name, orders=RANDOM_ORDERS).result(progress=False)
        assert_close(found.curves[name].scores, alone.resampled(60).scores)
    assert sorted(found.ranks.flatten().tolist()) == list(range(144))


def test_morf_lerf_and_abpc_are_the_metrics(model, x):
    study = study_of(model, x, "grad_cam", seed=4)
    key = DeletionKey("grad_cam", 2, image=1, kind="flipping")
    result = computed(study, key)
    assert list(result.curves) == ["MoRF", "LeRF"]
    image = x[1:2]
    explanation = Explanation(model, image, 2, METHODS["grad_cam"].saliency(model, image, 2))
    options = {"steps": 20, "seed": 4}
    most, least = result.curves.values()
    assert mean_change(most.scores).item() == near(METRICS["morf"](explanation, **options))
    assert mean_change(least.scores).item() == near(METRICS["lerf"](explanation, **options))
    assert abpc(most, least).item() == near(METRICS["abpc"](explanation, **options))
    # The map of Grad-CAM is 0 at many pixels: the order of LeRF is not that of MoRF reversed.
    assert sorted(result.least.flatten().tolist()) == list(range(144))
    order = np.lexsort((np.arange(144), explanation.saliency[0].flatten().numpy()))
    if explanation.saliency.shape[1:] == (12, 12):
        assert result.least.flatten()[order].tolist() == list(range(144))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("kind", ["deletion", "flipping"])
def test_a_fill_is_that_of_the_metric_and_the_map_is_computed_once(model, x, kind, fill):
    calls = []

    def mine(model, x, target):
        calls.append(target)
        return x.mean(1)

    study = study_of(model, x, mine)
    computed(study, DeletionKey("mine", 2))
    result = computed(study, DeletionKey("mine", 2, 0, kind, fill))
    assert len(calls) == 1
    if kind == "deletion":
        given = {} if fill == "default" else {"fill": fill}
        expected = deletion(model, x[:1], x[:1].mean(1), 2, steps=20, **given).result(progress=False)
        assert_close(result.curves["deletion"].scores, expected.scores)


def test_the_mean_is_that_of_the_curves_of_all_images_with_their_predicted_classes(model, x):
    study = study_of(model, x)
    snapshots = list(study.run(MeanKey("gradient")))
    assert [snapshot.count for snapshot in snapshots] == [1, 2, 3]
    classes = model.scores(x).argmax(1)
    saliency = METHODS["gradient"].saliency(model, x, classes)
    expected = deletion(model, x, saliency, classes, steps=20).result(progress=False)
    assert_close(torch.from_numpy(snapshots[-1].scores["deletion"]), expected.scores)
    # A data set is read one by one, and its images need not be those that are shown.
    data = [Example(image.permute(1, 2, 0).numpy(), "") for image in x[1:]]
    other = list(study_of(model, x[:1], data=data).run(MeanKey("gradient")))[-1]
    assert_close(torch.from_numpy(other.scores["deletion"]), expected.scores[1:])


def test_the_mean_of_random_orders_has_another_order_for_each_image(model, x):
    result = list(study_of(model, x, seed=7).run(MeanKey(RANDOM)))[-1]
    assert result.scores["deletion"].shape == (3, 21)
    for index in range(3):
        target = model.scores(x[index : index + 1]).argmax()
        saliency = random_maps(x[index : index + 1], 1, 7 + index)[0]
        alone = deletion(model, x[index : index + 1], saliency, target, steps=20).result(progress=False)
        assert_close(torch.from_numpy(result.scores["deletion"][index]), alone.resampled(20).scores[0])


def test_a_mean_that_was_stopped_goes_on_after_its_last_image(model, x):
    seen = []

    def mine(model, x, target):
        seen.append(round(x.sum().item(), 3))
        return x.mean(1)

    study = study_of(model, x, mine)
    run = iter(study.run(MeanKey("mine")))
    first = next(run)
    run.close()
    again = study.run(MeanKey("mine"), first)
    assert [snapshot.count for snapshot in again] == [2, 3]
    assert len(seen) == len(set(seen)) == 3


def test_an_image_that_fails_is_left_out_with_a_warning(model, x):
    def mine(model, x, target):
        if x.sum() == chosen.sum():
            raise ValueError("no map of this image")
        return x.mean(1)

    chosen = x[1]
    study = study_of(model, x, mine)
    outcome = study.compute([MeanKey("mine")], progress=False)[MeanKey("mine")]
    assert (outcome.result.count, outcome.result.done, outcome.error) == (2, 3, "")
    assert outcome.warnings == ("1 of 3 images are left out: no map of this image",)

    def broken(model, x, target):
        raise ValueError("no map at all")

    with pytest.raises(ValueError, match="no map at all"):
        study_of(model, x, broken).compute([MeanKey("mine")], progress=False)
