"""Concepts as vectors: neighbors, arithmetic, groups, and distances between representations."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from scipy import stats

from xai_widgets.concepts import embedding_distances, embeddings, embeddings_from
from xai_widgets.concepts.combinations import Combinations
from xai_widgets.concepts.comparison import correlation, p_value
from xai_widgets.data.base import Concept

NAMES = ("grass", "sky", "green", "blue", "never")
CONCEPTS = tuple(Concept(name, "color" if name in ("green", "blue") else "object") for name in NAMES)
WEIGHTS = torch.tensor([[1.0, 2, 0, 0], [1, 0, 2, 0], [0, 3, 0, 0.1], [0, 0, 3, 0.1], [0, 0, 0, 0]])


def combinations(weights=WEIGHTS, layer="conv"):
    count = len(weights)
    full = torch.full((count,), 20)
    trained = weights.any(1)
    return Combinations(
        "segmentation", "net", layer, CONCEPTS[:count], trained, full, full / 100, weights, torch.zeros(count),
        torch.rand(count), torch.rand(count),
    )  # fmt: skip


def test_vectors_have_length_one_and_untrained_concepts_have_none():
    made = embeddings(combinations())
    assert [concept.name for concept in made.concepts] == ["grass", "sky", "green", "blue"]
    assert_close(made.vectors.norm(dim=1), 1.0)
    assert made.name == "net conv, segmentation"


def test_neighbors_are_those_of_the_largest_cosine():
    made = embeddings(combinations())
    cosine = WEIGHTS[0] @ WEIGHTS[2] / WEIGHTS[0].norm() / WEIGHTS[2].norm()
    assert made.nearest("grass", 2)[0] == ("green", pytest.approx(cosine.item(), rel=1e-6))
    assert [name for name, _ in made.nearest(WEIGHTS[3], 1)] == ["blue"]


def test_grass_minus_green_plus_blue_is_sky():
    made = embeddings(combinations())
    found = made.arithmetic(["grass", "blue"], ["green"], count=5)
    unit = torch.nn.functional.normalize(WEIGHTS[:4], dim=1)
    vector = torch.nn.functional.normalize(unit[0] + unit[3] - unit[2], dim=0)
    assert found == [("sky", pytest.approx((unit[1] @ vector).item(), rel=1e-5))]


def test_groups_and_positions():
    made = embeddings(combinations())
    groups = made.kmeans(2)
    assert groups[0] == groups[2] != groups[1] == groups[3]
    positions = made.tsne(perplexity=1)
    assert positions.shape == (4, 2)
    assert np.array_equal(positions, made.tsne(perplexity=1))


def test_distances_by_hand():
    other = WEIGHTS.clone()
    other[0] = torch.tensor([0.0, 0, 0, 1])
    spaces = [embeddings(combinations()), embeddings(combinations(other, "deep"))]
    found = embedding_distances(spaces)
    matrices = [np.asarray(torch.nn.functional.normalize(w[:4], dim=1).double()) for w in (WEIGHTS, other)]
    difference = matrices[0] @ matrices[0].T - matrices[1] @ matrices[1].T
    assert found.total[0, 1].item() == pytest.approx((difference**2).sum(), rel=1e-5)
    np.testing.assert_allclose(found.by_concept[0, 1], (difference**2).sum(1), rtol=1e-5)
    assert found.total[0, 0] == 0
    assert found.by_category()["color"][0, 1] == found.by_concept[0, 1, 2:].mean()
    assert found.names == ("net conv, segmentation", "net deep, segmentation")


def test_filters_and_concepts_that_share_weight():
    made = combinations()
    assert_close(made.shares[0], torch.tensor([1 / 3, 2 / 3, 0, 0]))
    assert made.filters_per_concept(0.5).tolist() == [1, 1, 1, 1, 0]
    assert made.filters_per_concept(1).tolist() == [2, 2, 2, 2, 0]
    assert made.concepts_per_filter().tolist() == [0, 2, 2, 0]
    assert made.top("grass", 2)[0].tolist() == [1, 0]


def test_a_rotation_of_the_filters_changes_no_distance():
    rotation = torch.linalg.qr(torch.randn(4, 4)).Q
    spaces = [embeddings(combinations()), embeddings(combinations(WEIGHTS @ rotation))]
    assert embedding_distances(spaces).total.max() < 1e-10


def test_other_vectors_are_compared_on_common_concepts():
    words = embeddings_from("words", {CONCEPTS[3]: [1, 0], CONCEPTS[0]: [1, 1], Concept("cat"): [0, 1]})
    found = embedding_distances([words, embeddings(combinations())])
    assert [concept.name for concept in found.concepts] == ["blue", "grass"]
    with pytest.raises(ValueError, match="expected embeddings with at least two concepts in common, got 1"):
        embedding_distances([words, embeddings_from("one", {CONCEPTS[0]: [1.0]})])
    with pytest.raises(ValueError, match="expected vectors of one length"):
        embeddings_from("words", {CONCEPTS[0]: [1, 2], CONCEPTS[1]: [1, 2, 3]})


@pytest.mark.parametrize("channels", [5, 64, 512])
def test_correlation_and_its_significance_are_those_of_scipy(channels):
    generator = torch.Generator().manual_seed(channels)
    x = torch.randn(6, channels, generator=generator, dtype=torch.float64)
    y = x * torch.linspace(0, 0.6, 6)[:, None] + torch.randn(
        6, channels, generator=generator, dtype=torch.float64
    )
    for found, a, b in zip(correlation(x, y), x.numpy(), y.numpy(), strict=True):
        expected = stats.pearsonr(a, b)
        assert found.item() == pytest.approx(expected.statistic, abs=1e-12)
        assert p_value(found.item(), channels - 2) == pytest.approx(expected.pvalue, rel=1e-3, abs=1e-12)
