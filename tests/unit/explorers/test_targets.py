"""Explorers of networks without class scores, and of callables."""

import numpy as np
import pytest
from closeness import assert_close
from networks import Functional, images, settle, wrap
from raw_networks import CLASSES, Detector, Segmenter, seeded, wrapped

import xai_widgets as xw
from xai_widgets.features.objectives import Channel
from xai_widgets.methods import METHODS
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.targets import BoxScore, ClassAreas, DetectedClasses, Pixel

QUICK = AreaSettings(steps=2)

NETWORKS = {
    "segmentation": (lambda: wrapped(seeded(Segmenter), ClassAreas(), labels=list("abcd")), Pixel(3, 4, 2)),
    "detection": (lambda: wrapped(seeded(Detector), DetectedClasses(CLASSES)), BoxScore((1, 1, 6, 6), 2)),
}
EXPLORERS = {
    "deletion": lambda model, **options: xw.DeletionExplorer(
        model, images(1), ["gradient", "grad_cam"], steps=4, **options
    ),
    "attribution": lambda model, **options: xw.AttributionExplorer(
        model, images(2), ["gradient", "grad_cam"], **options
    ),
    "extremal": lambda model, **options: xw.ExtremalExplorer(
        model, images(1), areas=[0.2, 0.5], settings=QUICK, **options
    ),
    "channel": lambda model, **options: xw.ChannelExplorer(
        model, images(1), channels=[1, 2], settings=QUICK, **options
    ),
    "brush": lambda model, **options: xw.PerturbationBrush(model, images(1), **options),
    "masks": lambda model, **options: xw.MaskComparison(model, images(1), ["gradient"], **options),
    "dashboard": lambda model, **options: xw.Dashboard(
        model, images(1), explorers=["attribution", "deletion"], **options
    ),
}


def expect_computed(explorer, labels):
    assert explorer.class_picker.labels == labels
    for part in getattr(explorer, "explorers", {"": explorer}).values():
        assert part.wait(60)
        if hasattr(part, "run_bar"):
            assert part.run_bar.error == ""


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("name", EXPLORERS)
def test_every_explorer_takes_the_targets_of_a_model_and_a_callable(name, kind):
    make, target = NETWORKS[kind]
    model = make()
    for options, labels in (({}, model.labels), ({"target": target}, [target.label])):
        explorer = EXPLORERS[name](model, **options)
        try:
            expect_computed(explorer, labels)
        finally:
            explorer.close()


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_explorer_takes_a_channel_of_a_layer(name):
    model, target = wrap(settle(Functional())), Channel("conv2", 3)
    explorer = EXPLORERS[name](model, target=target)
    try:
        expect_computed(explorer, ["channel 3 of conv2"])
        # The words of the controls are those of a target, too.
        assert explorer.class_picker.title == "Target"
        for part in getattr(explorer, "explorers", {"": explorer}).values():
            assert "class" not in getattr(getattr(part, "scores", None), "title", "").lower()
    finally:
        explorer.close()


def test_the_curves_of_a_pixel_are_scores_of_any_range():
    model, target = NETWORKS["segmentation"][0](), Pixel(3, 4, 2)
    explorer = EXPLORERS["deletion"](model, target=target)
    assert explorer.wait(60)
    scores = model.with_target(target).scores(images(1))
    assert explorer.curves.y_label == "score"
    assert_close(explorer.curves.y[0, 0], scores[0, 0])
    low, high = explorer.scores.value_limits
    shown = explorer.scores.target_values[np.isfinite(explorer.scores.target_values)]
    assert low <= shown.min()
    assert shown.max() <= high
    explorer.close()


def test_the_map_of_a_pixel_is_that_of_the_method():
    model, target = NETWORKS["segmentation"][0](), Pixel(3, 4, 2)
    explorer = xw.DeletionExplorer(model, images(1), ["gradient"], target=target, steps=2)
    assert explorer.wait(60)
    assert_close(explorer.heatmap.maps[:1], METHODS["gradient"].saliency(model, images(1), target))
    explorer.close()


def test_each_image_of_a_table_may_have_a_callable_of_its_own():
    model = NETWORKS["segmentation"][0]()
    targets = [Pixel(1, 1, 0), Pixel(6, 6, 3)]
    explorer = xw.AttributionExplorer(model, images(2), ["gradient"], target=targets)
    assert explorer.wait(60)
    assert explorer.class_picker.labels == [target.label for target in targets]
    for number, target in enumerate(targets):
        key = next(key for key in explorer.study.store if key.image == number)
        expected = METHODS["gradient"].saliency(model, images(2)[number : number + 1], target)[0]
        assert_close(explorer.study.result(key), expected)
    explorer.close()


def test_the_inverse_of_a_pixel():
    model = NETWORKS["segmentation"][0]()
    explorer = xw.InverseExplorer(model, images(1), target=Pixel(3, 4, 2), lam=(0.0, 0.4))
    assert explorer.wait(120)
    assert explorer.run_bar.error == ""
    assert explorer.result.layer_wise.output.shape == (1, 2, 1)
    assert not dict(explorer.result.failed).keys() & {"layer-wise inverse"}
    explorer.close()
