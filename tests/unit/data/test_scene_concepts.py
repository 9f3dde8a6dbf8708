"""Generated scenes as a concept data set: the same pixels as the scenes, read when indexed."""

import collections

import numpy as np
import pytest

from xai_widgets.data import Concept, ConceptData, scene_concepts, scenes

MAPS = (
    ("category", scenes.CLASSES),
    ("part", scenes.PARTS),
    ("texture", scenes.TEXTURES),
    ("color", scenes.COLORS),
)


def pixels_of(scene):
    """Return the pixels of each concept by its name and category, counted value by value."""
    found = {}
    for name, names in MAPS:
        values = getattr(scene, name)
        for value in np.unique(values[values >= 0]):
            found[names[value], "object" if name == "category" else name] = values == value
    if scene.mark.any():
        found["stamp", "mark"] = scene.mark
    return found


@pytest.mark.parametrize("split", ["train", "test"])
def test_masks_are_those_of_the_scene(split):
    data = scene_concepts(40, split, seed=3)
    for index, example in enumerate(data):
        scene = scenes.scene(index, objects=(1, 3), split=split, seed=3, cue="random")
        np.testing.assert_array_equal(example.image, scene.image)
        expected = pixels_of(scene)
        masks = {
            (data.concepts[c].name, data.concepts[c].category): mask for c, mask in example.masks.items()
        }
        assert masks.keys() == expected.keys()
        for concept, mask in masks.items():
            assert mask.dtype == bool
            np.testing.assert_array_equal(mask, expected[concept])
        assert example.labels == ()


def test_it_is_a_concept_data_set_of_3000_images_by_default():
    train, test = scene_concepts(), scene_concepts(split="test")
    assert isinstance(train, ConceptData)
    assert len(train) == len(test) == 3000
    assert train.concepts == test.concepts
    assert len(set(train.concepts)) == len(train.concepts) == 30
    assert Concept("stamp", "mark") in train.concepts
    assert (train[7].image != test[7].image).any()
    np.testing.assert_array_equal(train[-1].image, train[2999].image)


def test_every_concept_is_frequent_enough_to_be_learned():
    data = scene_concepts(400, size=32)
    counts = collections.Counter(concept for example in data for concept in example.masks)
    assert all(counts[concept] >= 10 for concept in range(30))


def test_the_stamp_is_independent_of_the_objects_by_default():
    data = scene_concepts(600, size=32)
    stamp, toadstool = data.concepts.index(Concept("stamp", "mark")), scenes.CUE_CLASS
    with_it = [stamp in example.masks for example in data if toadstool in example.masks]
    without = [stamp in example.masks for example in data if toadstool not in example.masks]
    # Four standard errors of a share of a quarter.
    assert abs(np.mean(with_it) - 0.25) < 4 * (0.1875 / len(with_it)) ** 0.5
    assert abs(np.mean(without) - 0.25) < 4 * (0.1875 / len(without)) ** 0.5
    planted = scene_concepts(120, size=32, cue=True)
    assert {toadstool in example.masks for example in planted if stamp in example.masks} == {True}


def test_a_slice_is_a_concept_data_set():
    data = scene_concepts(20, size=32)
    part = data[5:15:2]
    assert isinstance(part, ConceptData)
    assert part.concepts is data.concepts
    assert [example.name for example in part] == [f"train scene {index}" for index in (5, 7, 9, 11, 13)]
    assert part[-1].name == part[1:][3].name == "train scene 13"
    assert repr(part) == "Slice(5 images, 30 concepts)"


@pytest.mark.parametrize("index", [20, -21])
def test_an_index_outside_is_refused(index):
    with pytest.raises(IndexError, match=f"expected an index from -20 to 19, got {index}"):
        scene_concepts(20, size=32)[index]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"count": 0}, "expected count to be an integer from 1"),
        ({"split": "val"}, "one of train, test"),
        ({"size": 8}, "32"),
        ({"cue": "randon"}, "random"),
    ],
)
def test_wrong_settings_are_refused_at_once(settings, words):
    with pytest.raises(ValueError, match=words):
        scene_concepts(**settings)
