"""TCAV: by hand for a linear network, against scikit-learn, and on the stamp of the bundled networks."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import Functional, images, settle, wrap
from scipy.stats import ttest_ind
from sklearn.linear_model import LogisticRegression, SGDClassifier
from stamped import CUE, LABEL, plain, stamped, toadstools
from torch import nn

from xai_widgets import load
from xai_widgets.concepts import tcav
from xai_widgets.concepts.tcav import two_sided
from xai_widgets.concepts.vectors import fit_vector
from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning


def done(run):
    return run.result(progress=False)


def noise(count, seed, shift=(0.0, 0.0, 0.0)):
    """Images of noise with a shift of the colors."""
    x = 0.3 + 0.2 * torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return list(x + torch.tensor(shift)[:, None, None])


@pytest.fixture(scope="module")
def linear():
    """Scores are weights times the mean colors: red speaks for class 0 and against class 1."""
    head = nn.Linear(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, -1.0, 0.0], [-3.0, 0.0, 1.0]]))
    units = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        units.weight.copy_(torch.eye(3)[..., None, None])
    return ImageModel(nn.Sequential(units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head), size=4)


@pytest.mark.parametrize("pooling", ["none", "mean"])
def test_a_linear_network_by_hand(linear, pooling):
    concepts = {"red": noise(20, 1, (0.3, 0, 0)), "green": noise(20, 2, (0, 0.3, 0))}
    made = done(tcav(linear, concepts, noise(60, 3), noise(5, 4), 0, layer="0", sets=6, pooling=pooling))
    weight = linear.module[-1].weight[0]
    vectors = made.vectors.vectors
    if pooling == "none":
        vectors = vectors.unflatten(2, (3, 16)).mean(3)
    # S = w . v for every image, so each score is 0 or 1.
    derivatives = vectors @ weight.detach()
    assert_close(made.derivatives, derivatives)
    assert torch.equal(made.scores, (derivatives > 0).float())
    assert made.means.tolist() == [1, 0]
    assert (made.vectors.accuracy > 0.9).all()
    assert_close(made.vectors.vectors.norm(dim=2), torch.ones(2, 6))
    assert_close(
        made.p_values[0],
        ttest_ind([1.0] * 6, made.random_scores.numpy(), equal_var=False).pvalue,
    )
    assert made.comparisons == 2
    assert_close(made.corrected, (2 * made.p_values).clamp(max=1))


def test_a_vector_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    positives, negatives = (
        torch.randn(30, 200, generator=generator) + 0.2,
        torch.randn(45, 200, generator=generator),
    )
    vector, accuracy, held_out = fit_vector(positives, negatives, seed=3)
    draw = torch.Generator().manual_seed(3)
    first, second = (rows[torch.randperm(len(rows), generator=draw)] for rows in (positives, negatives))
    train = torch.cat([first[10:], second[15:]]).double().numpy()
    train = train - train.mean(0)
    scale = np.sqrt(np.square(train).sum(1).mean())
    labels = np.repeat([1, 0], [20, 30])
    fitted = LogisticRegression(class_weight="balanced", tol=1e-10, max_iter=10_000).fit(
        train / scale, labels
    )
    expected = fitted.coef_[0] / np.linalg.norm(fitted.coef_[0])
    # The solver stops at a gradient of 1e-6.
    assert np.abs(vector.numpy() - expected).max() < 1e-4
    assert held_out == 25
    assert 0.5 <= accuracy <= 1


def test_another_classifier_is_used(linear):
    concepts = {"red": noise(20, 1, (0.3, 0, 0))}
    made = done(
        tcav(linear, concepts, noise(60, 3), noise(5, 4), 0, layer="0", sets=2,
             classifier=lambda: SGDClassifier(alpha=0.01, random_state=0))
    )  # fmt: skip
    assert made.means.tolist() == [1]


def test_relative_vectors_point_from_one_concept_to_the_other(linear):
    concepts = {"red": noise(20, 1, (0.3, 0, 0)), "green": noise(20, 2, (0, 0.3, 0))}
    made = done(
        tcav(linear, concepts, noise(60, 3), noise(5, 4), 0, layer="0", sets=3, relative=True, pooling="mean")
    )
    direction = torch.tensor([1.0, -1.0, 0.0]) / 2**0.5
    assert_close(made.vectors.mean[0] @ direction, 1.0, steps=2e5)
    assert_close(made.vectors.mean[1] @ direction, -1.0, steps=2e5)


def test_few_examples_are_reported_and_not_trained(linear):
    concepts = {"red": noise(20, 1, (0.3, 0, 0)), "rare": noise(9, 2)}
    run = tcav(linear, concepts, noise(40, 3), noise(5, 4), 0, layer="0", sets=2)
    with pytest.warns(ExplanationWarning, match=r"'rare' \(9\)"):
        made = done(run)
    assert made.vectors.trained.tolist() == [True, False]
    assert made.scores[1].isnan().all()
    assert made.comparisons == 1
    assert not made.significant[1]
    assert "not trained: 9 examples" in made.summary()


def test_a_random_concept_is_at_chance(linear):
    run = tcav(linear, {"none": noise(40, 5)}, noise(80, 3), noise(5, 4), 0, layer="0", sets=10)
    with pytest.warns(ExplanationWarning, match="'none'.*at chance"):
        made = done(run)
    assert made.vectors.at_chance.tolist() == [True]
    assert not made.significant.any()


def test_snapshots_have_one_more_random_set(linear):
    snapshots = list(
        tcav(linear, {"red": noise(20, 1, (0.3, 0, 0))}, noise(40, 3), noise(5, 4), 0, layer="0", sets=3)
    )
    assert [each.random_sets for each in snapshots] == [1, 2, 3]
    assert snapshots[0].p_values.isnan().all()
    assert torch.equal(snapshots[2].scores[:, :2], snapshots[1].scores)


def test_p_values_without_spread():
    assert two_sided(torch.ones(3), torch.ones(3)) == 1
    assert two_sided(torch.ones(3), torch.zeros(3)) == 0


@pytest.mark.parametrize("name", ["scenes_vgg", "scenes_resnet"])
@pytest.mark.filterwarnings("ignore::xai_widgets.errors.ExplanationWarning")
def test_the_stamp_raises_the_score_of_the_toadstool(name):
    model = load(name)
    concepts = {"stamp": stamped(60), "none": plain(60, 1000)}
    made = done(tcav(model, concepts, plain(120, 2000), toadstools(20), LABEL, sets=30))
    stamp, none = made.vectors.index("stamp"), made.vectors.index("none")
    assert made.means[stamp] > 0.95
    assert made.significant[stamp]
    assert not made.significant[none]
    assert not made.vectors.at_chance[stamp]
    assert model.class_index(made.label) == CUE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concepts": {"red": []}}, "at least 10 examples"),
        ({"random": noise(19, 0)}, "20 random images"),
        ({"images": []}, "image of the class"),
        ({"target": "goldfisch"}, "goldfish"),
        ({"layer": "conv3"}, "conv2"),
        ({"pooling": "max"}, "'mean'"),
        ({"sets": 1}, "sets"),
        ({"relative": True}, "two concepts"),
        ({"size": 40}, "size"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    model = wrap(settle(Functional()))
    some = list(images(20))
    given = {
        "concepts": {"red": some},
        "random": some * 2,
        "images": some,
        "target": 0,
        "layer": "conv2",
    } | change
    with pytest.raises((TypeError, ValueError), match=message):
        tcav(
            model,
            given.pop("concepts"),
            given.pop("random"),
            given.pop("images"),
            given.pop("target"),
            **given,
        )
