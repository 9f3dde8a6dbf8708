"""Concepts in layers: the results are those of the functions that they are made of."""

import pytest
import torch
from closeness import assert_close
from small_explorers import classifier

from xai_widgets.concepts import Descent, dissect, probe, single_filters
from xai_widgets.concepts.segmentation import segmentation_concepts
from xai_widgets.data import scene_concepts
from xai_widgets.features import top_activations
from xai_widgets.studies.concepts import ConceptKey, ConceptStudy, First, label_size

SETTINGS = Descent(epochs=2)
KEY = ConceptKey(0, "relu", 24)


@pytest.fixture(scope="module")
def splits():
    return [scene_concepts(30, split, size=32) for split in ("train", "test")]


@pytest.fixture(scope="module")
def study(splits):
    return ConceptStudy([classifier()], *splits, settings=SETTINGS, counts=(1, 2, 64), patches=3)


@pytest.fixture(scope="module")
def result(study):
    (outcome,) = study.compute([KEY], progress=False).values()
    assert not outcome.error
    return outcome.result


@pytest.fixture(scope="module")
def probes(study, splits):
    model = study.models[0]
    train = probe(model, First(splits[0], 24), layer="relu", batch_size=24).result(progress=False)
    options = {"thresholds": train.thresholds, "batch_size": 24}
    return train, probe(model, First(splits[1], 12), layer="relu", **options).result(progress=False)


def test_the_best_filters_and_the_combination_are_those_of_the_probes(result, probes):
    single = single_filters(*probes)
    assert torch.equal(result.single.best, single.best)
    assert_close(result.single.val_iou.nan_to_num(), single.val_iou.nan_to_num())
    combined = segmentation_concepts(*probes, settings=SETTINGS).result(progress=False)
    assert_close(result.combined.weights, combined.weights)
    assert_close(result.combined.score.nan_to_num(), combined.score.nan_to_num())


def test_refits_use_the_filters_with_the_largest_weights(result, probes):
    assert result.counts == (1, 2, 4)
    assert result.refits[-1] is result.combined
    order = result.combined.weights.abs().argsort(dim=1, descending=True, stable=True)
    for count, fit in zip((1, 2), result.refits, strict=False):
        used = torch.zeros_like(fit.weights, dtype=torch.bool).scatter_(1, order[:, :count], True)
        alone = segmentation_concepts(*probes, filters=used, settings=SETTINGS).result(progress=False)
        assert_close(fit.weights, alone.weights)
        assert not fit.weights[~used].any()


def test_the_images_of_filters_are_those_of_the_validation_split(result, study, splits):
    images = [splits[1][index].image for index in range(12)]
    top = top_activations(study.models[0], images, layer="relu", k=3).result(progress=False)
    assert torch.equal(result.top.images, top.images)


def test_embeddings_are_those_of_the_combination_of_all_filters(result):
    found = result.embeddings()
    weights = result.combined.weights
    trained = weights.any(1)
    assert 0 < len(found.concepts) == trained.sum() < len(trained)
    assert_close(found.vectors, weights[trained] / weights[trained].norm(dim=1, keepdim=True))


def test_filters_are_dissected_on_the_validation_split(result, probes):
    assert_close(result.dissection.iou.nan_to_num(), dissect(probes[1]).iou.nan_to_num())


def test_snapshots_grow_until_everything_is_known(study):
    stages = []
    for found in study.run(KEY):
        stage = 0 if found is None else 1 + (found.combined is not None) + (len(found.refits) > 1)
        if not stages or stage != stages[-1]:
            stages.append(stage)
    assert stages == [0, 1, 2, 3]


def test_the_first_images_of_a_data_set(splits):
    first = First(splits[0], 100)
    assert len(first) == 30
    assert len(First(splits[0], 5)) == 5
    assert (first[3].image == splits[0][3].image).all()
    with pytest.raises(IndexError, match="from 0 to 4"):
        First(splits[0], 5)[5]


def test_label_masks_keep_the_shape_of_the_images(study):
    assert label_size(study.models[0], 48) == (16, 16)
    assert label_size(study.models[0], 8) == (8, 8)


def test_splits_with_different_concepts_are_refused(splits):
    class Other(First):
        pass

    other = Other(splits[1], 5)
    other.concepts = other.concepts[:-1]
    with pytest.raises(ValueError, match="the same concepts"):
        ConceptStudy([classifier()], splits[0], other)
