"""The explorer of the concepts of a class without a browser."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from small_explorers import classifier, photos

import xai_widgets as xw
from xai_widgets.concepts import class_concepts, sub_concepts
from xai_widgets.core.pixels import to_uint8
from xai_widgets.data import scenes
from xai_widgets.explorers import ClassExplorer
from xai_widgets.explorers.class_images import STAND_IN
from xai_widgets.studies.class_concepts import ClassConceptsStudy, ConceptKey

OPTIONS = {"count": 3, "design": 8, "scored": 3}
WAIT = 60


@pytest.fixture(scope="module")
def model():
    return classifier()


@pytest.fixture
def explorer(model):
    made = ClassExplorer(model, photos(4), **OPTIONS)
    assert made.wait(WAIT)
    assert made.run_bar.error == ""
    assert "converged" not in made.run_bar.message
    yield made
    made.close()


@pytest.fixture(scope="module")
def found(model):
    target = int(model.scores(photos(4)).argmax(1).bincount().argmax())
    return class_concepts(model, photos(4), target, layer="relu", **OPTIONS).result(progress=False)


def test_the_default_class_is_predicted_most_often(explorer, found):
    assert explorer.target == found.target
    assert explorer.layer_picker.value == "relu"


def test_maps_are_shares_of_the_largest_value_in_all_images(explorer, found):
    peaks = found.coefficients.amax((0, 2, 3))
    assert_close(explorer.heatmap.maps, found.coefficients[0] / peaks[:, None, None])
    assert explorer.heatmap.limit == 1
    assert explorer.slider.values == [1, 2, 3]


def test_bars_are_the_scores_without_the_chosen_concept(explorer, found, model):
    without = model.probabilities(found.removed[0])
    best = without.topk(3)
    assert_close(explorer.scores.values[:, 0], best.values)
    assert np.array_equal(explorer.scores.indices[:, 0], best.indices)
    assert_close(explorer.scores.reference, model.probabilities(found.scores[0]))
    channels = {view._channels["frame"] for view in (explorer.slider, explorer.heatmap, explorer.scores)}
    assert len(channels) == 1


def test_rows_name_both_importances_and_the_effect(explorer, found):
    words = explorer.gallery.row_labels[0]
    assert words.startswith(f"1: {100 * found.importance[0]:.0f} % \u00b7 ")
    assert len(explorer.gallery.row_labels) == 3
    crops, _ = found.top_crops(0, 5)
    assert np.array_equal(explorer.gallery.images[: len(crops)], to_uint8(crops))
    assert explorer.gallery.present[: len(crops)].all()


def test_the_plot_has_both_importances(explorer, found):
    gradient = found.gradient.abs()
    assert_close(explorer.curves.y[0], found.importance)
    assert_close(explorer.curves.y[1], gradient / gradient.sum())


def test_a_switch_removes_a_concept_and_another_one_with_it(explorer, found, model):
    explorer.gallery.off = [0, 2]
    assert explorer.off == [0, 2]
    explorer.wait_for_quick(WAIT)
    assert explorer.switched.title == "Without concepts 1, 3"
    without = model.probabilities(found.without(model, 0, [0, 2])[None])[0]
    assert_close(explorer.switched.values[0, 0], without.topk(3).values)
    assert_close(explorer.switched.reference, model.probabilities(found.scores[0]))
    explorer.off = []
    assert explorer.gallery.off == []
    assert explorer.switched.title == "All concepts on"


def test_another_image_has_its_own_map_and_scores(explorer, found, model):
    explorer.image_picker.frame = 1
    peaks = found.coefficients.amax((0, 2, 3))
    assert_close(explorer.heatmap.maps, found.coefficients[1] / peaks[:, None, None])
    assert_close(explorer.scores.reference, model.probabilities(found.scores[1]))


def test_a_click_on_a_crop_shows_its_concept_and_position(explorer, found):
    _, boxes = found.top_crops(1, 5)
    image, top, left = boxes[0].tolist()
    explorer.gallery.frame = explorer.gallery.columns
    assert explorer.slider.frame == 1
    assert explorer.gallery.frame == -1
    if image < len(found.scores):
        assert explorer.image_picker.frame == image
        assert explorer.heatmap.position == pytest.approx(
            [(left + found.side / 2) / 16, (top + found.side / 2) / 16]
        )


def test_another_class_switches_all_concepts_on(explorer):
    explorer.off = [1]
    explorer.target = (explorer.target + 1) % 6
    assert explorer.off == []
    assert explorer.wait(WAIT)
    assert "but none of the 4 images is" in explorer.facts.value
    assert explorer.result.target == explorer.target


def test_the_facts_hold_the_reason_the_error_and_the_number_of_crops(explorer, found):
    text = explorer.facts.value
    assert "NMF, because all activations of this layer are at least 0" in text
    assert (
        f"Relative error {found.components.error:.0%} for crops, {found.map_error:.0%} at positions" in text
    )
    assert "overlapping crops of" in text


def test_parts_of_the_chosen_concept_are_computed_on_demand():
    model = xw.load("scenes_resnet")
    images = [scenes.scene(n, label=3, split="test").image for n in range(6)]
    explorer = ClassExplorer(model, images, 3, count=2, design=4, scored=2)
    try:
        assert explorer.wait(WAIT)
        explorer.list_picker.value = "parts"
        assert explorer.wait(WAIT)
        parts = explorer.study.result(ConceptKey("parts", 3, "stage4", 0))
        made = sub_concepts(model, explorer.result, 0).result(progress=False)
        assert_close(parts.importance, made.importance)
        assert explorer.gallery.title == "Parts of concept 1 in stage3"
        assert not explorer.gallery.switches
        assert len(explorer.gallery.row_labels) == 5
        explorer.slider.frame = 1
        assert explorer.wait(WAIT)
        assert explorer.gallery.title == "Parts of concept 2 in stage3"
        explorer.list_picker.value = "concepts"
        assert explorer.wait(WAIT)
        assert explorer.gallery.switches
    finally:
        explorer.close()


def test_parts_that_cannot_be_computed_have_their_reason(explorer):
    explorer.layer_picker.value = "convolution"
    explorer.list_picker.value = "parts"
    assert explorer.wait(WAIT)
    assert "expected a layer with a spatial layer before it" in explorer.facts.value
    assert explorer.gallery.images is None


def test_images_are_replaced_with_their_class(explorer):
    dark = [image // 8 for image in photos(3)]
    explorer.images = dark
    assert explorer.wait(WAIT)
    assert explorer.target == int(explorer.model.scores(dark).argmax(1).bincount().argmax())
    assert max(explorer.result.images) <= 2


def test_without_images_scenes_show_the_class_and_photographs_have_a_caveat(model):
    explorer = ClassExplorer(xw.load("scenes_vgg"), target="ringed toadstool", start=False)
    assert torch.equal(
        explorer.model.images(explorer.images(6)[:1]),
        explorer.model.images(scenes.scene(0, label=6, split="test").image),
    )
    explorer.close()
    explorer = ClassExplorer(model, **OPTIONS)
    try:
        assert explorer.wait(WAIT)
        assert STAND_IN in explorer.facts.value
    finally:
        explorer.close()


def test_the_study_needs_no_widget(model, found):
    study = ClassConceptsStudy(model, photos(4), **OPTIONS)
    key = ConceptKey("concepts", found.target, "relu")
    outcome = study.compute([key], progress=False)[key]
    assert_close(outcome.result.importances, found.importances)
    assert any("overlapping crops" in words for words in outcome.warnings)
    assert_close(study.scores_without(key, 0, [1]), found.without(model, 0, [1]))
    assert study.title(key) == f"concepts of {model.labels[found.target]}"
    assert study.title(key._replace(part="parts", concept=1)) == "parts of concept 2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "rleu"}, "did you mean 'relu'"),
        ({"target": "z"}, "label"),
        ({"kind": "nfm"}, "nmf"),
        ({"crops": 0}, "expected crops"),
        ({"sub_layer": "classes"}, "expected a layer with spatial positions"),
    ],
)
def test_bad_arguments_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        ClassExplorer(model, photos(2), **{**OPTIONS, **options})
