"""Classifiers against scikit-learn's logistic regression, and refits of few filters."""

from functools import cache

import numpy as np
import pytest
import torch
from planted import Squares, planted
from sklearn.linear_model import LogisticRegression

from xai_widgets.concepts import (
    Descent,
    Optimum,
    classification_concepts,
    compare,
    probe,
    segmentation_concepts,
    single_filters,
    top_filters,
)
from xai_widgets.concepts.refits import largest
from xai_widgets.errors import ExplanationWarning

SQUARES = {"layer": "relu", "quantile": 1 / 24}
TRAIN = probe(planted(), Squares(90), **SQUARES).result(progress=False)
VAL = probe(planted(), Squares(45, seed=1), layer="relu", thresholds=TRAIN.thresholds).result(progress=False)


def made(count=200, channels=12, rows=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(count, channels, generator=generator) ** 2
    plane = torch.randn(channels, rows, generator=generator)
    noise = 0.3 * torch.randn(count, rows, generator=generator)
    scores = (features - features.mean(0)) @ plane + noise
    # Unbalanced: from half to a tenth of the images.
    return features, scores > torch.quantile(scores, torch.linspace(0.5, 0.9, rows), dim=0).diagonal()


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_the_optimum_is_that_of_scikit_learn(l2):
    features, labels = made()
    features = features.double()
    weights, bias = Optimum(l2=l2, tolerance=1e-9).fit(features, labels, torch.ones(5, 12, dtype=torch.bool))
    scale = features.var(0, correction=0).mean().sqrt().item()
    for row in range(5):
        fitted = LogisticRegression(
            C=1 / (l2 * len(features)), class_weight="balanced", tol=1e-10, max_iter=10_000
        ).fit(features.numpy() / scale, labels[:, row].numpy())
        # Both end where the gradient is below 1e-9, at a curvature of at least l2.
        np.testing.assert_allclose(weights[row].numpy() * scale, fitted.coef_[0], atol=1e-5)
        assert bias[row].item() == pytest.approx(fitted.intercept_[0], abs=1e-5)


def test_the_optimum_does_not_depend_on_the_unit_of_the_activations():
    features, labels = made()
    used = torch.ones(5, 12, dtype=torch.bool)
    (weights, bias), (scaled, same) = (
        Optimum().fit(features, labels, used),
        Optimum().fit(64 * features, labels, used),
    )
    torch.testing.assert_close(64 * scaled, weights, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(same, bias, rtol=1e-4, atol=1e-5)


def test_descent_approaches_the_optimum_of_a_problem_that_is_not_separable():
    features, labels = made(channels=3, rows=2)
    used = torch.ones(2, 3, dtype=torch.bool)
    slow = Descent(learning_rate=0.1, epochs=200, batch_size=64)
    for found, expected in zip(
        slow.fit(features, labels, used), Optimum(l2=1e-7).fit(features, labels, used), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0.2, atol=0.3)


def test_the_published_schedule_stops_far_from_the_optimum():
    """The reason why it is not the default."""
    features, labels = made()
    used = torch.ones(5, 12, dtype=torch.bool)
    published, _ = Descent().fit(features, labels, used)
    optimum, _ = Optimum().fit(features, labels, used)
    assert published.norm() < 0.1 * optimum.norm()


def test_an_optimum_that_is_not_reached_is_warned_about():
    features, labels = made()
    with pytest.warns(ExplanationWarning, match=r"5 of 5 classifiers have not reached the optimum"):
        Optimum(steps=1).fit(features, labels, torch.ones(5, 12, dtype=torch.bool))


@cache
def done(*args, **settings):
    return classification_concepts(TRAIN, VAL, *args, **settings).result(progress=False)


def test_balanced_accuracy_by_hand():
    found = done()
    predicted = (VAL.pooled @ found.weights.T + found.bias > 0)[:, 0].numpy()
    present = VAL.present[:, 0].numpy()
    expected = (
        (predicted & present).sum() / present.sum() + (~predicted & ~present).sum() / (~present).sum()
    ) / 2
    assert found.accuracy[0].item() == pytest.approx(expected)
    assert found.accuracy[0] == 1


def test_the_planted_filter_has_the_largest_weight():
    assert done().top("square", 1)[0].tolist() == [0]
    assert done(solver=Descent()).top("square", 1)[0].tolist() == [0]


def test_a_concept_in_every_image_is_not_trained():
    found = done()
    assert found.trained.tolist() == [True, False, False]
    assert found.score.isfinite().tolist() == [True, False, False]


def test_refits_use_only_the_filters_with_the_largest_weights():
    found = done()
    refits = top_filters(TRAIN, VAL, found, [1, 3]).result(progress=False)
    assert refits.counts == (1, 3)
    for count, fit in zip(refits.counts, refits.fits, strict=True):
        kept = found.weights[0].abs().argsort(descending=True)[:count]
        assert set(fit.weights[0].nonzero()[:, 0].tolist()) <= set(kept.tolist())
    assert refits.scores[0, 0] == 1
    assert largest(torch.tensor([[1.0, -3.0, 2.0]]), 2).tolist() == [[False, True, True]]
    assert set(refits.by_category()) == {"mark"}
    assert refits.plot().axes[0].get_xlabel() == "number of filters F"


def test_refits_of_segmentation_are_one_problem():
    settings = Descent(learning_rate=0.01, epochs=2, batch_size=8)
    found = segmentation_concepts(TRAIN, VAL, settings=settings).result(progress=False)
    refits = top_filters(TRAIN, VAL, found, [1, 6], solver=settings).result(progress=False)
    torch.testing.assert_close(refits.fits[1].weights, found.weights)
    assert (refits.fits[0].weights != 0).sum(1).tolist() == [1, 1, 0]


def test_published_counts_end_at_the_number_of_filters():
    assert top_filters(TRAIN, VAL, done()).result(progress=False).counts == (1, 2, 3, 5)
    with pytest.raises(ValueError, match="from 1 to 6"):
        top_filters(TRAIN, VAL, done(), [7])


def test_a_comparison_counts_where_the_combination_is_at_least_as_good():
    single = top_filters(TRAIN, VAL, done(), [1]).result(progress=False).fits[0]
    found = compare(done(), single)
    assert found.share == 1
    assert found.filters.tolist() == [0, -1, -1]
    assert found.failures() == []
    with pytest.raises(ValueError, match="expected single filters for classification"):
        compare(done(), single_filters(TRAIN, VAL))
