"""The concept explorer without a browser: what its views are given."""

import numpy as np
import pytest
import torch
from closeness import near
from small_explorers import classifier, concept_explorer

import xai_widgets as xw
from xai_widgets.concepts.combinations import filter_maps
from xai_widgets.concepts.embeddings import embeddings_from
from xai_widgets.data import scene_concepts
from xai_widgets.data.base import Concept
from xai_widgets.explorers.concept_drawing import SHADE, concepts_of_filter, draw_map

PATIENCE = 120


@pytest.fixture(scope="module")
def explorer():
    made = concept_explorer(classifier(), concept="body")
    assert made.wait(PATIENCE)
    assert made.run_bar.status == "done", made.run_bar.error
    yield made
    made.close()


@pytest.fixture
def body(explorer):
    explorer.category_picker.value = "all"
    explorer.concept_picker.value = "body"
    assert explorer.wait(PATIENCE)
    return explorer.concept


def test_the_slider_has_the_numbers_of_filters_and_the_curve_their_ious(explorer, body):
    result = explorer.result
    assert explorer.slider.values == list(result.counts) == [1, 2, 4]
    assert explorer.curves.x.tolist() == [1, 2, 4]
    for row, name in enumerate(("score", "train_score")):
        expected = [float(getattr(fit, name)[body]) for fit in result.refits]
        assert explorer.curves.y[row] == near(np.array(expected, np.float32))
    assert [line["y"] for line in explorer.curves.lines] == near([float(result.single.iou_set[body])])
    ends = (explorer.slider, "frame"), (explorer.examples, "step"), (explorer.bars, "step")
    assert len({view._channels[name] for view, name in ends}) == 1
    ends = (explorer.slider, "fraction"), (explorer.curves, "fraction")
    assert len({view._channels[name] for view, name in ends}) == 1


def test_examples_stand_at_the_deciles_with_both_segmentations(explorer, body):
    result, view = explorer.result, explorer.examples
    deciles = result.combined.per_image.deciles(body)
    images = deciles.images.tolist()
    count = len(images)
    assert (view.columns, view.pages, len(view.images)) == (count, 3, 3 * 2 * count)
    assert view.row_labels == [f"filter {int(result.single.best[body])} alone", "combination"]
    # The captions of the last page are the IoUs at which the examples were chosen.
    assert view.labels[-count:] == [f"{iou:.2f}" for iou in deciles.ious.tolist()]
    # Bright where the combination is above 0, but for the outline of the label mask.
    mask = result.combined.maps(result.val, images[-1:], body)[0].numpy() > 0
    pixels = explorer.model.to_rgb(explorer.model.images(explorer.study.val[images[-1]].image))[0].astype(
        float
    )
    gray = SHADE * (pixels @ [0.299, 0.587, 0.114])[..., None]
    expected = np.where(mask[..., None], pixels, gray)
    shown = view.images[-1].astype(float)
    outline = (np.abs(shown - [240, 228, 66]) <= 1).all(-1)
    assert 0 < outline.sum() < outline.size / 2
    assert np.abs(shown - expected)[~outline].max() <= 1
    label = result.val.label_masks(images[-1])[body]
    assert label[outline].all()


def test_one_filter_is_its_mask_above_a_half(explorer, body):
    result, view = explorer.result, explorer.examples
    best = int(result.single.best[body])
    images = result.combined.per_image.deciles(body).images.tolist()
    one = torch.nn.functional.one_hot(torch.tensor(best), result.val.channels).float()
    mask = (filter_maps(result.val, images, one) > 0.5).numpy()
    brighter = view.images[: len(images)].astype(float).mean(-1)
    pixels = explorer.model.to_rgb(
        explorer.model.images([explorer.study.val[index].image for index in images])
    ).astype(float)
    dark = brighter < 0.6 * pixels.mean(-1)
    assert not dark[mask].any()


def test_bars_are_the_weights_and_the_ious_of_the_filters_with_the_largest_weights(explorer, body):
    result, bars = explorer.result, explorer.bars
    filters = result.combined.top(body, 4)[0].tolist()
    assert [int(label.split()[0]) for label in bars.labels] == filters
    expected = torch.stack([fit.weights[body, filters] for fit in result.refits])
    expected = torch.where(expected == 0, torch.nan, expected)
    assert bars.values[..., 0] == near(expected.numpy())
    assert bars.values[..., 1] == near(result.single.val_iou[body, filters].expand(3, 4).numpy())
    assert np.isnan(bars.values[0, :, 0]).sum() == 3


def test_a_chosen_filter_shows_its_images_concepts_and_overlays(explorer, body):
    bars, panel, result = explorer.bars, explorer.filter, explorer.result
    bars.frame = 2
    explorer.examples.frame = 0
    assert explorer.wait(PATIENCE)
    index = int(bars.labels[2].split()[0])
    (concept, iou), *_ = concepts_of_filter(result.dissection, index)
    assert f"<b>Filter {index}</b>" in panel.label.value
    assert f"{concept.name} {iou:.2f}" in panel.label.value
    assert float(result.dissection.best_iou[index]) == near(iou)
    x = explorer.model.images(explorer.study.val[explorer._shown[0]].image)
    activation = explorer.model.activations(x, "relu")["relu"][0].detach()
    length = activation.norm(dim=0)
    cosine = torch.where(length > 0, activation[index] / length, 0)
    above = (activation[index] > result.train.thresholds[index]).float()
    assert panel.heatmap.maps == near(torch.stack([activation[index], cosine, above]).numpy())
    assert len(panel.patches.images) == 2


def test_another_concept_needs_no_computation(explorer, body):
    before = explorer.result
    explorer.category_picker.value = "color"
    assert explorer.run_bar.status == "done"
    assert explorer.concept_picker.options == [
        one.name for one in explorer.study.concepts if one.category == "color"
    ]
    assert explorer.result is before
    assert explorer.concept == explorer.map.frame == explorer.other_map.frame


def test_a_concept_with_fewer_than_ten_images_is_named_and_not_drawn(explorer):
    rare = int((~explorer.result.single.trained).nonzero()[0])
    explorer.category_picker.value = "all"
    explorer.concept_picker.value = explorer._options()[rare]
    assert "fewer than 10" in explorer.caption.value
    assert explorer.examples.images is None
    assert explorer.bars.values is None
    assert explorer.filter.heatmap.maps is None


def test_the_map_has_unit_vectors_and_chooses_a_concept(explorer, body):
    view = explorer.map
    found = explorer.result.embeddings()
    rows = [explorer.study.concepts.index(concept) for concept in found.concepts]
    assert view.vectors[rows] == near(found.vectors.numpy())
    assert np.isnan(np.delete(view.vectors, rows, 0)).all()
    assert view.points.shape[1:] == (len(view.labels), 2)
    trained = np.isfinite(view.vectors).all(1)
    assert np.nanmin(view.points) >= 0
    assert np.nanmax(view.points) <= 1
    assert (np.isfinite(view.points).all((0, 2)) == trained).all()
    other = int(np.flatnonzero(trained)[0])
    view.frame = other
    assert explorer.concept == other


def test_a_map_of_few_concepts():
    concepts = [Concept("a"), Concept("b"), Concept("c")]
    found = embeddings_from("made", {concepts[0]: [1.0, 0.0], concepts[2]: [0.0, 1.0]})
    vectors, names, points = draw_map(concepts, found)
    assert names == ["PCA"]
    assert np.isnan(vectors[1]).all()
    assert np.isnan(points[0, 1]).all()
    assert sorted(points[0, [0, 2], 0].tolist()) == [0.0, 1.0]


def test_a_concept_in_few_images_is_not_learned_and_has_the_reason(explorer, body):
    trained = explorer.result.single.trained.tolist()
    explorer.concept_picker.value = explorer._options()[trained.index(False)]
    assert explorer.examples.images is explorer.bars.values is None
    for view in (explorer.examples, explorer.bars):
        assert view.empty == "Fewer than 10 training images show this concept, so nothing is learned."


def test_two_layers_are_compared_on_the_same_examples():
    explorer = concept_explorer(classifier(), concept="body", counts=(1,))
    explorer.compare_picker.value = "convolution"
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done", explorer.run_bar.error
    assert len(explorer.examples.row_labels) == 4
    assert explorer.examples.row_labels[1::2] == ["relu: combination", "convolution: combination"]
    # One curve for each layer, that of the validation images.
    assert [one["label"] for one in explorer.curves.series] == ["relu", "convolution"]
    assert len(explorer.curves.y) == 2
    assert explorer.other_map.title == "Concepts in convolution"
    assert explorer.other_map.vectors is not None
    explorer.compare_picker.value = "none"
    assert explorer.wait(PATIENCE)
    assert len(explorer.examples.row_labels) == 2
    assert explorer.other_map.vectors is None
    explorer.close()


def test_a_second_network_can_be_compared():
    first, second = classifier(), classifier()
    first.name, second.name = "first", "second"
    explorer = concept_explorer(first, other=second, start=False)
    assert "second: relu" in explorer.compare_picker.options
    explorer.compare_picker.value = "second: relu"
    assert explorer.wait(PATIENCE)
    assert [key.network for key in explorer._keys()] == [0, 1]
    assert explorer.other_map.title == "Concepts in second relu"
    explorer.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer": "nowhere"}, "nowhere"),
        ({"layer": "classes"}, "spatial positions"),
        ({"concept": "bodi"}, "body"),
        ({"images": 0}, "images"),
        ({"patches": 0}, "patches"),
    ],
)
def test_bad_input_is_named(change, words):
    with pytest.raises((ValueError, TypeError), match=words):
        concept_explorer(classifier(), **change)


@pytest.mark.parametrize("given", ["a folder", {"stripes": []}, [np.zeros((4, 4, 3), np.uint8)]])
def test_images_without_pixels_of_concepts_are_refused_with_those_who_take_them(given):
    with pytest.raises(TypeError, match="PredictionConceptsExplorer and tcav take folders"):
        xw.ConceptExplorer(classifier(), given, given)


def test_one_split_alone_is_refused():
    with pytest.raises(ValueError, match="slices of one data set"):
        xw.ConceptExplorer(classifier(), scene_concepts(24))
