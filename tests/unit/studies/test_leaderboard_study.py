"""Scores and maps as one study: known scores are taken, checked, and completed in their file."""

import pytest
import torch
from networks import SharedInPlace, images, settle, wrap

from xai_widgets.methods.registry import methods_by_name
from xai_widgets.metrics import metrics_by_name
from xai_widgets.studies import AttributionKey, ScoreStore, evaluate
from xai_widgets.studies.leaderboard_study import LeaderboardStudy, open_scores

METRICS = metrics_by_name(["png_size"])


@pytest.fixture(scope="module")
def model():
    return wrap(settle(SharedInPlace()))


def study_of(model, scores=None, count=2, **options):
    return LeaderboardStudy(
        model, list(images(count)), methods_by_name(["gradient"]), METRICS, scores=scores, **options
    )


def evaluated(model, **options):
    return evaluate(model, list(images(2)), "gradient", METRICS["png_size"], progress=False, **options)


def test_scores_are_those_of_an_evaluation_and_references_are_among_the_rows(model):
    study = study_of(model)
    study.compute(study.cells(), progress=False)
    found = study.evaluation(study.cells()).outcomes[model.name]
    assert found == evaluated(model).outcomes[model.name]


def test_known_scores_are_not_computed_again(model, monkeypatch):
    known = evaluated(model)
    monkeypatch.setattr(type(model), "forward", None)
    study = study_of(model, known)
    assert study.missing(study.cells()).total == 0


def test_scores_of_a_file_are_taken_and_new_ones_are_added(model, tmp_path):
    path = tmp_path / "scores.sqlite"
    evaluated({"mine": model}, path=path)
    facts = ScoreStore(path, "mine").facts()
    store = open_scores(path, model, facts["mine: network"])
    assert store.model == "mine"
    assert open_scores(path, model, "another").model == model.name
    del store[next(iter(store))]
    study = study_of(model, ScoreStore(path, "mine"))
    assert len(list(study.missing(study.cells()))) == 2  # the score, and its end
    assert set(ScoreStore(path, "mine").items_on_disk()) == set(study.cells())
    # Discarded scores stay in the file until they are computed again.
    study.clear()
    assert not len(study.store)
    assert len(ScoreStore(path, "mine")) == len(study.cells())


def test_scores_of_other_images_are_refused(model):
    with pytest.raises(ValueError, match=r"expected scores of these 1 images.*got one of image 1"):
        study_of(model, evaluated(model), count=1)
    with pytest.raises(ValueError, match="unknown model of scores"):
        study_of(model, evaluated({"one": model, "two": model}))


def test_maps_are_keys_too_and_are_those_that_were_scored(model):
    study = study_of(model)
    key = AttributionKey("gradient", 1, 2)
    study.compute([key], progress=False)
    found = study.outcome(key).result
    assert torch.equal(found, study.maps.explain(key).result)
    assert torch.equal(found, study.maps.methods["gradient"].saliency(model, images(2)[1:2], 2)[0])
    study.compute(study.cells(), progress=False)
    assert {type(each).__name__ for each in study.store} == {"Cell", "AttributionKey"}
    assert "scores" in repr(study.store)
